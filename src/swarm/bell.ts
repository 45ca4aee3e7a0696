import type { Clock } from '../core/clock.ts'

/** Something changed: wakes whoever waits for that, as often as it rings. What changed is for the woken to look at. */
export class Bell {
  readonly #waiting = new Set<() => void>()

  ring(): void {
    for (const wake of [...this.#waiting]) wake()
  }

  /** Resolves at the next ring. Rejects with the signal's reason when that aborts first. */
  async heard(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    this.#waiting.add(resolve)
    try {
      await promise
    } finally {
      this.#waiting.delete(resolve)
      signal.removeEventListener('abort', abort)
    }
  }

  /** Resolves at the next ring, or after `ms`. Rejects with the signal's reason when that aborts first. */
  async heardWithin(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
    const over = new AbortController()
    const either = AbortSignal.any([signal, over.signal])
    try {
      await Promise.race([clock.sleep(ms, either), this.heard(either)])
    } finally {
      over.abort()
    }
  }
}
