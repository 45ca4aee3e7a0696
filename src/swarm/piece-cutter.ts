import { type PieceLayout, pieceSize } from '../core/artifact.ts'

/** A piece that broke off: what came of it, from its first byte on. */
export interface BegunPiece {
  readonly piece: number
  readonly bytes: Uint8Array
}

/** Cuts a stream of artifact bytes into pieces. Holds one piece in memory, the one it is at. */
export class PieceCutter {
  readonly #layout: PieceLayout
  readonly #buffer: Buffer
  #piece: number
  #filled = 0

  /** @param begun What an earlier stream left of `piece`; the stream goes on behind it. */
  constructor(layout: PieceLayout, piece: number, begun?: BegunPiece) {
    this.#layout = layout
    this.#piece = piece
    this.#buffer = Buffer.allocUnsafe(Math.min(layout.pieceLength, layout.length))
    if (begun && begun.piece === piece) {
      this.#buffer.set(begun.bytes)
      this.#filled = begun.bytes.length
    }
  }

  /** The piece that the next byte belongs to. */
  get piece(): number {
    return this.#piece
  }

  /** Where in the artifact the next byte belongs. */
  get position(): number {
    return this.#piece * this.#layout.pieceLength + this.#filled
  }

  /**
   * Take the next bytes.
   *
   * @yields Each piece that they complete. Its bytes are overwritten when the generator goes on.
   * @throws RangeError behind the end of the artifact.
   */
  *push(chunk: Uint8Array): Generator<BegunPiece> {
    for (let at = 0; at < chunk.length; ) {
      const size = pieceSize(this.#layout, this.#piece)
      const part = chunk.subarray(at, at + size - this.#filled)
      this.#buffer.set(part, this.#filled)
      this.#filled += part.length
      at += part.length
      if (this.#filled < size) return
      // Move on first: whoever looks while the piece is being stored must see that the stream is past it.
      const piece = this.#piece++
      this.#filled = 0
      yield { piece, bytes: this.#buffer.subarray(0, size) }
    }
  }

  /** What there is of the piece the stream broke off in; undefined at the edge of two pieces. */
  broken(): BegunPiece | undefined {
    if (this.#filled === 0) return undefined
    return { piece: this.#piece, bytes: this.#buffer.subarray(0, this.#filled) }
  }
}
