import { expect, test } from 'vitest'
import { RateWindow } from '../../src/daemon/rate-window.ts'
import { ManualClock } from '../support/manual-clock.ts'

test('nothing yet is no rate, and a first burst is not called a gigabyte a second', () => {
  const rate = new RateWindow(new ManualClock())
  expect(rate.perSecond()).toBe(0)
  rate.add(1_000_000)
  expect(rate.perSecond()).toBe(1_000_000) // as if it had taken a second
})

test('the mean of the last five seconds: old bytes drop out, a standstill ends at 0', async () => {
  const clock = new ManualClock()
  const rate = new RateWindow(clock)
  for (let at = 0; at < 10; at++) {
    rate.add(1000)
    await clock.advance(1000)
  }
  expect(rate.perSecond()).toBe(1000)
  await clock.advance(6000)
  expect(rate.perSecond()).toBe(0)
})

test('the wall clock is set back: the rate does not care', async () => {
  const clock = new ManualClock()
  const rate = new RateWindow(clock)
  rate.add(4000)
  await clock.advance(2000)
  clock.set(0)
  expect(rate.perSecond()).toBe(2000)
})
