/** Metadata and torrents, from the origin or from a neighbour: bounded while they are read, and believed by nobody before they are verified. */
import { promisify } from 'node:util'
import { brotliDecompress as zlibBrotliDecompress } from 'node:zlib'
import type { Artifact } from '../core/artifact.ts'
import { DownloadError, TrustError } from '../core/errors.ts'
import { torrentUrlPath } from '../core/release.ts'
import { bundleLimitBytes, type MetadataBundle, readBundle } from './metadata-bundle.ts'
import { metainfoLimitBytes } from './metainfo.ts'
import type { HttpAnswer, OriginHttp } from './origin-http.ts'
import { expectStatus } from './origin-refusal.ts'

const brotliDecompress = promisify(zlibBrotliDecompress)
const takesBrotli = { 'accept-encoding': 'br' }

/**
 * A metadata file. It is mostly hashes in hex, and half as long compressed; a server that does not compress may send it as it is.
 *
 * @param path Its URL path, made of names from our own grammars.
 * @returns undefined when there is no such file (404, or the 403 of a bucket that hides what it lacks).
 * @throws TrustError `metadata_too_large` past `limitBytes`, on the line or decompressed; DownloadError. An aborted `signal` rejects with its own reason.
 */
export function fetchMetadata(
  http: OriginHttp,
  path: string,
  limitBytes: number,
  signal?: AbortSignal,
): Promise<Uint8Array | undefined> {
  return http.exchange({ purpose: 'metadata', method: 'GET', path, headers: takesBrotli, signal }, async answer => {
    if (answer.status === 404 || answer.status === 403) return undefined
    await expectStatus(answer, 200)
    try {
      return await plainBytes(answer, limitBytes)
    } catch (error) {
      if (!isTooLong(error)) throw error
      throw new TrustError('metadata_too_large', `${path} is larger than ${limitBytes} bytes`, { path, limitBytes })
    }
  })
}

/**
 * Metadata files in one answer.
 *
 * @param path See `bundleUrlPath`.
 * @returns undefined when there is no bundle here: a plain file server, an older origin, a proxy that lets through only the paths that it has
 *   been told of. Then the files are there one by one.
 * @throws DownloadError. An aborted `signal` rejects with its own reason.
 */
export function fetchBundle(http: OriginHttp, path: string, signal?: AbortSignal): Promise<MetadataBundle | undefined> {
  return http.exchange({ purpose: 'metadata', method: 'GET', path, headers: takesBrotli, signal }, async answer => {
    if (knowsNoSuchPath(answer.status)) return undefined
    await expectStatus(answer, 200)
    try {
      return readBundle(await plainBytes(answer, bundleLimitBytes))
    } catch (error) {
      if (isTooLong(error)) return undefined
      throw error
    }
  })
}

/** Not one that wants a login, was kept waiting, or is asked too often: that would go for the files, too. */
function knowsNoSuchPath(status: number): boolean {
  return status >= 300 && status < 500 && ![401, 408, 429].includes(status)
}

/** @throws DownloadError; `origin_length` with `tooLong` as soon as more than `limitBytes` come out, so a bomb of a few bytes stays one. */
async function plainBytes(answer: HttpAnswer, limitBytes: number): Promise<Buffer> {
  const coding = answer.header('content-encoding') ?? 'identity'
  const bytes = await answer.bytes(limitBytes)
  if (coding === 'identity') return bytes
  if (coding !== 'br') throw new DownloadError('origin_malformed', 'the origin encodes a body as nobody asked it to')
  try {
    return await brotliDecompress(bytes, { maxOutputLength: limitBytes })
  } catch (error) {
    const tooLong = error instanceof RangeError
    const why = tooLong ? `a body becomes longer than ${limitBytes} bytes` : 'a body cannot be decompressed'
    throw new DownloadError(tooLong ? 'origin_length' : 'origin_malformed', why, { cause: error, tooLong })
  }
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

function isTooLong(error: unknown): boolean {
  return error instanceof DownloadError && error.code === 'origin_length' && error.facts.tooLong === true
}
