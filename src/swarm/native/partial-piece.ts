/**
 * A piece that has been started: its bytes so far, which 16 KiB units are free, asked for or here, and who brought each. Pure but
 * for the buffer it fills.
 *
 * Requests may be larger than a unit (our own nodes), and any two may overlap in the end game; units make them comparable.
 */
import type { Bitfield } from '../../core/bitfield.ts'
import { standardBlockBytes } from './message.ts'

export const unitBytes = standardBlockBytes

/** A span of one piece, as requests name it. `begin` is a multiple of `unitBytes`. */
export interface Block {
  readonly piece: number
  readonly begin: number
  readonly length: number
}

/** Who brings blocks: anything that tells peers apart. */
export interface Bringer {
  /** Its address: what a strike is held against. */
  readonly host: string
  /** What it says it has. */
  readonly has: Bitfield
}

const here = 255

export class PartialPiece {
  readonly index: number
  /** Bytes of the whole piece. */
  readonly length: number
  readonly #memory: () => Uint8Array
  #bytes: Uint8Array | undefined
  #adopted = false
  /** Comes whole from `owner`, because blocks of several peers did not make a good piece before. */
  readonly exclusive: boolean
  /** Who started or adopted it; with no owner it is anybody's to finish. */
  owner: Bringer | undefined
  /** Units nobody was asked for, units on their way, units not here yet. */
  free: number
  missing: number
  /** Per unit: 0 free, 1-254 requests under way, 255 here. */
  readonly #state: Uint8Array
  readonly #from: (Bringer | undefined)[]
  /** When each unit was asked for last; monotonic milliseconds. */
  readonly #askedAt: Float64Array
  #firstFree = 0
  /** When any of it was asked for first. */
  firstAskedAt = Infinity
  /** Some of it was asked of others than its owner. */
  shared = false
  /** Some of it was asked for more than once. */
  doubled = false

  /** @param memory Gives `length` bytes, asked for when the first block is here: of what is only asked for, there is a lot. */
  constructor(index: number, length: number, memory: () => Uint8Array, owner: Bringer, exclusive: boolean) {
    this.index = index
    this.length = length
    this.#memory = memory
    this.owner = owner
    this.exclusive = exclusive
    const units = Math.ceil(length / unitBytes)
    this.#state = new Uint8Array(units)
    this.#askedAt = new Float64Array(units)
    this.#from = Array<Bringer | undefined>(units).fill(undefined)
    this.free = this.missing = units
  }

  /** The piece; only units that are here mean anything. */
  get bytes(): Uint8Array {
    this.#bytes ??= this.#memory()
    return this.#bytes
  }

  /** The memory it has taken, if any. */
  get taken(): Uint8Array | undefined {
    return this.#bytes
  }

  /** That memory is not what was given for the piece, but what its one block came in. */
  get adopted(): boolean {
    return this.#adopted
  }

  get complete(): boolean {
    return this.missing === 0
  }

  /** Nothing of it is on its way, and it waits for somebody to go on. */
  get idle(): boolean {
    return this.missing > 0 && this.free === this.missing
  }

  /** Bytes here. */
  get received(): number {
    return Math.min(this.length, (this.#state.length - this.missing) * unitBytes)
  }

  /** Take the first free units, as many as fit into `mostBytes` (at least one unit) side by side. */
  take(mostBytes: number, now: number): Block | undefined {
    if (this.free === 0) return undefined
    while (this.#state[this.#firstFree] !== 0) this.#firstFree++
    return this.#claim(this.#firstFree, mostBytes, now, unit => this.#state[unit] === 0)
  }

  /** Take units that others were asked for before `then` (fewer than `mostRequests` each) and that `asked` does not have itself. */
  double(mostBytes: number, mostRequests: number, then: number, now: number, asked: (unit: number) => boolean) {
    const open = (unit: number) => {
      const state = this.#state[unit]!
      return state > 0 && state < mostRequests && this.#askedAt[unit]! < then && !asked(unit)
    }
    let start = 0
    while (start < this.#state.length && !open(start)) start++
    if (start === this.#state.length) return undefined
    this.doubled = true
    return this.#claim(start, mostBytes, now, open)
  }

  /** A request will not be answered. */
  release({ begin, length }: Block): void {
    for (let unit = begin / unitBytes; unit * unitBytes < begin + length; unit++) {
      const state = this.#state[unit]!
      if (state === here || state === 0) continue
      this.#state[unit] = state - 1
      if (state > 1) continue
      this.free++
      this.#firstFree = Math.min(this.#firstFree, unit)
    }
  }

  /**
   * A block has arrived.
   *
   * @param begin A multiple of `unitBytes`; `block` reaches to the end of a unit or of the piece.
   * @param keep Makes the memory of `block` the piece's own, or returns false: then it is copied. Asked for a block that is the piece.
   * @returns Bytes that were not here yet, and are now.
   */
  fill(begin: number, block: Uint8Array, from: Bringer, keep: () => boolean = () => false): number {
    let fresh = 0
    if (block.length === this.length && !this.#bytes && keep()) {
      this.#bytes = block
      this.#adopted = true
    }
    for (let at = 0; at < block.length; at += unitBytes) {
      const unit = (begin + at) / unitBytes
      const state = this.#state[unit]!
      if (state === here) continue
      const end = Math.min(at + unitBytes, block.length)
      if (!this.#adopted) this.bytes.set(block.subarray(at, end), begin + at)
      if (state === 0) this.free--
      this.missing--
      this.#state[unit] = here
      this.#from[unit] = from
      fresh += end - at
    }
    return fresh
  }

  /** All of the block is here. */
  holds({ begin, length }: Block): boolean {
    for (let unit = begin / unitBytes; unit * unitBytes < begin + length; unit++)
      if (this.#state[unit] !== here) return false
    return true
  }

  /** Who brought the whole of a complete piece; `undefined` when several did. */
  soleBringer(): Bringer | undefined {
    const [first] = this.#from
    return this.#from.every(from => from === first) ? first : undefined
  }

  /** The units that are here, with their bytes and who brought them. */
  *units(): Generator<{ unit: number; bytes: Uint8Array; from: Bringer }> {
    for (const [unit, from] of this.#from.entries())
      if (from) yield { unit, bytes: this.bytes.subarray(unit * unitBytes, (unit + 1) * unitBytes), from }
  }

  #claim(start: number, mostBytes: number, now: number, may: (unit: number) => boolean): Block {
    this.firstAskedAt = Math.min(this.firstAskedAt, now)
    const most = Math.max(1, Math.floor(mostBytes / unitBytes))
    let end = start
    while (end < this.#state.length && end - start < most && may(end)) {
      if (this.#state[end]!++ === 0) this.free--
      this.#askedAt[end] = now
      end++
    }
    const begin = start * unitBytes
    return { piece: this.index, begin, length: Math.min(end * unitBytes, this.length) - begin }
  }
}
