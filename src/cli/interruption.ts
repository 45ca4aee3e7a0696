/** Ctrl-C and SIGTERM as an AbortSignal, for commands that have something to leave in order. */
import { setTimeout as delay } from 'node:timers/promises'
import { Interrupted } from './exit-codes.ts'

export interface Interruption extends Disposable {
  /** Aborts with `Interrupted` at the first signal. A second one ends the process at once. */
  readonly signal: AbortSignal
  /** Resolves after `ms`, or when interrupted, whatever comes first. */
  sleep(ms: number): Promise<void>
}

export function interruption(): Interruption {
  const controller = new AbortController()
  const handle = () => controller.abort(new Interrupted())
  const signals = ['SIGINT', 'SIGTERM'] as const
  for (const name of signals) process.once(name, handle)
  return {
    signal: controller.signal,
    async sleep(ms) {
      await delay(ms, undefined, { signal: controller.signal }).catch(() => {})
    },
    [Symbol.dispose]() {
      for (const name of signals) process.removeListener(name, handle)
    },
  }
}
