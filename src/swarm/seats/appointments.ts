import { longestWaitMs, waitingApartMs } from './rules.ts'

/** When nodes without a seat are to come: each behind the one that was told before it, so that they never come all at once. */
export class Appointments {
  #last = Number.NEGATIVE_INFINITY

  /** @returns In how many ms the node that asks now is to come again: `leastMs`, or later. */
  nextMs(now: number, leastMs: number): number {
    this.#last = Math.min(Math.max(now + leastMs, this.#last + waitingApartMs), now + longestWaitMs)
    return this.#last - now
  }
}
