import { second } from '../core/units.ts'

const firstMs = 0.5 * second
const longestMs = 15 * second

/**
 * How long to wait after a failure: half a second, then twice as long each time, up to 15 s; of that, a random half, so that the
 * nodes of a branch whose line came back do not all ask at once.
 */
export class Backoff {
  readonly #random: () => number
  #failures = 0

  /** @param random In [0, 1). */
  constructor(random: () => number) {
    this.#random = random
  }

  /** The wait after one more failure, in milliseconds. */
  next(): number {
    const ceiling = Math.min(longestMs, firstMs * 2 ** this.#failures)
    if (ceiling < longestMs) this.#failures++
    return ceiling * (0.5 + this.#random() / 2)
  }

  /** It works again. */
  reset(): void {
    this.#failures = 0
  }
}
