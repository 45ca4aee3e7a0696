/** A rate limit: tokens (bytes) come in at a steady pace and are saved up for at most a tenth of a second. Pure. */
import { KiB, second } from '../../core/units.ts'

const savedMs = 100
/** Small limits still let a whole block of any size through at once. */
const smallestBurstBytes = 128 * KiB

export class TokenBucket {
  readonly #perMs: number
  readonly #burst: number
  #tokens: number
  #at: number

  /** @param bytesPerSecond `Infinity` for no limit. @param now Monotonic milliseconds, here and below. */
  constructor(bytesPerSecond: number, now: number) {
    this.#perMs = bytesPerSecond / second
    this.#burst = Math.max(this.#perMs * savedMs, smallestBurstBytes)
    this.#tokens = this.#burst
    this.#at = now
  }

  /** Take `bytes` if any tokens are left; what is taken on top is owed. */
  take(bytes: number, now: number): boolean {
    if (this.#perMs === Infinity) return true
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#perMs)
    this.#at = now
    if (this.#tokens <= 0) return false
    this.#tokens -= bytes
    return true
  }

  /** Milliseconds until `take` says yes again. */
  wait(): number {
    return this.#tokens > 0 ? 0 : Math.ceil(-this.#tokens / this.#perMs) + 1
  }
}
