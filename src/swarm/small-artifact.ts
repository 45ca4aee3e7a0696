/**
 * A small artifact comes from a neighbour in one answer, beside its torrent. A swarm is made for pieces of different neighbours; for one piece it is
 * two handshakes with each of several of them, and most updates of a day are one piece: forty machines that wake up for 10 KiB did little else.
 *
 *   GET /artifacts/<sha256>      200 all of it     404 not here, or not within two seconds
 *
 * Who asks has no part of it yet and tells nobody that it wants it, so nobody waits for one who waits. It checks what comes by the hash in the
 * manifest; and when nothing comes it joins the swarm, as for any other artifact.
 */
import { type Artifact, pieceCount } from '../core/artifact.ts'
import { KiB, second } from '../core/units.ts'
import type { OriginHttp } from './origin-http.ts'
import { expectStatus } from './origin-refusal.ts'

const smallLimitBytes = 64 * KiB
/** Whoever is asked may be fetching it itself. Less than who asks waits for the head of an answer. */
export const smallWithinMs = 2 * second

export function isSmall(artifact: Artifact): boolean {
  return pieceCount(artifact) === 1 && artifact.length <= smallLimitBytes
}

/** Where a neighbour has it. */
export function smallUrlPath({ sha256 }: Artifact): string {
  return `/artifacts/${sha256}`
}

/** All of a small artifact, unchecked. @throws DownloadError; `origin_length` when it is longer than it should be. */
export function fetchSmall(http: OriginHttp, artifact: Artifact, signal?: AbortSignal): Promise<Uint8Array> {
  return http.exchange({ purpose: 'payload', method: 'GET', path: smallUrlPath(artifact), signal }, async answer => {
    await expectStatus(answer, 200)
    return answer.bytes(artifact.length)
  })
}
