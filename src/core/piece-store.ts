import type { PieceLayout } from './artifact.ts'
import type { Bitfield } from './bitfield.ts'

/** The side of a store that takes pieces. */
export interface PieceIntake {
  /** Live view, for as long as the store is not reopened; do not write to it. */
  readonly have: Readonly<Pick<Bitfield, 'has' | 'count' | 'complete' | 'bytes' | 'toString' | 'pieces' | 'length'>>
  /**
   * @param bytes The whole piece. Not kept after the promise settles.
   * @returns `known` when the piece was there already (nothing is written), else `stored` once it may be served.
   * @throws ContentError `piece_mismatch`: the bytes are not the signed ones; nothing was written, blame who brought them.
   * @throws StoreError `disk_full` | `disk_failed`.
   */
  put(index: number, bytes: Uint8Array): Promise<'stored' | 'known'>
  /** Hear of every piece stored from now on. @returns Call it to stop listening. */
  onPiece(listener: (index: number) => void): () => void
}

/**
 * Where the pieces of one artifact are kept while it is fetched, and served from after that. The meeting point of the WAN
 * fetch and the LAN swarm: both put pieces, both hear of every piece stored, whoever brought it.
 *
 * Rule: a piece is stored (and from then on served) only when its SHA-256 is the signed one.
 */
export interface PieceStore extends PieceIntake {
  readonly layout: PieceLayout
  readonly pieces: number
  /**
   * @param into Memory of `length` bytes or more that may be used for the answer; without it, or when a store has the bytes already,
   *   the answer is in memory of its own.
   * @returns Exactly `length` bytes of a stored piece.
   * @throws RangeError outside the piece; StoreError `piece_absent` when the piece is not stored, `disk_failed`.
   */
  read(index: number, offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>
}
