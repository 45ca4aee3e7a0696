/**
 * What a node asks of one neighbour over HTTP: metadata, torrents, small artifacts, and nothing that is believed because of who said it. The neighbour may
 * be slow, endless, or wrong: it gets less time than an origin, since there are others.
 */
import type { Artifact } from '../core/artifact.ts'
import { DownloadError } from '../core/errors.ts'
import { KiB, second } from '../core/units.ts'
import { type ReachOutcome, reachAnswer, reachAnswerLimitBytes, reachUrlPath } from './dial-back.ts'
import { bundleUrlPath, type MetadataBundle } from './metadata-bundle.ts'
import type { NeighbourLine } from './neighbour-line.ts'
import { OriginHttp } from './origin-http.ts'
import { expectStatus } from './origin-refusal.ts'
import { fetchBundle, fetchMetadata, fetchTorrent } from './repository-files.ts'
import { fetchSmall } from './small-artifact.ts'

const limits = {
  connections: 1,
  connectTimeoutMs: 2 * second,
  headersTimeoutMs: 4 * second,
  idleTimeoutMs: 4 * second,
  leastBytesPerSecond: 32 * KiB,
  rateWindowMs: 4 * second,
}
const mostMs = 20 * second

export interface NeighbourClient {
  /** As `fetchMetadata`, `path` as in the metadata folder. */
  metadata(path: string, limitBytes: number, signal: AbortSignal): Promise<Uint8Array | undefined>
  /** What is new after this root and this snapshot, see metadata-bundle.ts. As `fetchBundle`. */
  metadataAfter(
    root: number,
    snapshot: number,
    channel: string,
    signal: AbortSignal,
  ): Promise<MetadataBundle | undefined>
  /** As `fetchTorrent`. */
  torrent(artifact: Artifact, signal: AbortSignal): Promise<Uint8Array>
  /** As `fetchSmall`. */
  small(artifact: Artifact, signal: AbortSignal): Promise<Uint8Array>
  /** Whether it can dial this node, see dial-back.ts. @param node This one's name. @throws DownloadError, also when it does not know the question. */
  reach(node: string, signal: AbortSignal): Promise<ReachOutcome>
}

/**
 * Ask one neighbour for as long as `ask` takes, and for 20 s at most.
 *
 * @param address IPv4.
 * @param line Has a place for the one connection, sooner or later: the 20 s begin then.
 * @throws DownloadError, what `ask` throws, or the reason of `signal`; a DOMException TimeoutError when the time is over.
 */
export function askNeighbour<T>(
  { address, http }: { readonly address: string; readonly http: number },
  ask: (neighbour: NeighbourClient, signal: AbortSignal) => Promise<T>,
  line: NeighbourLine,
  signal: AbortSignal,
): Promise<T> {
  return line.run(() => askNow(address, http, ask, line, signal), signal)
}

async function askNow<T>(
  address: string,
  http: number,
  ask: (neighbour: NeighbourClient, signal: AbortSignal) => Promise<T>,
  line: NeighbourLine,
  signal: AbortSignal,
): Promise<T> {
  const connection = new OriginHttp(new URL(`http://${address}:${http}`), limits, line.accountOf(address))
  const client: NeighbourClient = {
    metadata: (path, limitBytes, patience) => fetchMetadata(connection, `/metadata/${path}`, limitBytes, patience),
    metadataAfter: (root, snapshot, channel, patience) =>
      fetchBundle(connection, bundleUrlPath(root, snapshot, channel), patience),
    torrent: (artifact, patience) => fetchTorrent(connection, artifact, patience),
    small: (artifact, patience) => fetchSmall(connection, artifact, patience),
    reach: (node, patience) => askReach(connection, node, patience),
  }
  try {
    return await ask(client, AbortSignal.any([signal, AbortSignal.timeout(mostMs)]))
  } finally {
    await connection.stop()
  }
}

function askReach(http: OriginHttp, node: string, signal: AbortSignal): Promise<ReachOutcome> {
  return http.exchange({ purpose: 'metadata', method: 'GET', path: reachUrlPath(node), signal }, async answer => {
    await expectStatus(answer, 200)
    const parsed = reachAnswer.safeParse(parseJson(await answer.bytes(reachAnswerLimitBytes)))
    if (!parsed.success) throw new DownloadError('origin_malformed', 'the neighbour does not say whether it reached us')
    return parsed.data.outcome
  })
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined // the schema says the rest
  }
}
