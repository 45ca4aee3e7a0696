import { longestWaitMs, waitingApartMs } from './rules.ts'

/** Its multiples, modulo 1, are spread evenly, however many there are. */
const goldenRatio = (Math.sqrt(5) - 1) / 2

/** When nodes without a seat are to come: each behind the one that was told before it, so that they never come all at once. */
export class Appointments {
  #last = Number.NEGATIVE_INFINITY
  #spread = 0

  /** @returns In how many ms the node that asks now is to come again: `leastMs`, or later. */
  nextMs(now: number, leastMs: number): number {
    const next = Math.max(now + leastMs, this.#last + waitingApartMs)
    if (next <= now + longestWaitMs) {
      this.#last = next
      return next - now
    }
    // There are more of them than appointments. Told to come as late as may be, who has asked in one second would come in one second for ever.
    this.#spread = (this.#spread + goldenRatio) % 1
    return longestWaitMs * (1 - this.#spread / 2)
  }
}
