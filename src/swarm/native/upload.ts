/**
 * Serves what peers request: a bounded queue for each, blocks from the slab cache to the sockets.
 *
 *   the cable carries it    all are served in turn, each in the order of its requests
 *   it does not             what the fewest have, or have begun to get, goes first: a piece that only this node has leaves it once before
 *                           any leaves it twice, and whoever has it passes it on; but nobody is waited for for long
 *
 * Limits against a peer that asks and does not read: at most `queueLimit` requests are kept for it (the rest is refused), and it is
 * skipped while its socket has a backlog; the connection watches how long that lasts. So it costs its queue and two slabs.
 */
import type { PieceStore } from '../../core/piece-store.ts'
import { KiB, MiB, minute, second } from '../../core/units.ts'
import { type Limiter, onTheLine } from '../limits/limiter.ts'
import { Flight } from './flight.ts'
import type { Block } from './partial-piece.ts'
import { type Slab, SlabCache } from './slab-cache.ts'

/** Requests we keep for a peer; told to it as `reqq`. libtorrent and aria2 pipeline up to 500. */
export const queueLimit = 500
/** One peer's turn. */
const turnBytes = 256 * KiB

/** Of what may be under way to peers, where there is not room for all. */
const spareShare = 1 / 4
/** Two seconds for what is under way, and as long until the news are back. */
const carrierMs = 5 * second
/**
 * In all a piece is left to those who have begun it for so long, and for as long as half of a cable of 1 Mbit/s takes for it: whoever asks for
 * a little of every piece, over and over, would have the others wait for ever. Then it goes to all in turn, until nobody has asked for it for a while.
 */
const carriedMs = 20 * second
const carriedBytesPerSecond = 64 * KiB
const restedMs = minute
/** So long a block waits until there is room for all of it. */
const squeezedMs = second
/** So far ahead is looked for what should go first. */
const lookAhead = 64
/** All turns of one `pump`: then what has arrived meanwhile is looked at. */
const pumpBytes = 4 * MiB

export interface Requester {
  /** Its socket takes more. */
  readonly ready: boolean
  /** Blocks and their bytes, in one write. @param onWritten Called when nobody reads the bytes any more, sent or not. */
  sendBlocks(served: readonly ServedBlock[], onWritten: () => void): void
  /** Say that a request will not be served, if the peer speaks BEP 6. */
  refuse(block: Block): void
}

export interface ServedBlock extends Block {
  /** In one part or two. */
  readonly bytes: readonly Uint8Array[]
}

/** Bytes of a piece that a peer was sent, and when the last of them. */
interface Begun {
  readonly bytes: number
  readonly at: number
}

/** A piece on its way to peers that have not said that they have it. */
interface Outing {
  /** When the first block of it was sent, and the last one. */
  since: number
  at: number
  readonly begun: Map<Requester, Begun>
}

