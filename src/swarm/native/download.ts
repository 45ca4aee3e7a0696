/**
 * The fetching half of a swarm: keeps every peer's pipeline full of what the picker chooses, puts pieces together, has the store
 * judge them, and draws the consequences for who brought them.
 */

import { pieceSize } from '../../core/artifact.ts'
import { ContentError } from '../../core/errors.ts'
import type { PieceStore } from '../../core/piece-store.ts'
import { KiB, MiB, second } from '../../core/units.ts'
import { type Limiter, onTheLine } from '../limits/limiter.ts'
import { BufferPool } from './buffer-pool.ts'
import { Evidence } from './evidence.ts'
import { blockHeadBytes } from './frame-decoder.ts'
import { LineWindow } from './line-window.ts'
import { largestBlockBytes } from './message.ts'
import type { Block, PartialPiece } from './partial-piece.ts'
import type { Peer } from './peer.ts'
import { overdueMs, Picker } from './picker.ts'
import type { Request } from './pipeline.ts'
import { type Experience, grantsFor } from './trust.ts'

/** Memory for pieces under way, and how many may be at the most and must be at the least. */
const startedBytes = 16 * MiB
const mostStarted = 64
const fewestStarted = 4
/** A second of a cable of 1 Mbit/s; two before a peer that does not answer no longer counts. */
const downlink = { leastBytes: 128 * KiB, spanMs: second / 2, staleMs: 2 * second }
/** Blocks nobody asked for: a race explains a few. */
const unaskedLimitBytes = 2 * MiB

export interface DownloadParts {
  readonly store: PieceStore
  readonly peers: Iterable<Peer>
  /** Of what is asked for, since that is what comes. */
  readonly limiter: Limiter
  readonly random: () => number
  readonly now: () => number
  /** There is something to ask a peer for; it may be late with it. */
  readonly onWanting: () => void
  /** `host` brought a bad piece. */
  readonly onStrike: (host: string) => void
  /** The store cannot be written. */
  readonly onFault: (error: unknown) => void
}

export class Download {
  readonly picker: Picker
  /** What is asked of all peers together. */
  readonly line: LineWindow
  readonly #parts: DownloadParts
  /** Memory for the frames of blocks, which becomes the piece's where a block is the piece; and for pieces that are put together. */
  readonly frames: BufferPool
  readonly #pool: BufferPool
  readonly #evidence = new Evidence()
  /** Complete pieces that the store is looking at. */
  readonly #judged = new Set<PartialPiece>()
  /** Peers that could be asked if there were something to ask for. */
  readonly #hungry = new Set<Peer>()
  /** Some peer has nothing to do because enough is asked of the others. */
  #crowded = false
  #waking: NodeJS.Immediate | undefined
  /** Ends the waiting for the limiter. */
  #unwait: (() => void) | undefined
  #endGame: NodeJS.Timeout | undefined
  #stopped = false
  #good = 0
  #bad = 0
  /** Payload of good pieces; payload thrown away. */
  bytesIn = 0
  bytesWasted = 0

  constructor(parts: DownloadParts) {
    const { layout, have } = parts.store
    const most = Math.max(fewestStarted, Math.min(mostStarted, Math.floor(startedBytes / layout.pieceLength)))
    this.#parts = parts
    this.line = new LineWindow(downlink, parts.now())
    const pieceBytes = Math.min(layout.pieceLength, layout.length)
    this.frames = new BufferPool(blockHeadBytes + Math.min(pieceBytes, largestBlockBytes), most)
    this.#pool = pieceBytes > largestBlockBytes ? new BufferPool(pieceBytes, most) : this.frames
    this.picker = new Picker({
      have,
      mostStarted: most,
      length: piece => pieceSize(layout, piece),
      memory: piece => this.#pool.take(pieceSize(layout, piece)),
      onEnded: partial => this.#recycle(partial),
      random: parts.random,
    })
  }

