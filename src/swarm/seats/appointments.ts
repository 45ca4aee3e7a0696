import { longestWaitMs, waitingApartMs } from './rules.ts'

/** Its multiples, modulo 1, are spread evenly, however many there are. */
const goldenRatio = (Math.sqrt(5) - 1) / 2

/**
 * When nodes without a seat are to come: each behind the one that was told before it, so that they never come all at once. Who comes long
 * before its time keeps its appointment: else one that asks over and over would have all others stay away for as long as may be.
 */
export class Appointments {
  #last = Number.NEGATIVE_INFINITY
  #spread = 0

  /**
   * @param who When it is to come; -Infinity before its first time. Written here only.
   * @returns In how many ms the node that asks now is to come again: `leastMs`, or later; sooner where that was said before.
   */
  nextMs(who: { comesAt: number }, now: number, leastMs: number): number {
    if (who.comesAt - now < leastMs / 4) who.comesAt = this.#next(now, leastMs)
    return who.comesAt - now
  }

  #next(now: number, leastMs: number): number {
    const next = Math.max(now + leastMs, this.#last + waitingApartMs)
    if (next <= now + longestWaitMs) {
      this.#last = next
      return next
    }
    // There are more of them than appointments. Told to come as late as may be, who has asked in one second would come in one second for ever.
    this.#spread = (this.#spread + goldenRatio) % 1
    return now + longestWaitMs * (1 - this.#spread / 2)
  }
}
