/** Where a run lies in the file. `free(piece)`: it may be dealt now. Each function is one pass over the pieces. */
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
