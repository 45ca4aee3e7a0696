/**
 * The neighbours that beacons tell of: who is there, what it has, where it is reached. No I/O; time comes in.
 *
 * Rules
 *  - a beacon counts once: each has to be newer than the last of the same node, and made within five minutes of now
 *  - a neighbour that is silent for three of its intervals is gone
 *  - what a neighbour claims and cannot show is not acted upon for a while: see `disprove`
 *  - so many neighbours are kept, and no more: past that, the longest silent goes
 */
import type { Infohash } from '../../core/digest.ts'
import { minute, second } from '../../core/units.ts'
import { clockToleranceSeconds } from '../identity/join-protocol.ts'
import type { Beacon } from './datagram.ts'

export interface Neighbour extends Beacon {
  /** Monotonic, ms. */
  readonly heardAt: number
}

/** Why a beacon of a member changes nothing. */
export type Refused = 'replayed' | 'clock_skew'

export const mostNeighbours = 2000
/** One that does not answer may be starting again; one that shows something else than it claims is broken, or worse. */
const distrustMs = { absent: minute, wrong: 10 * minute }

/** How often each node of a site of this size speaks: all of them together five times a second at most. */
export function beaconIntervalMs(neighbours: number): number {
  return Math.max(30 * second, neighbours * 200)
}

export class Neighbours {
  readonly #byName = new Map<string, Neighbour>()
  /** Of gone neighbours too, or an old beacon of theirs would be news again. The longest unheard first. */
  readonly #lastTime = new Map<string, number>()
  readonly #distrustedUntil = new Map<string, number>()

  get size(): number {
    return this.#byName.size
  }

  /** @param wall Ms since 1970. @param now Monotonic. @returns The neighbour as it was before, if any. */
  hear(told: Beacon, wall: number, now: number): { before: Neighbour | undefined } | Refused {
    if (Math.abs(told.time - wall) > clockToleranceSeconds * second) return 'clock_skew'
    if (told.time <= (this.#lastTime.get(told.node) ?? 0)) return 'replayed'
    this.forgetSilent(now)
    const before = this.#byName.get(told.node)
    keep(this.#lastTime, told.node, told.time, 2 * mostNeighbours)
    keep(this.#byName, told.node, { ...told, heardAt: now }, mostNeighbours)
    return { before }
  }

  /** All that are there, the longest silent first. */
  all(now: number): readonly Neighbour[] {
    this.forgetSilent(now)
    return [...this.#byName.values()]
  }

  /** undefined when it has not been heard of late. */
  named(node: string, now: number): Neighbour | undefined {
    this.forgetSilent(now)
    return this.#byName.get(node)
  }

  /** Those who have this artifact, or are fetching it. */
  holding(infohash: Infohash, now: number): readonly Neighbour[] {
    return this.all(now).filter(({ artifacts }) => artifacts.includes(infohash))
  }

  /** Those who say that their metadata is at this version or newer, and whose word is worth something. */
  withSnapshot(least: number, now: number): readonly Neighbour[] {
    return this.all(now).filter(
      ({ node, snapshot }) => snapshot >= least && snapshot > 0 && !this.isDistrusted(node, now),
    )
  }

  /** It could not show what it claims: what it says of its metadata is not acted upon for a while. */
  disprove(node: string, why: keyof typeof distrustMs, now: number): void {
    keep(this.#distrustedUntil, node, now + distrustMs[why], mostNeighbours)
  }

  isDistrusted(node: string, now: number): boolean {
    return now < (this.#distrustedUntil.get(node) ?? Number.NEGATIVE_INFINITY)
  }

  forgetSilent(now: number): void {
    const patienceMs = 3.5 * beaconIntervalMs(this.#byName.size)
    for (const [node, { heardAt }] of this.#byName) {
      if (now - heardAt < patienceMs) return
      this.#byName.delete(node)
    }
  }

  /** Its address is not one of this site any more: the site's key has changed, and who is still there speaks again. */
  clear(): void {
    this.#byName.clear()
  }
}

/** Put at the end; past `most`, the first goes. */
function keep<T>(map: Map<string, T>, key: string, value: T, most: number): void {
  map.delete(key)
  map.set(key, value)
  if (map.size > most) map.delete(map.keys().next().value!)
}
