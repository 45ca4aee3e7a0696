/**
 * The pieces still to be started, rarest first, in one array cut into buckets by how many peers have each. Pure.
 *
 *   order     7 2 | 5 0 9 | 1 3          availability 0: 7 2, 1: 5 0 9, 2: 1 3
 *   ends      2     5       7            where each bucket ends
 *
 * A piece moves to the next bucket by one swap with the bucket's edge: what peers announce costs O(1) a piece, and the rarest is at
 * the front. Only taking a piece out (once a piece, not once a block) walks the edges of the buckets. Peers that have everything
 * are not counted at all: they shift all buckets alike. The first shuffle is the random start: among equally rare pieces each
 * node begins elsewhere, or all would ask the one seed for the same.
 */
import { Bitfield } from '../../core/bitfield.ts'

export class RarityOrder {
  readonly #order: Int32Array
  /** Where a piece stands in `#order`; past `#length` when it is not to be started. */
  readonly #position: Int32Array
  readonly #availability: Uint16Array
  /** `#ends[a]`: one past the last piece of availability `a`; as long as the largest availability needs. */
  readonly #ends: number[]
  #length: number
  /** The pieces before `#length`, as a set: spares `first` those that are here or started. */
  readonly #startable: Bitfield

  /** @param random 0 <= random() < 1. */
  constructor(pieces: number, random: () => number) {
    this.#order = Int32Array.from({ length: pieces }, (_, piece) => piece)
    for (let at = pieces - 1; at > 0; at--) {
      const other = Math.floor(random() * (at + 1))
      const moved = this.#order[at]!
      this.#order[at] = this.#order[other]!
      this.#order[other] = moved
    }
    this.#position = new Int32Array(pieces)
    for (let at = 0; at < pieces; at++) this.#position[this.#order[at]!] = at
    this.#availability = new Uint16Array(pieces)
    this.#ends = [pieces]
    this.#length = pieces
    this.#startable = Bitfield.full(pieces)
  }

  /** Pieces still to be started. */
  get length(): number {
    return this.#length
  }

  includes(piece: number): boolean {
    return this.#position[piece]! < this.#length
  }

  /** Peers, apart from those that have everything, that have `piece`. */
  availability(piece: number): number {
    return this.#availability[piece]!
  }

  /** One more peer has `piece`. */
  gained(piece: number): void {
    const bucket = this.#availability[piece]!++
    if (!this.includes(piece)) return
    if (this.#ends.length === bucket + 1) this.#ends.push(this.#length)
    this.#swap(this.#position[piece]!, --this.#ends[bucket]!)
  }

  /** A peer that had `piece` is gone. */
  lost(piece: number): void {
    const bucket = --this.#availability[piece]!
    if (!this.includes(piece)) return
    this.#swap(this.#position[piece]!, this.#ends[bucket]!++)
  }

  /** `piece` is started, or came from elsewhere. */
  remove(piece: number): void {
    if (!this.includes(piece)) return
    this.#startable.clear(piece)
    // Swap it over the edge of every higher bucket, to the end.
    let at = this.#position[piece]!
    for (let bucket = this.#availability[piece]!; bucket < this.#ends.length; bucket++) {
      const last = --this.#ends[bucket]!
      this.#swap(at, last)
      at = last
    }
    this.#length--
  }

  /** `piece` is to be started after all. */
  restore(piece: number): void {
    if (this.includes(piece)) return
    this.#startable.set(piece)
    const bucket = this.#availability[piece]!
    while (this.#ends.length <= bucket) this.#ends.push(this.#length)
    this.#swap(this.#position[piece]!, this.#length)
    let at = this.#length++
    for (let higher = this.#ends.length - 1; higher > bucket; higher--) {
      const first = this.#ends[higher - 1]!
      this.#ends[higher]!++
      this.#swap(at, first)
      at = first
    }
    this.#ends[bucket]!++
  }

  /**
   * @param has Of the artifact's pieces.
   * @returns The rarest of them that is still to be started; -1 when there is none. Is one of the rarest among them, it is found at once; else the
   *   sets are compared as a whole, byte by byte, after as many looks as that takes.
   */
  first(has: Pick<Bitfield, 'has' | 'bytes'>): number {
    const startable = this.#startable.bytes
    const rarest = Math.min(this.#length, startable.length)
    for (let at = 0; at < rarest; at++) if (has.has(this.#order[at]!)) return this.#order[at]!
    if (rarest === this.#length) return -1
    let best = this.#length
    for (let at = 0; at < startable.length; at++) {
      const both = startable[at]! & has.bytes[at]!
      if (both === 0) continue
      for (let bit = 0; bit < 8; bit++)
        if ((both & (0x80 >> bit)) !== 0) best = Math.min(best, this.#position[at * 8 + bit]!)
    }
    return best < this.#length ? this.#order[best]! : -1
  }

  #swap(a: number, b: number): void {
    const pieceA = this.#order[a]!
    const pieceB = this.#order[b]!
    this.#order[a] = pieceB
    this.#order[b] = pieceA
    this.#position[pieceA] = b
    this.#position[pieceB] = a
  }
}
