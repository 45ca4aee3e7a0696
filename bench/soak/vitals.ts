/** What a process costs, from /proc, and whether that grows. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

export interface Vitals {
  /** Since the soak began. */
  readonly atMs: number
  readonly rssBytes: number
  readonly descriptors: number
}

/** @throws Error when there is no such process. */
export function readVitals(pid: number, atMs: number): Vitals {
  const rss = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return { atMs, rssBytes: Number(rss![1]) * 1024, descriptors: readdirSync(`/proc/${pid}/fd`).length }
}

/** What the open descriptors are, without numbers that say nothing: `socket`, `anon_inode`, or the path of a file. */
export function openDescriptors(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap(fd => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/:\[\w+\]$/, '')]
    } catch {
      return [] // closed meanwhile
    }
  })
}

/**
 * How fast it grows: the median of the slopes between all pairs of points (Theil and Sen), which a burst of garbage does not move.
 *
 * @returns `y` per unit of `x`; 0 for fewer than two points.
 */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const slopes: number[] = []
  for (const [at, [x, y]] of points.entries())
    for (const [otherX, otherY] of points.slice(at + 1)) if (otherX !== x) slopes.push((otherY - y) / (otherX - x))
  return median(slopes)
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
}
