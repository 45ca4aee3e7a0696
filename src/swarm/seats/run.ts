/** How long a run is, where it lies in the file, and when its seat speaks again. `free(piece)`: it may be dealt now. */
import type { PieceLayout } from '../../core/artifact.ts'
import { second } from '../../core/units.ts'
import type { Lease } from './lease.ts'
import { aloneRunMs, firstRunBytes, runMs } from './rules.ts'

/** No seat is told to ask more often than this. */
const soonestMs = 50

type Free = (piece: number) => boolean

/**
 * Up to `count` free pieces from `from` on, around the end of the file if need be: one HTTP range where the gap is long enough.
 *
 * @returns In that order; empty when nothing is free.
 */
export function collect(pieces: number, from: number, count: number, free: Free): number[] {
  const run: number[] = []
  for (let step = 0; step < pieces && run.length < count; step++) {
    const piece = (from + step) % pieces
    if (free(piece)) run.push(piece)
  }
  return run
}

/**
 * Where a seat begins that cannot go on from its last run: in the largest gap, at its start, or amid it when another seat is
 * about to run into it from the left (`contested`), so that both have room to go on.
 */
export function roomiest(pieces: number, free: Free, contested: (left: number) => boolean): number {
  let best = { start: 0, size: 0 }
  let start = 0
  for (let piece = 0; piece <= pieces; piece++) {
    if (piece < pieces && free(piece)) continue
    if (piece - start > best.size) best = { start, size: piece - start }
    start = piece + 1
  }
  const amid = best.start > 0 && contested(best.start - 1)
  return best.start + (amid ? Math.floor(best.size / 2) : 0)
}

/**
 * About a second of the seat's work; less towards the end, so that all seats end together. Alone: half as much as it has brought so far, up to
 * some seconds of its work. Not more: when the line breaks, what the kernel has taken of a run is drawn and lost (allowance.ts).
 *
 * @param available Pieces that may be dealt to it, at least one. @param seats That share them.
 * @returns Pieces, at least one.
 */
export function runSize(
  { length, pieceLength }: PieceLayout,
  { rate, broughtBytes }: Pick<Lease, 'rate' | 'broughtBytes'>,
  available: number,
  seats: number | 'alone',
): number {
  if (length <= firstRunBytes) return available
  const usual = rate > 0 ? rate * runMs : firstRunBytes
  const bytes = seats === 'alone' ? Math.max(usual, Math.min(rate * aloneRunMs, broughtBytes / 2)) : usual
  const most = Math.ceil(available / (2 * (seats === 'alone' ? 1 : seats)))
  return Math.max(1, Math.min(Math.floor(bytes / pieceLength), most))
}

/**
 * A seat asks again when about half of its run is done: soon enough that its line does not idle. Towards the end there may be nothing to
 * do for it but to take over what others are late with; then a few times a piece: on a thin line, words would be in the pieces' way.
 *
 * @returns In ms.
 */
export function renewMs(pieceLength: number, lease: Lease, leaseMs: number): number {
  const leastOftenMs = leaseMs / 3
  if (lease.rate === 0) return Math.min(second, leastOftenMs)
  const pieceMs = lease.usualPieceMs(pieceLength)
  const ahead = lease.unfinished.size - Math.max(1, Math.floor(lease.lastRun / 2))
  // Each second, unless a piece takes so long that most words would bring no news.
  const mostMs = Math.min(leastOftenMs, Math.max(second, pieceMs / 3))
  return Math.min(mostMs, Math.max(soonestMs, pieceMs / 4, ahead * pieceMs))
}
