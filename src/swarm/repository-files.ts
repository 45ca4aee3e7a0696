/** Metadata and torrents, from the origin or from a neighbour: bounded while they are read, and believed by nobody before they are verified. */
import type { Artifact } from '../core/artifact.ts'
import { DownloadError, TrustError } from '../core/errors.ts'
import { torrentUrlPath } from '../core/release.ts'
import { metainfoLimitBytes } from './metainfo.ts'
import type { OriginHttp } from './origin-http.ts'
import { expectStatus } from './origin-refusal.ts'

/**
 * A metadata file.
 *
 * @param path Its URL path, made of names from our own grammars.
 * @returns undefined when there is no such file (404, or the 403 of a bucket that hides what it lacks).
 * @throws TrustError `metadata_too_large` past `limitBytes`; DownloadError. An aborted `signal` rejects with its own reason.
 */
export function fetchMetadata(
  http: OriginHttp,
  path: string,
  limitBytes: number,
  signal?: AbortSignal,
): Promise<Uint8Array | undefined> {
  return http.exchange({ purpose: 'metadata', method: 'GET', path, signal }, async answer => {
    if (answer.status === 404 || answer.status === 403) return undefined
    await expectStatus(answer, 200)
    try {
      return await answer.bytes(limitBytes)
    } catch (error) {
      if (!(error instanceof DownloadError) || error.code !== 'origin_length' || !error.facts.tooLong) throw error
      throw new TrustError('metadata_too_large', `${path} is larger than ${limitBytes} bytes`, { path, limitBytes })
    }
  })
}

/**
 * The torrent of an artifact, unchecked: give it to `readMetainfo`.
 *
 * @throws DownloadError; `origin_length` when it is larger than this artifact's torrent can be.
 */
export function fetchTorrent(http: OriginHttp, artifact: Artifact, signal?: AbortSignal): Promise<Uint8Array> {
  return http.exchange({ purpose: 'metadata', method: 'GET', path: torrentUrlPath(artifact), signal }, async answer => {
    await expectStatus(answer, 200)
    return answer.bytes(metainfoLimitBytes(artifact))
  })
}
