import { second } from '../core/units.ts'

const firstMs = 0.5 * second
const usualLongestMs = 15 * second

/**
 * How long to wait after a failure: half a second, then twice as long each time, up to a limit; of that, a random half, so that the
 * nodes of a branch whose line came back do not all ask at once.
 */
export class Backoff {
  readonly #random: () => number
  readonly #longestMs: number
  #failures = 0

  /** @param random In [0, 1). @param longestMs Default 15 s. */
  constructor(random: () => number, longestMs = usualLongestMs) {
    this.#random = random
    this.#longestMs = longestMs
  }

  /** The wait after one more failure, in milliseconds. */
  next(): number {
    const ceiling = Math.min(this.#longestMs, firstMs * 2 ** this.#failures)
    if (ceiling < this.#longestMs) this.#failures++
    return ceiling * (0.5 + this.#random() / 2)
  }

  /** It works again. */
  reset(): void {
    this.#failures = 0
  }
}
