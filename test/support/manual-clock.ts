import type { Clock } from '../../src/core/clock.ts'

/** A clock that stands still until it is advanced. */
export class ManualClock implements Clock {
  #now: number
  #monotonic = 0
  readonly #sleepers = new Set<{ readonly until: number; wake(): void }>()

  constructor(now = Date.UTC(2026, 10, 22, 12)) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#monotonic
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const abort = () => {
        this.#sleepers.delete(sleeper)
        reject(signal?.reason)
      }
      const wake = () => {
        this.#sleepers.delete(sleeper)
        signal?.removeEventListener('abort', abort)
        resolve()
      }
      const sleeper = { until: this.#monotonic + ms, wake }
      this.#sleepers.add(sleeper)
      signal?.addEventListener('abort', abort, { once: true })
    })
  }

  /** How long until the next sleeper wakes; undefined when nobody sleeps. */
  nextWakeMs(): number | undefined {
    const ends = [...this.#sleepers].map(({ until }) => until - this.#monotonic)
    return ends.length > 0 ? Math.min(...ends) : undefined
  }

  /** Set the wall clock. Nobody wakes for that, as nobody does when a machine has slept. */
  set(now: number): void {
    this.#now = now
  }

  /** Let time pass, wake who is due, and let what they do run to its next wait. */
  async advance(ms: number): Promise<void> {
    this.#now += ms
    this.#monotonic += ms
    for (const sleeper of [...this.#sleepers]) if (sleeper.until <= this.#monotonic) sleeper.wake()
    await new Promise(resolve => setImmediate(resolve))
  }
}
