import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { isSchedule, startRunner, startSchedule } from '../../src/daemon/schedule.ts'
import { ManualClock } from '../support/manual-clock.ts'

const { minute, second } = { second: 1000, minute: 60_000 }

function failing(times: number) {
  const runs: number[] = []
  const clock = new ManualClock()
  const work = async () => {
    runs.push(clock.monotonic())
    return { outcome: runs.length <= times ? 'failed' : 'current' }
  }
  return { runs, clock, runner: startRunner(work, { retryMs: 30 * second, clock, random: () => 0 }) }
}

describe('the runner', () => {
  test('a trigger during a run joins it, so that two cycles never work on one channel', async () => {
    const gate = Promise.withResolvers<void>()
    let runs = 0
    const work = async () => {
      runs++
      await gate.promise
      return { outcome: 'installed' }
    }
    const runner = startRunner(work, { retryMs: second, clock: new ManualClock(), random: () => 0 })
    const both = [runner.run(), runner.run()]
    gate.resolve()
    expect(await Promise.all(both)).toEqual([{ outcome: 'installed' }, { outcome: 'installed' }])
    expect(runs).toBe(1)
    await runner.stop()
  })

  /** Runs that end when the test says so. */
  function gated() {
    const ends: ((outcome: string) => void)[] = []
    const work = (signal: AbortSignal) =>
      new Promise<{ outcome: string }>(resolve => {
        ends.push(outcome => resolve({ outcome }))
        signal.addEventListener('abort', () => resolve({ outcome: 'failed' }))
      })
    return { ends, runner: startRunner(work, { retryMs: second, clock: new ManualClock(), random: () => 0 }) }
  }

  test('somebody who knows of news waits for a run that began after he asked; all who ask meanwhile for the same one', async () => {
    const { ends, runner } = gated()
    const first = runner.run()
    const asked = [runner.runAfresh(), runner.runAfresh()]
    ends[0]!('current')
    expect(await first).toEqual({ outcome: 'current' })
    expect(ends).toHaveLength(2)
    ends[1]!('installed')
    expect(await Promise.all(asked)).toEqual([{ outcome: 'installed' }, { outcome: 'installed' }])
    const idle = runner.runAfresh()
    ends[2]!('current')
    expect(await idle).toEqual({ outcome: 'current' })
    expect(ends).toHaveLength(3)
    await runner.stop()
  })

  test('stopped while somebody waits for the run after this one: that run never begins', async () => {
    const { ends, runner } = gated()
    void runner.run()
    const waiting = runner.runAfresh()
    await runner.stop()
    expect(await waiting).toEqual({ outcome: 'failed' })
    expect(ends).toHaveLength(1)
  })

  test('after a failure it tries again by itself, with pauses that double up to 15 minutes', async () => {
    const { runs, clock, runner } = failing(8)
    await runner.run()
    const pauses: number[] = []
    for (let count = 0; count < 8; count++) {
      const pause = clock.nextWakeMs()!
      pauses.push(pause / second)
      await clock.advance(pause)
    }
    expect(pauses).toEqual([30, 60, 120, 240, 480, 900, 900, 900])
    expect(runs).toHaveLength(9)
    expect(runner.retryAt).toBeUndefined() // the ninth succeeded
    expect(clock.nextWakeMs()).toBeUndefined()
    await runner.stop()
  })

  test('a run on demand takes the place of the planned retry', async () => {
    const { runs, clock, runner } = failing(1)
    await runner.run()
    expect(runner.retryAt).toBe(clock.now() + 30 * second)
    await runner.run()
    await clock.advance(10 * minute)
    expect(runs).toHaveLength(2)
    await runner.stop()
  })

  test('stop cuts the run short through its signal, and no retry comes after it', async () => {
    const clock = new ManualClock()
    let runs = 0
    const work = (signal: AbortSignal) => {
      runs++
      return new Promise<{ outcome: string }>(resolve =>
        signal.addEventListener('abort', () => resolve({ outcome: 'failed' })),
      )
    }
    const runner = startRunner(work, { retryMs: second, clock, random: () => 0 })
    const run = runner.run()
    await runner.stop()
    expect(await run).toEqual({ outcome: 'failed' })
    await clock.advance(minute)
    expect(runs).toBe(1)
    expect(clock.nextWakeMs()).toBeUndefined()
  })
})

