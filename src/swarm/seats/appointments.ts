import { longestWaitMs, waitingApartMs } from './rules.ts'

/**
 * When nodes without a seat are to come: each behind the one that was told before it, so that they never come all at once. Who comes long
 * before its time keeps its appointment: else one that asks over and over would have all others stay away for as long as may be.
 */
export class Appointments {
  #last = Number.NEGATIVE_INFINITY

  /**
   * @param who When it is to come; -Infinity before its first time. Written here only.
   * @returns In how many ms the node that asks now is to come again: `leastMs`, or later; sooner where that was said before.
   */
  nextMs(who: { comesAt: number }, now: number, leastMs: number): number {
    if (who.comesAt - now < leastMs / 4)
      who.comesAt = this.#last = Math.min(Math.max(now + leastMs, this.#last + waitingApartMs), now + longestWaitMs)
    return who.comesAt - now
  }
}
