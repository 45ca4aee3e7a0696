/**
 * The clock of a swarm. What only time brings about is looked at each second while something happens; a node has a swarm for each artifact that it
 * holds, nearly all of them with nobody to serve, and a second's tick in each would be most of what an idle machine spends.
 */
import type { Tuning } from './tuning.ts'

export class Pace {
  readonly #tuning: Pick<Tuning, 'tickMs' | 'calmTickMs' | 'calmAfterMs'>
  readonly #now: () => number
  readonly #look: () => void
  #stirredAt: number
  #calm = false
  #stopped = false
  #timer: NodeJS.Timeout

  /** @param now Monotonic milliseconds. @param look Is called at each tick, until `stop`. */
  constructor(tuning: Pick<Tuning, 'tickMs' | 'calmTickMs' | 'calmAfterMs'>, now: () => number, look: () => void) {
    this.#tuning = tuning
    this.#now = now
    this.#look = look
    this.#stirredAt = now()
    this.#timer = this.#tick(tuning.tickMs)
  }

  /** Something has happened. */
  stir(): void {
    this.#stirredAt = this.#now()
    if (this.#calm) this.#change(false)
  }

  /** Final: what ends with the swarm still stirs it. */
  stop(): void {
    this.#stopped = true
    clearInterval(this.#timer)
  }

  #tick(everyMs: number): NodeJS.Timeout {
    return setInterval(() => {
      this.#look()
      if (!this.#calm && this.#now() - this.#stirredAt > this.#tuning.calmAfterMs) this.#change(true)
    }, everyMs)
  }

  #change(calm: boolean): void {
    if (this.#stopped) return
    this.#calm = calm
    clearInterval(this.#timer)
    this.#timer = this.#tick(calm ? this.#tuning.calmTickMs : this.#tuning.tickMs)
  }
}
