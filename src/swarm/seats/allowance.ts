import { Bitfield } from '../../core/bitfield.ts'
import { second } from '../../core/units.ts'

/** Leave to send the bytes of one request. */
export interface Draw {
  /** The node that holds the lease. */
  readonly node: string
  /** May the sending go on with this piece? Not when the lease has lapsed, or the piece is another seat's by now. */
  keeps(piece: number, now: number): boolean
  /** Give back what was not sent. */
  refund(bytes: number): void
}

/** A node on a line that breaks every transfer still gets on: one piece more each such span. */
const trickleMs = 30 * second

/**
 * How many bytes one node may draw over the WAN. A broken transfer has to be paid twice, a hostile node would have the same
 * piece sent for ever: so twice what was dealt to it, plus a piece, plus a trickle. A piece dealt to it again counts once,
 * or giving the seat back and asking for it would print money.
 */
export class Allowance {
  readonly #pieceLength: number
  readonly #dealt: Bitfield
  readonly #since: number
  #dealtBytes = 0
  #drawnBytes = 0

  constructor(pieces: number, pieceLength: number, now: number) {
    this.#dealt = new Bitfield(pieces)
    this.#pieceLength = pieceLength
    this.#since = now
  }

  /** A piece of `bytes` bytes was dealt to the node. */
  dealt(piece: number, bytes: number): void {
    if (this.#dealt.has(piece)) return
    this.#dealt.set(piece)
    this.#dealtBytes += bytes
  }

  /** @returns False, and nothing is taken, when that is more than the node may draw. */
  reserve(bytes: number, now: number): boolean {
    const trickle = Math.floor((now - this.#since) / trickleMs) * this.#pieceLength
    if (this.#drawnBytes + bytes > 2 * this.#dealtBytes + this.#pieceLength + trickle) return false
    this.#drawnBytes += bytes
    return true
  }

  /** Give back what was reserved and never sent. */
  refund(bytes: number): void {
    this.#drawnBytes -= bytes
  }
}