export interface UploadParts {
  readonly store: PieceStore
  readonly limiter: Limiter
  /** Connected peers that have the piece. */
  readonly availability: (piece: number) => number
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export class Uploads {
  readonly flight: Flight<Requester>
  readonly #store: PieceStore
  readonly #cache: SlabCache
  readonly #limiter: Limiter
  readonly #availability: (piece: number) => number
  /** By piece; stays when nobody waits for it any more, so that its time is not counted anew. */
  readonly #outings = new Map<number, Outing>()
  readonly #now: () => number
  /** So long a piece is left to those who have begun it. */
  readonly #carriedMs: number
  /** In the order of their turns. */
  readonly #queues = new Map<Requester, Block[]>()
  /** Since when a peer's next block has waited for room for all of it. */
  readonly #squeezed = new Map<Requester, number>()
  /** Peers whose next block is being read. */
  readonly #loading = new Set<Requester>()
  /** Payload sent. */
  bytesOut = 0
  /** Ends the waiting for the limiter. */
  #unwait: (() => void) | undefined
  #immediate: NodeJS.Immediate | undefined
  /** Somebody waits because enough is under way. */
  #crowded = false
  /** It was so when this turn began: what goes first is chosen. */
  #choosing = false

  constructor({ store, limiter, availability, now }: UploadParts) {
    this.#store = store
    this.#cache = new SlabCache(store)
    this.#limiter = limiter
    this.#availability = availability
    this.#now = now
    this.#carriedMs = carriedMs + (store.layout.pieceLength / carriedBytesPerSecond) * second
    this.flight = new Flight(now)
  }

  /** @param block Inside the artifact and no longer than a block may be: checked by the caller. Call `pump` after the last one. */
  request(peer: Requester, block: Block): void {
    const queue = this.#queues.get(peer) ?? []
    if (queue.length >= queueLimit || !this.#store.have.has(block.piece)) {
      peer.refuse(block)
      return
    }
    queue.push(block)
    this.#queues.set(peer, queue)
  }

  /** The peer does not want it any more; BEP 6 has it told so. */
  cancel(peer: Requester, { piece, begin, length }: Block): void {
    const queue = this.#queues.get(peer) ?? []
    const at = queue.findIndex(block => block.piece === piece && block.begin === begin && block.length === length)
    if (at >= 0) peer.refuse(queue.splice(at, 1)[0]!)
    this.#ended(peer, piece)
  }

  /** The peer has the piece. */
  has(peer: Requester, piece: number): void {
    this.#ended(peer, piece)
  }

  /** The peer is choked: what it has asked for is refused. */
  choke(peer: Requester): void {
    const queue = this.#queues.get(peer) ?? []
    this.#queues.delete(peer)
    this.#squeezed.delete(peer)
    for (const block of queue) peer.refuse(block)
    for (const piece of this.#outings.keys()) this.#ended(peer, piece)
  }

  /** The peer is gone. */
  forget(peer: Requester): void {
    this.#queues.delete(peer)
    this.#squeezed.delete(peer)
    for (const piece of this.#outings.keys()) this.#ended(peer, piece)
    this.flight.gone(peer)
  }

  waiting(peer: Requester): number {
    return this.#queues.get(peer)?.length ?? 0
  }

  /** Send what can be sent now, a turn a peer, until all wait for their sockets, the cable, the disk or the rate limit. */
  pump(): void {
    let left = pumpBytes
    this.#choosing = this.#crowded
    this.#crowded = false
    if (this.#choosing) this.#rarestFirst()
    // A peer that was served goes to the end of the Map, and so is met again by this very loop.
    for (const [peer, queue] of this.#queues) {
      if (this.#unwait || this.#immediate) return
      const served = this.#turn(peer, queue)
      if (served === 0) continue
      // Not one that was found not to read, and is gone.
      if (this.#queues.delete(peer) && queue.length > 0) this.#queues.set(peer, queue)
      left -= served
      if (left <= 0) this.#immediate = setImmediate(() => this.#resume())
    }
  }

  stop(): void {
    this.#unwait?.()
    clearImmediate(this.#immediate)
    this.#queues.clear()
  }

  #resume(): void {
    this.#unwait = this.#immediate = undefined
    this.pump()
  }

  /** Requests and peers by how few have what they are about; where that is equal, as before. */
  #rarestFirst(): void {
    const rank = new Map<Requester, number>()
    for (const [peer, queue] of this.#queues) {
      const spread = (block: Block) => this.#spread(block.piece, peer)
      const ahead = queue.slice(0, lookAhead).map(block => ({ block, spread: spread(block) }))
      ahead.sort((a, b) => a.spread - b.spread)
      queue.splice(0, ahead.length, ...ahead.map(({ block }) => block))
      rank.set(peer, ahead[0]?.spread ?? 0)
    }
    const turns = [...this.#queues].sort(([a], [b]) => rank.get(a)! - rank.get(b)!)
    this.#queues.clear()
    for (const [peer, queue] of turns) this.#queues.set(peer, queue)
  }

  /**
   * May the block follow `sum` bytes of this turn? What somebody else passes on, too, only keeps a cable from being idle. Where there is room for a part
   * of it only, it waits for more, but not for long: those who ask for small blocks would always find room before it.
   */
  #fits(peer: Requester, { piece, length }: Block, sum: number): boolean {
    const share = this.#choosing && this.#spread(piece, peer) > 0 ? spareShare : 1
    if (sum >= this.flight.room(peer, share)) return false
    if (this.flight.carries(peer, sum + length, share)) return true
    const since = this.#squeezed.get(peer) ?? this.#now()
    this.#squeezed.set(peer, since)
    return sum === 0 && this.#now() - since >= squeezedMs
  }

  /** Peers that have the piece, and one more when another peer is about to have it from here. */
  #spread(piece: number, peer: Requester): number {
    const carrier = this.#carrier(piece)
    return this.#availability(piece) + (carrier === undefined || carrier === peer ? 0 : 1)
  }

  /** Who was sent most of the piece, as long as it goes on: who takes it and tells nobody holds it up for a while only. */
  #carrier(piece: number): Requester | undefined {
    const outing = this.#outings.get(piece)
    const now = this.#now()
    if (!outing || now - outing.since > this.#carriedMs) return undefined
    const fresh = now - carrierMs
    let most = 0
    let carrier: Requester | undefined
    for (const [peer, { bytes, at }] of outing.begun) {
      if (at < fresh || bytes <= most) continue
      most = bytes
      carrier = peer
    }
    return carrier
  }

  #begin(peer: Requester, { piece, length }: Block): void {
    const now = this.#now()
    const outing = this.#outings.get(piece) ?? { since: now, at: now, begun: new Map<Requester, Begun>() }
    this.#outings.set(piece, outing)
    if (now - outing.at > restedMs) outing.since = now
    outing.at = now
    outing.begun.set(peer, { bytes: (outing.begun.get(peer)?.bytes ?? 0) + length, at: now })
  }

  #ended(peer: Requester, piece: number): void {
    this.#outings.get(piece)?.begun.delete(peer)
  }

  /** @returns Bytes sent. */
  #turn(peer: Requester, queue: Block[]): number {
    if (!peer.ready || this.#loading.has(peer)) return 0
    const served: ServedBlock[] = []
    const lent: Slab[] = []
    let sum = 0
    for (const block of queue) {
      if (sum >= turnBytes) break
      if (!this.#fits(peer, block, sum)) {
        this.#crowded = true
        break
      }
      const loan = this.#cache.borrow(block.piece, block.begin, block.length)
      if (!loan) {
        void this.#load(peer, block)
        break
      }
      lent.push(...loan.slabs)
      if (!this.#limiter.take(onTheLine(block.length))) {
        this.#unwait = this.#limiter.ready(() => this.#resume())
        break
      }
      served.push({ piece: block.piece, begin: block.begin, length: block.length, bytes: loan.bytes })
      this.#begin(peer, block)
      sum += block.length
    }
    queue.splice(0, served.length)
    this.bytesOut += sum
    if (sum > 0) this.flight.sent(peer, sum)
    if (sum > 0) this.#squeezed.delete(peer)
    const giveBack = () => this.#cache.giveBack(lent)
    if (sum > 0) peer.sendBlocks(served, giveBack)
    else giveBack()
    return sum
  }

  async #load(peer: Requester, block: Block): Promise<void> {
    this.#loading.add(peer)
    try {
      await this.#cache.load(block.piece, block.begin, block.length)
    } catch {
      // A disk that cannot be read is the store's to report; the peer asks elsewhere.
      this.cancel(peer, block)
    }
    this.#loading.delete(peer)
    this.pump()
  }
}
