import type { Clock } from '../../src/core/clock.ts'

/** A clock that stands still until it is advanced. */
export class ManualClock implements Clock {
  #now: number
  readonly #start: number
  readonly #sleepers = new Set<{ readonly until: number; wake(): void }>()

  constructor(now = Date.UTC(2026, 10, 22, 12)) {
    this.#now = now
    this.#start = now
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now - this.#start
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
      const sleeper = { until: this.#now + ms, wake }
      this.#sleepers.add(sleeper)
      signal?.addEventListener('abort', abort, { once: true })
    })
  }

  /** How long until the next sleeper wakes; undefined when nobody sleeps. */
  nextWakeMs(): number | undefined {
    const ends = [...this.#sleepers].map(({ until }) => until - this.#now)
    return ends.length > 0 ? Math.min(...ends) : undefined
  }

  /** Let time pass, wake who is due, and let what they do run to its next wait. */
  async advance(ms: number): Promise<void> {
    this.#now += ms
    for (const sleeper of [...this.#sleepers]) if (sleeper.until <= this.#now) sleeper.wake()
    await new Promise(resolve => setImmediate(resolve))
  }
}
