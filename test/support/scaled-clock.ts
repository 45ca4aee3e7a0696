import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../../src/core/clock.ts'

/** A clock that runs `factor` times as fast as the real one: pauses of seconds in the code, milliseconds in the test. */
export function scaledClock(factor: number): Clock {
  const start = { now: Date.now(), monotonic: performance.now() }
  const elapsed = () => (performance.now() - start.monotonic) * factor
  return {
    now: () => start.now + elapsed(),
    monotonic: () => 1000 + elapsed(),
    async sleep(ms, signal) {
      try {
        await delay(ms / factor, undefined, signal ? { signal } : {})
      } catch (error) {
        throw signal?.aborted ? signal.reason : error
      }
    },
  }
}
