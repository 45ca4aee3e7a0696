/**
 * What a node asks of one neighbour over HTTP: metadata and torrents, and nothing that is believed because of who said it. The neighbour may
 * be slow, endless, or wrong: it gets less time than an origin, since there are others.
 */
import type { Artifact } from '../core/artifact.ts'
import { KiB, second } from '../core/units.ts'
import { OriginAccount } from './origin-account.ts'
import { OriginHttp } from './origin-http.ts'
import { fetchMetadata, fetchTorrent } from './repository-files.ts'

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
  /** As `fetchTorrent`. */
  torrent(artifact: Artifact, signal: AbortSignal): Promise<Uint8Array>
}

/**
 * Ask one neighbour for as long as `ask` takes, and for 20 s at most.
 *
 * @param address IPv4.
 * @throws DownloadError, what `ask` throws, or the reason of `signal`; a DOMException TimeoutError when the time is over.
 */
export async function askNeighbour<T>(
  { address, http }: { readonly address: string; readonly http: number },
  ask: (neighbour: NeighbourClient, signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const connection = new OriginHttp(new URL(`http://${address}:${http}`), limits, new OriginAccount()) // no byte of it crosses the line
  const client: NeighbourClient = {
    metadata: (path, limitBytes, patience) => fetchMetadata(connection, `/metadata/${path}`, limitBytes, patience),
    torrent: (artifact, patience) => fetchTorrent(connection, artifact, patience),
  }
  try {
    return await ask(client, AbortSignal.any([signal, AbortSignal.timeout(mostMs)]))
  } finally {
    await connection.stop()
  }
}
