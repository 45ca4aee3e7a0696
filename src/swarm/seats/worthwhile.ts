/**
 * How many pieces it is worth dealing to a seat, those it has included: without end, as long as it is about as fast as another. A seat
 * behind a slow cable has to bring a piece in and to pass it on, and by then the others should not be waiting for it. Pure.
 */
import type { Lease } from './lease.ts'
import { slowFactor } from './rules.ts'

/**
 * @param living All living leases.
 * @param undealt Pieces that nobody at the site has and no lease covers.
 * @returns A whole number of pieces, 0 or more, or Infinity.
 */
export function worthwhile(
  lease: Lease,
  living: readonly Lease[],
  undealt: number,
  pieceLength: number,
  now: number,
): number {
  const working = living.filter(other => other !== lease && other.rate > 0)
  const paces = working.map(other => other.pieceMs(pieceLength, now))
  const ownMs = lease.pieceMs(pieceLength, now)
  if (ownMs <= slowFactor * Math.min(...paces)) return Number.POSITIVE_INFINITY
  const rest = working.reduce((pieces, { unfinished }) => pieces + unfinished.size, undealt)
  const perMs = paces.reduce((sum, paceMs) => sum + 1 / paceMs, 0)
  return Math.floor(rest / perMs / (2 * ownMs))
}
