/**
 * Whether a peer knows that we want something of it. It hears at once when that begins, and not before a while has passed when it ends: who is
 * fetching, too, has something new for us a moment later, and each change of mind is a message to it, a slot given or taken, and a message back. Pure.
 */
export class Interest {
  readonly #patienceMs: number
  #declared = false
  #wantedAt = 0

  /** @param patienceMs Nothing was wanted for so long. */
  constructor(patienceMs: number) {
    this.#patienceMs = patienceMs
  }

  /** @param wanted Pieces. @param now Monotonic milliseconds, as below. @returns Whether to say that we are interested. */
  begins(wanted: number, now: number): boolean {
    if (this.#declared || wanted === 0) return false
    this.#declared = true
    this.#wantedAt = now
    return true
  }

  /** To be called from time to time. @param forGood Nothing will be wanted any more. @returns Whether to say that we are not. */
  ends(wanted: number, now: number, forGood: boolean): boolean {
    if (wanted > 0) this.#wantedAt = now
    else if (this.#declared && (forGood || now - this.#wantedAt > this.#patienceMs)) {
      this.#declared = false
      return true
    }
    return false
  }
}
