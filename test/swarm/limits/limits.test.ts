/** The limits of a node follow the clock, and leave it alone where nothing depends on it. */
import { expect, onTestFinished, test } from 'vitest'
import { Limits, type LimitsConfig } from '../../../src/swarm/limits/limits.ts'
import { ManualClock } from '../../support/manual-clock.ts'

function limitsOf(window: LimitsConfig['window']) {
  const clock = new ManualClock(Date.UTC(2026, 10, 22, 12))
  const limits = new Limits({ emergency_overrides: false, timezone: 'UTC', lan_up: 1000, window }, clock)
  onTestFinished(() => limits.stop())
  return { clock, rate: () => limits.of({}).lan_up.bytesPerSecond }
}

test('no windows: the limit holds from the start, and an idle node does not wake up for it', () => {
  const { clock, rate } = limitsOf([])
  expect(rate()).toBe(1000)
  expect(clock.nextWakeMs()).toBeUndefined()
})

test('a window opens in the middle of a transfer: its limit holds within a second', async () => {
  const { clock, rate } = limitsOf([{ days: ['sun'], from: 13 * 60, to: 14 * 60, lan_up: 7 }])
  expect(rate()).toBe(1000)
  clock.set(Date.UTC(2026, 10, 22, 13, 0, 1))
  await clock.advance(1000)
  expect(rate()).toBe(7)
})
