/**
 * Serves what peers request: a bounded queue for each, all served in turn, blocks from the slab cache to the sockets.
 *
 * Limits against a peer that asks and does not read: at most `queueLimit` requests are kept for it (the rest is refused), and it is
 * skipped while its socket has a backlog; the connection watches how long that lasts. So it costs its queue and two slabs.
 */
import type { PieceStore } from '../../core/piece-store.ts'
import { KiB, MiB } from '../../core/units.ts'
import { type Limiter, onTheLine } from '../limits/limiter.ts'
import type { Block } from './partial-piece.ts'
import { type Slab, SlabCache } from './slab-cache.ts'

/** Requests we keep for a peer; told to it as `reqq`. libtorrent and aria2 pipeline up to 500. */
export const queueLimit = 500
/** One peer's turn. */
const turnBytes = 256 * KiB

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

export class Uploads {
  readonly #store: PieceStore
  readonly #cache: SlabCache
  readonly #limiter: Limiter
  /** In the order of their turns. */
  readonly #queues = new Map<Requester, Block[]>()
  /** Peers whose next block is being read. */
  readonly #loading = new Set<Requester>()
  /** Payload sent. */
  bytesOut = 0
  /** Ends the waiting for the limiter. */
  #unwait: (() => void) | undefined
  #immediate: NodeJS.Immediate | undefined

  constructor(store: PieceStore, limiter: Limiter) {
    this.#store = store
    this.#cache = new SlabCache(store)
    this.#limiter = limiter
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
  }

  /** The peer is choked: what it has asked for is refused. */
  choke(peer: Requester): void {
    const queue = this.#queues.get(peer) ?? []
    this.#queues.delete(peer)
    for (const block of queue) peer.refuse(block)
  }

  /** The peer is gone. */
  forget(peer: Requester): void {
    this.#queues.delete(peer)
  }

  waiting(peer: Requester): number {
    return this.#queues.get(peer)?.length ?? 0
  }

  /** Send what can be sent now, a turn a peer, until all wait for their sockets, the disk or the rate limit. */
  pump(): void {
    let left = pumpBytes
    // A peer that was served goes to the end of the Map, and so is met again by this very loop.
    for (const [peer, queue] of this.#queues) {
      if (this.#unwait || this.#immediate) return
      const served = this.#turn(peer, queue)
      if (served === 0) continue
      this.#queues.delete(peer)
      if (queue.length > 0) this.#queues.set(peer, queue)
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

  /** @returns Bytes sent. */
  #turn(peer: Requester, queue: Block[]): number {
    if (!peer.ready || this.#loading.has(peer)) return 0
    const served: ServedBlock[] = []
    const lent: Slab[] = []
    let sum = 0
    for (const block of queue) {
      if (sum >= turnBytes) break
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
      sum += block.length
    }
    queue.splice(0, served.length)
    this.bytesOut += sum
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
