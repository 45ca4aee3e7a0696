/**
 * The one interface between the mesh and BitTorrent. An engine moves pieces between LAN peers; it knows nothing of origins, seats or
 * installs. Every engine passes `test/swarm/engine-contract.ts`.
 *
 * Rules every engine keeps
 *  - a piece reaches a peer only out of the PieceStore, so only after its SHA-256 was checked; a bad piece costs its sender a
 *    strike, three strikes ban the address for the life of the swarm
 *  - it dials only the addresses given to `addPeers`, and only those inside `networks`; incoming peers from elsewhere are dropped
 *  - a piece that somebody else puts into the store (the WAN slice) is announced to the peers at once, and not fetched again
 *  - it never throws out of an event: what a hostile peer does ends that peer, never the process
 */
import type { Artifact } from '../core/artifact.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import type { PieceStore } from '../core/piece-store.ts'
import { Limiter } from './limits/limiter.ts'
import type { LimiterSet } from './limits/limits.ts'
import type { Traffic } from './traffic.ts'

export interface PeerAddress {
  /** An IPv4 or IPv6 literal, never a name. */
  readonly host: string
  readonly port: number
}

export interface PeerView {
  readonly address: PeerAddress
  /** The client's own claim (BEP 10 `v`, or its peer id), printable ASCII, 40 characters at most. For people only. */
  readonly client: string
  readonly direction: 'in' | 'out'
  /** Pieces the peer says it has. */
  readonly pieces: number
  /** Payload bytes since the connection began. */
  readonly bytesIn: number
  readonly bytesOut: number
}

export interface SwarmTotals {
  /** Payload bytes of verified pieces that came from peers. */
  readonly bytesIn: number
  /** Payload bytes sent to peers. */
  readonly bytesOut: number
  /** Payload bytes that were thrown away: bad or double. */
  readonly bytesWasted: number
}

/** One artifact being fetched or served. */
export interface Swarm {
  readonly artifact: Artifact
  /** Add candidates; known, banned and not allowed ones are passed over. Returns at once. */
  addPeers(addresses: readonly PeerAddress[]): void
  totals(): SwarmTotals
  peers(): readonly PeerView[]
  /**
   * Resolves when the store is complete, whoever brought the last piece; the swarm goes on serving.
   * @throws SwarmError `swarm_failed` when the engine cannot go on (a write fault of the store is the cause and keeps its code),
   *   or the swarm was left before it was complete.
   *   An aborted `signal` rejects with its own reason.
   */
  completed(signal?: AbortSignal): Promise<void>
  /** Leave: every connection of this artifact closed, every timer gone. May be called twice. */
  leave(): Promise<void>
}

export type LanLimits = Pick<LimiterSet, 'lan_up' | 'lan_down'>

export function unlimited(): LanLimits {
  return { lan_up: new Limiter(), lan_down: new Limiter() }
}

export interface SwarmEngine extends Stoppable {
  readonly name: 'webtorrent' | 'native'
  /** The port that peers can dial, after `startEngine` has resolved. */
  readonly port: number
  /** Bytes and connections by neighbour, over all artifacts. */
  readonly traffic: Traffic
  /**
   * Start to fetch what the store lacks and to serve what it has.
   * @param metainfo The artifact's torrent, already checked against the manifest (`readMetainfo`).
   * @param limits What is sent to peers and taken from them, shared with whatever else has these limiters. Default: no limits.
   * @throws Error when the artifact is joined already: one swarm an artifact.
   */
  join(artifact: Artifact, metainfo: Uint8Array, store: PieceStore, limits?: LanLimits): Promise<Swarm>
}

export interface EngineOptions {
  /** Where to listen for peers: address and port; port 0 takes a free one. */
  readonly listen: PeerAddress
  /** CIDR networks whose addresses may be dialled and may connect. */
  readonly networks: readonly string[]
  /** Connections an artifact at most. Default 50. */
  readonly maxPeers?: number
  /** Connections of the engine, over all artifacts, those that have not greeted yet included. Default 200. */
  readonly maxConnections?: number
}
