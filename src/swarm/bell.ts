import type { Clock } from '../core/clock.ts'

/** Something changed: wakes whoever waits for that, as often as it rings. What changed is for the woken to look at. */
export class Bell {
  readonly #waiting = new Set<() => void>()

  ring(): void {
    for (const wake of [...this.#waiting]) wake()
  }

  /**
   * Resolves at the next ring at which there is `news`. Rejects with the signal's reason when that aborts first.
   *
   * @param news Asked at each ring, so that who waits for something in particular sleeps through the others. Default: any ring is.
   */
  async heard(signal: AbortSignal, news = () => true): Promise<void> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const abort = () => reject(signal.reason)
    const wake = () => {
      if (news()) resolve()
    }
    signal.addEventListener('abort', abort, { once: true })
    this.#waiting.add(wake)
    try {
      await promise
    } finally {
      this.#waiting.delete(wake)
      signal.removeEventListener('abort', abort)
    }
  }

  /** As `heard`, and resolves after `ms` in any case. */
  async heardWithin(ms: number, clock: Clock, signal: AbortSignal, news?: () => boolean): Promise<void> {
    const over = new AbortController()
    const either = AbortSignal.any([signal, over.signal])
    try {
      await Promise.race([clock.sleep(ms, either), this.heard(either, news)])
    } finally {
      over.abort()
    }
  }
}
