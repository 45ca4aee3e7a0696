/**
 * Tells peers of our new pieces: soon, but many in one write. What is new goes along with whatever a peer is written anyway, and on its own
 * at once as long as that is rare, else after a pause, so that fifty peers and a thousand pieces are not fifty thousand packets: a news of one
 * piece costs each of them a wake-up.
 *
 * On its own goes only what is news to somebody: that few have a piece that he lacks, and we are one of them. Where a thin line lets pieces in one
 * by one, twenty neighbours would else tell each other of each of them, nineteen times twenty, and do little else. And it goes to two of those at
 * a time, whoever they are (to more, where pieces come faster than the pause is long): they fetch the piece and tell two others each. All who
 * heard of it at the same moment would fetch it from here, so that a seat sent each of its pieces nineteen times, its neighbours none, and all had
 * it when the last had it. The rest is told by `tell`, which the swarm's clock calls each second.
 */
import type { Bitfield } from '../../core/bitfield.ts'
import { second } from '../../core/units.ts'
import type { Peer } from './peer.ts'

const longestPauseMs = 250
/** So many packets a second are sent for news only, to fifty peers or fewer, */
const packetsPerSecond = 200
/** and so many in one go after a time without. */
const burstPackets = 100
/** Who lacks a piece that so many others have does not wait for one more. */
const enough = 4
/** So many are told at a time, */
const fanOut = 2
/** and the next so much later, when the piece may have reached the first. */
const fanOutMs = 100

type Listener = Pick<Peer, 'told' | 'weighed' | 'has'> & {
  readonly connection: { readonly out: { have(piece: number): void } }
}

export interface AnnouncerParts {
  readonly peers: Iterable<Listener>
  /** What we have; a live view. */
  readonly have: Pick<Bitfield, 'complete'>
  /** Connected peers that have the piece, apart from seeds. */
  readonly availability: (piece: number) => number
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** 0 <= random() < 1. */
  readonly random: () => number
}

export class Announcer {
  readonly #parts: AnnouncerParts
  /** Pieces in the order in which they came; grows to the pieces of the artifact. */
  readonly #log: number[] = []
  #timer: NodeJS.Timeout | undefined
  /** When it goes off. */
  #timerAt = 0
  /** Until then the packets that were sent have used up what may be sent. */
  #spentUntil = 0

  constructor(parts: AnnouncerParts) {
    this.#parts = parts
  }

  /** The peer was told everything at the start. */
  join(peer: Pick<Peer, 'told'>): void {
    peer.told = this.#log.length
  }

  add(piece: number): void {
    this.#log.push(piece)
    this.#tellWithin(this.#pauseMs())
  }

  tell(peer: Listener): void {
    while (peer.told < this.#log.length) peer.connection.out.have(this.#log[peer.told++]!)
  }

  #tellWithin(ms: number): void {
    const at = this.#parts.now() + ms
    if (this.#timer && this.#timerAt <= at) return
    clearTimeout(this.#timer)
    this.#timerAt = at
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#tellWhoWaits()
    }, ms)
  }

  #tellWhoWaits(): void {
    const { peers, now, random } = this.#parts
    const waiting = [...peers].filter(peer => this.#weigh(peer))
    const packets = Math.min(fanOut, waiting.length)
    for (let n = 0; n < packets; n++) {
      const [peer] = waiting.splice(Math.floor(random() * waiting.length), 1)
      this.tell(peer!)
    }
    const burstMs = (burstPackets * second) / packetsPerSecond
    const spent = Math.max(this.#spentUntil, now() - burstMs) + (packets * second) / packetsPerSecond
    this.#spentUntil = Math.min(spent, now() + longestPauseMs)
    if (waiting.length > 0) this.#tellWithin(Math.max(fanOutMs, this.#pauseMs()))
  }

  /**
   * News that does not matter to a peer is weighed once: else each new piece would have every seed asked about all that it was not told of yet.
   *
   * @returns Whether it waits for any.
   */
  #weigh(peer: Listener): boolean {
    const { have, availability } = this.#parts
    // What did not matter does not begin to, until nothing more will be said. Where holders have left, the clock is soon enough.
    let at = have.complete ? peer.told : Math.max(peer.told, peer.weighed)
    for (; at < this.#log.length; at++) {
      const piece = this.#log[at]!
      if (!peer.has.has(piece) && (have.complete || availability(piece) < enough)) break
    }
    peer.weighed = at
    return at < this.#log.length
  }

  #pauseMs(): number {
    return Math.max(0, Math.min(this.#spentUntil - this.#parts.now(), longestPauseMs))
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