  /** Ask the peer for as much as its pipeline takes. */
  fill(peer: Peer): void {
    if (this.#stopped || peer.choking || peer.wanted === 0 || peer.connection.closed) return
    const now = this.#parts.now()
    // Requests go out several at a time: one write for them, and one read at the other end.
    if (!peer.pipeline.hungry(now)) return
    this.#parts.onWanting()
    const grants = () => grantsFor(peer, this.#parts.peers, this.#experience())
    const { limiter } = this.#parts
    while (peer.pipeline.room(now) > 0) {
      if (!limiter.take(0)) {
        this.#waitForLimit(peer)
        return
      }
      const block = this.picker.next(peer, peer.pipeline.blockBytes(now), now, grants)
      if (!block) {
        this.#hungry.add(peer)
        this.#endGame ??= setTimeout(() => this.#lookAgain(), overdueMs)
        return
      }
      peer.request(this.picker.started.get(block.piece)!, block, now)
      limiter.take(onTheLine(block.length))
    }
    if (!peer.pipeline.idle) return void this.#hungry.delete(peer)
    this.#hungry.add(peer)
    this.#crowded = true
  }

  block(peer: Peer, piece: number, begin: number, bytes: Uint8Array): void {
    const now = this.#parts.now()
    const request = peer.pipeline.answered(piece, begin, bytes.length, now)
    if (!request) {
      this.#unasked(peer, bytes.length)
      return
    }
    peer.bytesIn += bytes.length
    peer.usefulAt = now
    if (this.#crowded) this.#wake()
    const { partial } = request
    const welcome = this.picker.started.get(piece) === partial && (!partial.exclusive || partial.owner === peer)
    const fresh = welcome ? partial.fill(begin, bytes, peer, () => peer.connection.keep(bytes)) : 0
    this.bytesWasted += bytes.length - fresh
    if (fresh === 0) return
    if (partial.doubled) this.#withdraw(piece, other => partial.holds(other))
    if (partial.complete) void this.#judge(partial)
  }

  /** The peer will not answer this request. */
  rejected(peer: Peer, { piece, begin, length }: Block): void {
    const request = peer.pipeline.refused(piece, begin, length)
    if (!request || request.lapsed) return
    this.#release(peer, [request])
    // It lacks what it claimed, or cannot read it: to ask again at once would go on for ever.
    if (!peer.choking) this.#lacks(peer, piece)
  }

  choked(peer: Peer): void {
    // With BEP 6 each request is refused by name.
    if (!peer.fast) this.#release(peer, peer.pipeline.clear())
    this.picker.leave(peer)
    this.#wake()
  }

  gone(peer: Peer): void {
    this.#hungry.delete(peer)
    this.#release(peer, peer.pipeline.clear())
    this.picker.leave(peer)
    if (peer.counted) for (const piece of peer.has.pieces()) this.picker.order.lost(piece)
  }

  /** A look at the clock: the late lose their requests, and get new ones only when the others have had their choice. */
  tick(now: number): void {
    for (const peer of this.#parts.peers) {
      if (peer.pipeline.late(now)) this.#release(peer, peer.pipeline.lapse())
      else this.fill(peer)
    }
  }

  /** A piece is in the store, whoever put it there. */
  stored(piece: number): void {
    const partial = this.picker.started.get(piece)
    if (partial && !this.#judged.has(partial)) this.#withdraw(piece, () => true)
    this.picker.stored(piece)
    for (const peer of this.#parts.peers) if (peer.has.has(piece)) peer.wanted--
    if (this.#parts.store.have.complete) this.#letGo()
  }

  /** What the peer has was learnt in one go. */
  inventory(peer: Peer): void {
    const { have } = this.#parts.store
    peer.wanted = peer.has.countBeyond(have)
    peer.counted = !peer.has.complete
    if (peer.counted) for (const piece of peer.has.pieces()) this.picker.order.gained(piece)
  }

  /** The peer has one piece more. */
  have(peer: Peer, piece: number): void {
    if (peer.counted) this.picker.order.gained(piece)
    peer.barren = -1
    if (!this.#parts.store.have.has(piece)) peer.wanted++
  }

  stop(): void {
    this.#stopped = true
    clearImmediate(this.#waking)
    this.#unwait?.()
    clearTimeout(this.#endGame)
    this.#hungry.clear()
    this.#letGo()
  }

  async #judge(partial: PartialPiece): Promise<void> {
    this.#judged.add(partial)
    try {
      const outcome = await this.#parts.store.put(partial.index, partial.bytes)
      if (outcome === 'stored') this.#credit(partial)
      else this.bytesWasted += partial.length
    } catch (error) {
      if (error instanceof ContentError) this.#blame(partial)
      else this.#parts.onFault(error)
    }
    this.#judged.delete(partial)
    this.#recycle(partial)
    this.#wake()
  }

  #credit(partial: PartialPiece): void {
    this.#good++
    this.bytesIn += partial.length
    const bringer = partial.soleBringer() as Peer | undefined
    if (bringer) bringer.good++
    for (const host of this.#evidence.convict(partial)) this.#parts.onStrike(host)
  }

  #blame(partial: PartialPiece): void {
    this.#bad++
    this.bytesWasted += partial.length
    const culprit = partial.soleBringer()
    if (!culprit) this.#evidence.record(partial)
    if (this.picker.started.get(partial.index) === partial) this.picker.again(partial, !culprit)
    if (culprit) this.#parts.onStrike(culprit.host)
  }

  #release(peer: Peer, requests: readonly Request[]): void {
    for (const request of requests) this.picker.release(peer, request.partial, request)
    if (requests.length > 0) this.#wake()
  }

  /** Nobody needs to answer these requests for a piece any more. */
  #withdraw(piece: number, which: (block: Block) => boolean): void {
    for (const peer of this.#parts.peers)
      for (const request of peer.pipeline.withdraw(piece, which)) peer.cancel(request)
  }

  #lacks(peer: Peer, piece: number): void {
    if (!peer.has.has(piece)) return
    peer.has.clear(piece)
    if (peer.counted) this.picker.order.lost(piece)
    if (!this.#parts.store.have.has(piece)) peer.wanted--
  }

  #unasked(peer: Peer, bytes: number): void {
    this.bytesWasted += bytes
    peer.unasked += bytes
    if (peer.unasked > unaskedLimitBytes) peer.connection.close('sends what nobody asked for')
  }

  /** A piece is no longer under way: its memory is free, unless the store still reads it. */
  #recycle(partial: PartialPiece): void {
    if (this.#judged.has(partial)) return
    if (!partial.complete) this.bytesWasted += partial.received
    if (partial.taken) (partial.adopted ? this.frames : this.#pool).give(partial.taken)
  }

  #letGo(): void {
    this.frames.clear()
    this.#pool.clear()
  }

  #wake(): void {
    if (this.#hungry.size === 0 || this.#stopped) return
    this.#waking ??= setImmediate(() => {
      this.#waking = undefined
      this.#feed()
    })
  }

  #feed(): void {
    this.#crowded = false
    for (const peer of [...this.#hungry]) this.fill(peer)
  }

  /** In turn with the other peers, and this swarm in turn with the other swarms. */
  #waitForLimit(peer: Peer): void {
    this.#hungry.delete(peer)
    this.#hungry.add(peer)
    this.#unwait ??= this.#parts.limiter.ready(() => {
      this.#unwait = undefined
      this.#feed()
    })
  }

  /** What was under way a moment ago may be overdue now. */
  #lookAgain(): void {
    this.#endGame = undefined
    this.#wake()
  }

  #experience(): Experience {
    return { good: this.#good, bad: this.#bad, unstarted: this.picker.order.length }
  }
}
