/**
 * Which block to ask a peer for next. Pure: peers, pieces and chance come in, blocks come out; nothing here knows a socket.
 *
 *   1 go on        with the piece this peer is bringing
 *   2 adopt        a started piece whose bringer is gone or slow: finish what is begun
 *   3 start        the rarest piece it has (among equally rare ones what it suggests, or a random one)
 *   4 help         with a piece that another peer is bringing, when nothing may be started
 *   5 double       end game: ask for blocks that others were asked for a while ago, so that the slowest does not decide the end
 *
 * Rules
 *  - a peer brings whole pieces as long as there are pieces to start, so a bad piece has one culprit
 *  - a piece that failed after several peers had brought it comes whole from one: no helping, no doubling
 *  - a block is never under way more than `mostRequests` times
 *  - started pieces, and with them the memory for their bytes, are limited; a stuck one gives way when the limit is reached
 */
import type { Bitfield } from '../../core/bitfield.ts'
import { type Block, type Bringer, PartialPiece, unitBytes } from './partial-piece.ts'
import { RarityOrder } from './rarity-order.ts'

/** A peer, as the picker sees it. */
export interface Asker extends Bringer {
  /** The piece that it is bringing and that still has free units. Written by the picker only. */
  current: PartialPiece | undefined
  /** Pieces it has begun or adopted that are neither stored nor given up. Written by the picker only. */
  held: number
  /** Nothing to start was found at this count of `restored`; a peer's new piece sets it to -1. */
  barren: number
  /** Nothing to ask for twice was found at this time; monotonic milliseconds. Written by the picker only. */
  undoubledAt: number
  /** Pieces that it would rather send than others. Anything may be in there. */
  readonly suggested: readonly number[]
  /** How long it takes to answer a request. */
  readonly answerMs: number
  /** A request for this unit is under way with it. */
  asked(piece: number, unit: number): boolean
}

export interface Grants {
  /** May begin (or adopt) a piece of its own. */
  readonly start: boolean
  /** May bring blocks of a piece that others bring too. */
  readonly help: boolean
}

export interface PickerParts {
  readonly have: Pick<Bitfield, 'has' | 'length'>
  /** Started pieces at most. */
  readonly mostStarted: number
  /** Bytes of a piece, and memory for them. */
  readonly length: (piece: number) => number
  readonly memory: (piece: number) => Uint8Array
  /** A started piece is stored or given up: its memory is free again. */
  readonly onEnded: (partial: PartialPiece) => void
  /** 0 <= random() < 1. */
  readonly random: () => number
}

const mostRequests = 3
/**
 * In the end game a block that is under way for so long, and for as long as the other peer takes to answer, is asked of that one, too;
 * sooner, and every last block would come twice.
 */
export const overdueMs = 250
/** To look for such blocks takes long, and finds none most of the time: a peer that is waiting for more to do has them looked for this often. */
const doubleLookMs = 50

export class Picker {
  readonly started = new Map<number, PartialPiece>()
  readonly order: RarityOrder
  readonly #parts: PickerParts
  /** All started pieces that have free units, and some that have none any more. */
  readonly #open = new Set<PartialPiece>()
  /** Pieces that several peers spoilt together. */
  readonly #spoilt = new Set<number>()
  #restored = 0

  constructor(parts: PickerParts) {
    this.#parts = parts
    this.order = new RarityOrder(parts.have.length, parts.random)
    for (let piece = 0; piece < parts.have.length; piece++) if (parts.have.has(piece)) this.order.remove(piece)
  }

