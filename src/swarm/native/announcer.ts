/**
 * Tells peers of our new pieces: soon, but many in one write. What is new goes along with whatever a peer is written anyway, and
 * after a pause on its own, so that fifty peers and a thousand pieces are not fifty thousand packets. The pause is the longer the more
 * there are to tell: a news of one piece costs each of them a wake-up.
 */
import { second } from '../../core/units.ts'
import type { Peer } from './peer.ts'

const shortestPauseMs = 25
const longestPauseMs = 250
/** So many packets a second are sent for news only. */
const packetsPerSecond = 200

type Crowd = Iterable<Peer> & { readonly size: number }

export class Announcer {
  readonly #peers: Crowd
  /** Pieces in the order in which they came; grows to the pieces of the artifact. */
  readonly #log: number[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(peers: Crowd) {
    this.#peers = peers
  }

  /** The peer was told everything at the start. */
  join(peer: Peer): void {
    peer.told = this.#log.length
  }

  add(piece: number): void {
    this.#log.push(piece)
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      for (const peer of this.#peers) this.tell(peer)
    }, this.#pauseMs())
  }

  tell(peer: Peer): void {
    while (peer.told < this.#log.length) peer.connection.out.have(this.#log[peer.told++]!)
  }

  #pauseMs(): number {
    const wanted = (this.#peers.size * second) / packetsPerSecond
    return Math.max(shortestPauseMs, Math.min(wanted, longestPauseMs))
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
