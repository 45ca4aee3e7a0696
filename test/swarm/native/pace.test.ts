/** Where nothing happens, nothing ticks. */
import { expect, onTestFinished, test, vi } from 'vitest'
import { Pace } from '../../../src/swarm/native/pace.ts'

const tuning = { tickMs: 1000, calmTickMs: 15_000, calmAfterMs: 30_000 }

function paced() {
  vi.useFakeTimers()
  let looks = 0
  const pace = new Pace(
    tuning,
    () => Date.now(),
    () => looks++,
  )
  onTestFinished(() => {
    pace.stop()
    vi.useRealTimers()
  })
  const during = (ms: number) => {
    const before = looks
    vi.advanceTimersByTime(ms)
    return looks - before
  }
  return { pace, during }
}

test('each second at first, and then rarely', () => {
  const { during } = paced()
  expect(during(30_000)).toBe(30)
  during(1000)
  expect(during(60_000)).toBe(4)
})

test('something that happens has it look each second again', () => {
  const { pace, during } = paced()
  during(100_000)
  pace.stir()
  expect(during(20_000)).toBe(20)
  pace.stir()
  expect(during(30_000)).toBe(30)
})

test('what happens over and over does not put off the next look', () => {
  const { pace, during } = paced()
  let looks = 0
  for (let n = 0; n < 100; n++) {
    pace.stir()
    looks += during(100)
  }
  expect(looks).toBe(10)
})

test.each([0, 100_000])('stopped is stopped, after %i ms, also when something happens after that', ms => {
  const { pace, during } = paced()
  during(ms)
  pace.stop()
  pace.stir()
  expect(during(100_000)).toBe(0)
  expect(vi.getTimerCount()).toBe(0)
})

test('a look may stop it', () => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const pace: Pace = new Pace(
    { ...tuning, calmAfterMs: 0 },
    () => Date.now(),
    () => pace.stop(),
  )
  vi.advanceTimersByTime(1000)
  expect(vi.getTimerCount()).toBe(0)
})
