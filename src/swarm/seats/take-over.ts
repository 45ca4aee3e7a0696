/**
 * What an idle seat does when nothing is left to deal: it takes pieces that their holder would bring much later, be it slow or
 * hung. Moved, never doubled in the deal; on the line, what the holder had begun is lost, hence the patience.
 */
import type { Lease } from './lease.ts'
import { barrenPatience, patienceMs, slowFactor, unknownPieceMs } from './rules.ts'

/** Moving a piece for the 11th time and later needs no more patience than for the 10th: half an hour. */
const mostDoublings = 10

export interface TakeOver {
  readonly donor: Lease
  /** Of the donor's, not empty, ascending. At most half of what may be moved, the last dealt: the first is under way. */
  readonly pieces: readonly number[]
  /** The donor has not just too much to do: it has brought nothing for longer than the taker would need. */
  readonly hung: boolean
}

/**
 * @param others Living leases that have pieces to bring.
 * @param moves How often a piece has been moved: each time doubles how long it stays where it is.
 * @param missing Whether nobody at the site has it; what a cut-off seat fetches for itself is nobody else's.
 */
export function chooseTakeOver(
  taker: Lease,
  others: readonly Lease[],
  pieceLength: number,
  moves: (piece: number) => number,
  missing: (piece: number) => boolean,
  now: number,
): TakeOver | undefined {
  const finishMs = (lease: Lease) => lease.unfinished.size * lease.pieceMs(pieceLength, now)
  const [donor] = [...others].sort((a, b) => finishMs(b) - finishMs(a))
  if (!donor) return undefined

  // A taker that has brought nothing yet is taken to be as fast as the best.
  const rate = taker.rate || Math.max(...others.map(other => other.rate))
  const tooLateMs = slowFactor * (rate > 0 ? pieceLength / rate : unknownPieceMs) + patienceMs
  const patience = taker.node.barren ? barrenPatience * patienceMs : patienceMs
  const donorPieceMs = donor.pieceMs(pieceLength, now)
  const movable = [...donor.unfinished].filter(
    ([piece, dealtAt], ahead) =>
      (ahead + 1) * donorPieceMs > tooLateMs &&
      now - dealtAt >= patience * 2 ** Math.min(moves(piece), mostDoublings) &&
      missing(piece),
  )
  if (movable.length === 0) return undefined
  const pieces = movable.slice(Math.floor(movable.length / 2)).map(([piece]) => piece)
  return { donor, pieces: pieces.sort((a, b) => a - b), hung: donor.silenceMs(now) > tooLateMs }
}
