import { describe, expect, test } from 'vitest'
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

  test('it triggers, knows when next, and is silent after stop', async () => {
    let triggers = 0
    const first = Promise.withResolvers<void>()
    const schedule = startSchedule('* * * * * *', 0, () => {
      triggers++
      first.resolve()
    })
    expect(schedule.next()!.getTime()).toBeGreaterThan(Date.now() - second)
    await first.promise
    await schedule.stop()
    const before = triggers
    await new Promise(resolve => setTimeout(resolve, 1500))
    expect(triggers).toBe(before)
  })
})
