/**
 * Tells peers of our new pieces: soon, but many in one write. What is new goes along with whatever a peer is written anyway, and
 * after `pauseMs` on its own, so that fifty peers and a thousand pieces are not fifty thousand packets.
 */
import type { Peer } from './peer.ts'

const pauseMs = 25

export class Announcer {
  readonly #peers: Iterable<Peer>
  /** Pieces in the order in which they came; grows to the pieces of the artifact. */
  readonly #log: number[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(peers: Iterable<Peer>) {
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
    }, pauseMs)
  }

  tell(peer: Peer): void {
    while (peer.told < this.#log.length) peer.connection.out.have(this.#log[peer.told++]!)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