describe('the schedule', () => {
  test.each(['*/15 * * * *', '0 3 * * 1-5', '*/10 * * * * *'])('%s is one', expression => {
    expect(isSchedule(expression)).toBe(true)
  })

  test.each(['', 'hourly', '61 * * * *', '* * *'])('%j is none', expression => {
    expect(isSchedule(expression)).toBe(false)
  })

  /** A schedule by a clock that the test moves; node-cron reads the same time, as Date. */
  function scheduled(expression: string, { jitterMs = 0, share = 0 } = {}) {
    vi.stubEnv('TZ', 'UTC') // expressions are in local time
    onTestFinished(() => void vi.unstubAllEnvs())
    const clock = new ManualClock()
    vi.useFakeTimers({ toFake: ['Date'], now: clock.now() })
    onTestFinished(() => void vi.useRealTimers())
    const triggers: string[] = []
    const time = (ms: number) => new Date(ms).toISOString().slice(0, 19)
    const schedule = startSchedule(expression, jitterMs, () => triggers.push(time(clock.now())), {
      clock,
      random: () => share,
    })
    onTestFinished(() => schedule.stop())
    /** Let time pass as it does: with everything that is due in between. */
    const pass = async (ms: number) => {
      for (let left = ms; left > 0; ) {
        const step = Math.min(left, clock.nextWakeMs() ?? left)
        vi.setSystemTime(clock.now() + step)
        await clock.advance(step)
        left -= step
      }
    }
    /** The clock jumps to `to`, or the machine sleeps until then. */
    const jump = async (to: string) => {
      clock.set(Date.parse(to))
      vi.setSystemTime(clock.now())
    }
    return { schedule, triggers, pass, jump, next: () => time(schedule.nextAt) }
  }

  test('it triggers at its times, knows when next, and is silent after stop', async () => {
    const { schedule, triggers, pass, next } = scheduled('*/20 * * * *')
    expect(next()).toBe('2026-11-22T12:20:00')
    await pass(45 * minute)
    expect(triggers).toEqual(['2026-11-22T12:20:00', '2026-11-22T12:40:00'])
    expect(next()).toBe('2026-11-22T13:00:00')
    await schedule.stop()
    await pass(45 * minute)
    expect(triggers).toHaveLength(2)
  })

  test.each([60_000, 30 * 60_000])(
    'a jitter of up to %d ms comes on top, and is part of what is told',
    async jitterMs => {
      const { triggers, pass, next } = scheduled('*/20 * * * *', { jitterMs, share: 0.5 })
      const first = next()
      expect(Date.parse(`${first}Z`)).toBe(Date.UTC(2026, 10, 22, 12, 20) + jitterMs / 2)
      await pass(60 * minute)
      expect(triggers[0]).toBe(first)
    },
  )

  test('a time that was slept through is made up for, once', async () => {
    const { triggers, pass, jump, next } = scheduled('0 3 * * *')
    await pass(minute)
    await jump('2026-11-23T08:00:00Z') // three o'clock went by in a closed laptop
    await pass(2 * minute)
    expect(triggers).toEqual(['2026-11-23T08:01:00'])
    expect(next()).toMatch(/^2026-11-24T/)
  })

  test('the clock was years ahead and is put right: it does not wait for those years', async () => {
    const { triggers, pass, jump, next } = scheduled('*/20 * * * *')
    await jump('2036-01-01T00:00:00Z')
    await pass(30 * minute)
    const before = triggers.length
    await jump('2026-11-22T13:01:00Z')
    await pass(2 * minute)
    expect(triggers.slice(before)).toEqual([expect.stringMatching(/^2026-11-22T13:0/)])
    expect(next()).toBe('2026-11-22T13:20:00')
    await pass(30 * minute)
    expect(triggers.slice(before)).toHaveLength(2)
  })
})
