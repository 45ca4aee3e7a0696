/** How fast bytes flow: an average that forgets, weighted by time and not by events. Pure. */
import { second } from '../../core/units.ts'

const memoryMs = second
/** Samples are folded in at this pace: a single burst within it says nothing about a rate. */
const sampleMs = 50

export class Rate {
  #weighted = 0
  /** What `#weighted` would be at one byte a millisecond: 1 in the long run, less while there is little to remember. */
  #weight = 0
  #pending = 0
  #since: number

  /** @param now Monotonic milliseconds, here and below. */
  constructor(now: number) {
    this.#since = now
  }

  add(bytes: number, now: number): void {
    this.#pending += bytes
    this.#fold(now)
  }

  /** Bytes a second; `undefined` until there has been a sample. */
  at(now: number): number | undefined {
    this.#fold(now)
    return this.#weight > 0 ? (this.#weighted / this.#weight) * second : undefined
  }

  #fold(now: number): void {
    const elapsed = now - this.#since
    if (elapsed < sampleMs) return
    const fading = Math.exp(-elapsed / memoryMs)
    this.#weighted = this.#weighted * fading + (this.#pending / elapsed) * (1 - fading)
    this.#weight = this.#weight * fading + (1 - fading)
    this.#pending = 0
    this.#since = now
  }
}