  /**
   * @param grants Asked when the peer has no piece of its own to go on with.
   * @param now Monotonic milliseconds.
   * @returns What to ask for, at most `mostBytes` (at least one unit); `undefined`: nothing now.
   */
  next(asker: Asker, mostBytes: number, now: number, grants: () => Grants): Block | undefined {
    const going = asker.current?.take(mostBytes, now)
    if (going) return going
    const { start, help } = grants()
    return (
      (start ? (this.#adopt(asker) ?? this.#start(asker))?.take(mostBytes, now) : undefined) ??
      (help ? (this.#help(asker)?.take(mostBytes, now) ?? this.#double(asker, now)) : undefined)
    )
  }

  /** A request to `asker` will not be answered: choked, rejected, too late, gone. */
  release(asker: Asker, partial: PartialPiece, block: Block): void {
    partial.release(block)
    if (this.started.get(partial.index) === partial) this.#open.add(partial)
    if (partial.owner !== asker || partial.complete) return
    this.#disown(partial)
    if (partial.exclusive && this.started.get(partial.index) === partial) this.again(partial)
  }

  /** `asker` goes no further with any of its pieces: choked, or gone. */
  leave(asker: Asker): void {
    for (const partial of this.started.values()) {
      if (partial.owner !== asker || partial.complete) continue
      this.#disown(partial)
      if (partial.exclusive) this.again(partial)
    }
  }

  /** The piece is stored, whoever brought it. */
  stored(piece: number): void {
    const partial = this.started.get(piece)
    if (partial) this.#end(partial)
    this.#spoilt.delete(piece)
    this.order.remove(piece)
  }

  /** The piece is given up: from the start again. @param spoilt It was bad, and several peers had brought it. */
  again(partial: PartialPiece, spoilt = false): void {
    this.#end(partial)
    if (spoilt) this.#spoilt.add(partial.index)
    this.order.restore(partial.index)
    this.#restored++
  }

  #adopt(asker: Asker): PartialPiece | undefined {
    for (const partial of this.#opened())
      if (!partial.owner && !partial.exclusive && asker.has.has(partial.index)) return this.#own(asker, partial)
    return undefined
  }

  #start(asker: Asker): PartialPiece | undefined {
    if (asker.barren === this.#restored) return undefined
    const rarest = this.order.first(asker.has)
    if (rarest < 0) asker.barren = this.#restored
    if (rarest < 0 || (this.started.size >= this.#parts.mostStarted && !this.#makeRoom())) return undefined
    const piece = this.#suggested(asker, rarest) ?? rarest
    const { length, memory } = this.#parts
    const partial = new PartialPiece(piece, length(piece), () => memory(piece), asker, this.#spoilt.has(piece))
    this.order.remove(piece)
    this.started.set(piece, partial)
    this.#open.add(partial)
    return this.#own(asker, partial)
  }

  #suggested({ suggested, has }: Asker, rarest: number): number | undefined {
    const rare = (piece: number) => this.order.availability(piece) <= this.order.availability(rarest)
    return suggested.find(piece => has.has(piece) && this.order.includes(piece) && rare(piece))
  }

  #own(asker: Asker, partial: PartialPiece): PartialPiece {
    partial.owner = asker
    asker.current = partial
    asker.held++
    return partial
  }

  #disown(partial: PartialPiece): void {
    const owner = partial.owner as Asker | undefined
    if (!owner) return
    owner.held--
    if (owner.current === partial) owner.current = undefined
    partial.owner = undefined
  }

  #end(partial: PartialPiece): void {
    this.started.delete(partial.index)
    this.#open.delete(partial)
    this.#disown(partial)
    this.#parts.onEnded(partial)
  }

  /** Give up the started piece that nobody goes on with and that has the least to lose. */
  #makeRoom(): boolean {
    let least: PartialPiece | undefined
    for (const partial of this.#opened())
      if (partial.idle && !partial.owner && partial.received < (least?.received ?? Infinity)) least = partial
    if (least) this.again(least)
    return least !== undefined
  }

  #help(asker: Asker): PartialPiece | undefined {
    for (const partial of this.#opened()) {
      if (partial.exclusive || !asker.has.has(partial.index)) continue
      partial.shared = true
      return partial
    }
    return undefined
  }

  /** One unit at a time: it is the last of them that are wanted, and wasted when the other answer comes after all. */
  #double(asker: Asker, now: number): Block | undefined {
    if (now - asker.undoubledAt < doubleLookMs) return undefined
    const then = now - overdueMs - asker.answerMs
    // In the order in which they were started: what follows the first that is too young is younger still.
    for (const partial of this.started.values()) {
      if (partial.firstAskedAt >= then) break
      // What only this peer was asked for, it will not bring sooner for being asked again.
      if (partial.complete || partial.exclusive || (partial.owner === asker && !partial.shared)) continue
      if (!asker.has.has(partial.index)) continue
      const asked = (unit: number) => asker.asked(partial.index, unit)
      const block = partial.double(unitBytes, mostRequests, then, now, asked)
      if (!block) continue
      partial.shared = true
      return block
    }
    asker.undoubledAt = now
    return undefined
  }

  /** Started pieces with free units. */
  *#opened(): Generator<PartialPiece> {
    for (const partial of this.#open)
      if (partial.free > 0) yield partial
      else this.#open.delete(partial)
  }
}
