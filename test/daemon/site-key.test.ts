/** When a node asks for the key of its site, and what it keeps. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { DownloadError } from '../../src/core/errors.ts'
import { silentLog } from '../../src/core/log.ts'
import { hour, second } from '../../src/core/units.ts'
import { SiteKeyKeeper } from '../../src/daemon/site-key.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { scratchDir } from '../support/scratch.ts'

async function keeper(stateDirectory = '') {
  const home = stateDirectory || (await scratchDir())
  const clock = new ManualClock()
  const origin = {
    asked: 0,
    answer: { key: 'A'.repeat(43), generation: 1 },
    refusal: undefined as DownloadError | undefined,
    async siteKey() {
      origin.asked++
      if (origin.refusal) throw origin.refusal
      return origin.answer
    },
  }
  let changes = 0
  const start = async () => {
    const parts = {
      stateDirectory: home,
      origin,
      place: () => ({ node: 'a', site: 'berlin' }),
      onChange: () => changes++,
    }
    const started = await SiteKeyKeeper.start({ ...parts, clock, random: () => 0.5, log: silentLog })
    onTestFinished(() => started.stop())
    return started
  }
  return { home, clock, origin, start, changes: () => changes }
}

const away = new DownloadError('origin_unreachable', 'the origin does not answer')

test('what the origin gave is there after a restart, when the origin is away; nobody else can read it', async () => {
  const { start, origin, home, changes } = await keeper()
  const first = await start()
  await expect.poll(() => first.key()).toBeDefined()
  await expect.poll(() => readdir(home)).toContain('site-key.json')
  expect((await stat(join(home, 'site-key.json'))).mode & 0o777).toBe(0o600)
  await first.stop()
  origin.refusal = away
  expect((await start()).key()).toEqual(first.key())
  expect(changes()).toBe(1)
})

test('the origin is away at the start: asked again, more and more rarely', async () => {
  const { start, origin, clock } = await keeper()
  origin.refusal = away
  const started = await start()
  for (let time = 1; time <= 12; time++) {
    await expect.poll(() => clock.nextWakeMs()).toBeGreaterThan(0)
    expect(origin.asked).toBe(time)
    await clock.advance(clock.nextWakeMs()!)
    await expect.poll(() => origin.asked).toBe(time + 1)
  }
  expect(started.key()).toBeUndefined()
})

test('a newer generation is asked for within some seconds; the same one, or an hour of nothing, is not a reason before its time', async () => {
  const { start, origin, clock, changes } = await keeper()
  const started = await start()
  await expect.poll(() => clock.nextWakeMs()).toBe(hour)
  started.hearGeneration(1)
  await clock.advance(10 * second)
  expect(origin.asked).toBe(1)
  origin.answer = { key: 'B'.repeat(43), generation: 2 }
  started.hearGeneration(2)
  await expect.poll(() => clock.nextWakeMs()).toBeLessThanOrEqual(5 * second)
  await clock.advance(5 * second)
  await expect.poll(changes).toBe(2)
})

test('attack 40: beacons under made-up keys make it ask now and then, and ever more rarely', async () => {
  const { start, origin, clock } = await keeper()
  const started = await start()
  await expect.poll(() => clock.nextWakeMs()).toBe(hour)
  for (let time = 0; time < 3600; time++) {
    for (let count = 0; count < 10; count++) started.hearOther()
    await clock.advance(second)
  }
  expect(origin.asked).toBeLessThanOrEqual(10)
  expect(origin.asked).toBeGreaterThan(2)
})

test('a revoked node forgets the key', async () => {
  const { start, origin, clock, home } = await keeper()
  const started = await start()
  await expect.poll(() => readdir(home)).toContain('site-key.json')
  origin.refusal = new DownloadError('identity_revoked', 'the operator of the origin has revoked this node')
  started.hearGeneration(2)
  await expect.poll(() => clock.nextWakeMs()).toBeLessThanOrEqual(5 * second)
  await clock.advance(5 * second)
  await expect.poll(() => started.key()).toBeUndefined()
  await expect.poll(() => readdir(home)).not.toContain('site-key.json')
})
