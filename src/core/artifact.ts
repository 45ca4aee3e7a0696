import type { Infohash, Sha256 } from './digest.ts'
import { KiB, MiB } from './units.ts'

/**
 * Bytes that travel. Named by SHA-256; one artifact, one torrent. Everything here is signed (it stands in the channel's manifest).
 *
 *   { "sha256": "ab…", "length": 25165824, "pieceLength": 262144, "piecesRoot": "cd…", "infohash": "ef…" }
 */
export interface Artifact {
  readonly sha256: Sha256
  /** Bytes, 1 or more: a pack always has its header. */
  readonly length: number
  /** Bytes; a power of two, 16 KiB to 16 MiB. */
  readonly pieceLength: number
  /** Root over the pieces' SHA-256; see `piecesRoot` in digest.ts. */
  readonly piecesRoot: Sha256
  readonly infohash: Infohash
}

/** How an artifact is cut: all pieces have `pieceLength` bytes but the last, which has 1 to `pieceLength`. */
export interface PieceLayout {
  readonly length: number
  readonly pieceLength: number
}

export const smallestPieceBytes = 16 * KiB
export const largestPieceBytes = 16 * MiB
/** The pieces' hashes (52 bytes each) travel as one file; this keeps that file under 4 MiB. */
export const mostPieces = 65_536

export function pieceCount({ length, pieceLength }: PieceLayout): number {
  return Math.ceil(length / pieceLength)
}

/** Bytes of piece `index`. @throws RangeError when there is no such piece. */
export function pieceSize(layout: PieceLayout, index: number): number {
  if (!Number.isInteger(index) || index < 0 || index >= pieceCount(layout)) throw new RangeError(`no piece ${index}`)
  return Math.min(layout.pieceLength, layout.length - index * layout.pieceLength)
}

/** About a thousand pieces, between 256 KiB and 1 MiB where that allows: small enough to share early, large enough to be cheap. */
export function choosePieceLength(length: number): number {
  let pieceLength = 256 * KiB
  while (pieceLength < largestPieceBytes && length / pieceLength > (pieceLength < MiB ? 1000 : 4000)) pieceLength *= 2
  return pieceLength
}
