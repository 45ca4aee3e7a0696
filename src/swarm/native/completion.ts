/** Tells whoever waits that the store is complete, or that it will not become so. */
import type { PieceStore } from '../../core/piece-store.ts'

export class Completion {
  readonly #store: Pick<PieceStore, 'have'>
  readonly #done = Promise.withResolvers<void>()

  constructor(store: Pick<PieceStore, 'have'>) {
    this.#store = store
    this.#done.promise.catch(() => {}) // who does not wait does not care
    this.check()
  }

  /** The store has changed. */
  check(): void {
    if (this.#store.have.complete) this.#done.resolve()
  }

  /** It will not become complete, unless it is already. */
  fail(reason: Error): void {
    this.#done.reject(reason)
  }

  async wait(signal?: AbortSignal): Promise<void> {
    if (!signal) return this.#done.promise
    signal.throwIfAborted()
    const aborted = Promise.withResolvers<never>()
    const onAbort = () => aborted.reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await Promise.race([this.#done.promise, aborted.promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}
