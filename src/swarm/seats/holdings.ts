import type { Bitfield } from '../../core/bitfield.ts'

/**
 * What a site holds: how many of its living nodes have each piece, kept up to date by the differences between two words of
 * the same node. A word that changes nothing costs one pass over the bitfield's bytes, whatever the number of nodes.
 */
export class Holdings {
  readonly pieces: number
  /** 16 bits: a deal knows at most 65,535 nodes. */
  readonly #copies: Uint16Array
  #held = 0

  constructor(pieces: number) {
    this.pieces = pieces
    this.#copies = new Uint16Array(pieces)
  }

  /** How many pieces at least one living node has. Constant time. */
  get held(): number {
    return this.#held
  }

  has(piece: number): boolean {
    return this.#copies[piece]! > 0
  }

  /**
   * One node's word replaces its last one; undefined stands for a node that is not known (yet, or any more).
   *
   * @param changed Hears of each piece whose bit differs, after it was counted: `copies` are those of the whole site.
   */
  replace(
    before: Bitfield | undefined,
    after: Bitfield | undefined,
    changed: (piece: number, gained: boolean, copies: number) => void,
  ): void {
    const size = Math.ceil(this.pieces / 8)
    for (let at = 0; at < size; at++) {
      const now = after ? after.bytes[at]! : 0
      let differing = (before ? before.bytes[at]! : 0) ^ now
      while (differing !== 0) {
        const bit = Math.clz32(differing) - 24
        const mask = 0x80 >> bit
        differing &= ~mask
        const piece = at * 8 + bit
        const gained = (now & mask) !== 0
        changed(piece, gained, this.#count(piece, gained))
      }
    }
  }

  #count(piece: number, gained: boolean): number {
    const copies = this.#copies[piece]! + (gained ? 1 : -1)
    this.#copies[piece] = copies
    if (gained && copies === 1) this.#held++
    if (!gained && copies === 0) this.#held--
    return copies
  }
}
