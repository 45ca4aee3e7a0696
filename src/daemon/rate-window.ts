import type { Clock } from '../core/clock.ts'
import { second } from '../core/units.ts'

const spanMs = 5 * second

/** How many bytes a second of late, for a progress line: the mean over the last five seconds, or since the first byte if that is less. */
export class RateWindow {
  readonly #clock: Pick<Clock, 'monotonic'>
  #arrivals: { readonly at: number; readonly bytes: number }[] = []

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  add(bytes: number): void {
    this.#arrivals.push({ at: this.#clock.monotonic(), bytes })
    // Trimmed here too, so that nobody has to ask for the list to stay short.
    if (this.#arrivals.length > 1000) this.#trim()
  }

  /** Whole bytes; 0 when nothing has come for five seconds. */
  perSecond(): number {
    this.#trim()
    const first = this.#arrivals[0]
    if (!first) return 0
    const elapsedMs = Math.max(second, this.#clock.monotonic() - first.at)
    return Math.round((this.#arrivals.reduce((sum, { bytes }) => sum + bytes, 0) * second) / elapsedMs)
  }

  #trim(): void {
    const oldest = this.#clock.monotonic() - spanMs
    this.#arrivals = this.#arrivals.filter(({ at }) => at >= oldest)
  }
}
