/** What runs beside the origin: re-signs with two keys, has no others, and never gets into the way of a publish. */
import { cp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { day, hour, minute } from '../../src/core/units.ts'
import { initRepository } from '../../src/publish/init.ts'
import { startOnlineSigner } from '../../src/publish/online-signer.ts'
import { lockDirectory } from '../../src/store/directory-lock.ts'
import { DiskReader } from '../support/disk-reader.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { readTree, scratchDir } from '../support/scratch.ts'

type Line = [level: string, facts: object, message: string]

async function beside() {
  const directory = join(await scratchDir(), 'operator')
  const clock = new ManualClock()
  await initRepository(directory, { channels: ['clamav'], now: clock.now() })
  const lines: Line[] = []
  const say = (level: string) => (facts: object, message: string) => void lines.push([level, facts, message])
  const log = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
  const keys = join(directory, 'keys/online')
  const repository = join(directory, 'repository')
  const start = () => {
    const signer = startOnlineSigner({ repository, keys }, { clock, log })
    onTestFinished(() => signer.stop())
    return signer
  }
  /** Let time pass, and the signer do what it then does. */
  const pass = async (ms: number) => {
    await expect.poll(() => clock.nextWakeMs()).toBeDefined()
    await clock.advance(ms)
    await expect.poll(() => clock.nextWakeMs()).toBeDefined()
  }
  return { directory, repository, keys, clock, lines, start, pass, reader: new DiskReader(directory) }
}

test('signs again before anything expires, and readers go on for weeks', async () => {
  const { start, pass, clock, reader, lines } = await beside()
  start()
  for (let passed = 0; passed < 20 * day; passed += 9 * hour) {
    await pass(9 * hour)
    expect(reader.releases(clock.now())).toEqual([])
  }
  expect(lines.every(([level]) => level === 'info')).toBe(true)
})

test('writes nothing, and takes no lock, while nothing is due', async () => {
  const { start, pass, repository, directory, lines } = await beside()
  const lock = await lockDirectory(directory)
  onTestFinished(() => lock.stop())
  const before = await readTree(repository)
  start()
  await pass(10 * minute)
  expect([await readTree(repository), lines]).toEqual([before, []])
})

test('waits for a publish that is under way, without a word, and signs after it', async () => {
  const { start, pass, clock, directory, repository, reader, lines } = await beside()
  const lock = await lockDirectory(directory)
  start()
  const before = await readTree(repository)
  await pass(13 * hour)
  expect([await readTree(repository), lines]).toEqual([before, []])
  await lock.stop()
  await pass(10 * minute)
  await pass(11 * hour)
  expect(reader.releases(clock.now())).toEqual([])
})

test('will not work beside a key that decides what is installed: key_unusable in the log, nothing is signed', async () => {
  const { start, pass, directory, repository, keys, lines } = await beside()
  await cp(join(directory, 'keys/clamav.json'), join(keys, 'clamav.json'))
  const before = await readTree(repository)
  start()
  await pass(13 * hour)
  expect(lines[0]).toEqual(['error', expect.objectContaining({ code: 'key_unusable' }), expect.any(String)])
  expect(await readTree(repository)).toEqual(before)
})

test.each<[string, (it: Awaited<ReturnType<typeof beside>>) => Promise<unknown>]>([
  ['its keys are gone', ({ keys }) => rm(keys, { recursive: true })],
  ['the repository is damaged', ({ repository }) => writeFile(join(repository, 'metadata/timestamp.json'), '{')],
])('%s: says so, and goes on', async (_, spoil) => {
  const it = await beside()
  await spoil(it)
  it.start()
  await it.pass(13 * hour)
  expect(it.lines.some(([level]) => level !== 'info')).toBe(true)
  await it.pass(10 * minute)
})

test('what will expire, and is signed elsewhere, is told once', async () => {
  const { start, pass, lines } = await beside()
  start()
  await pass(46 * day)
  await pass(10 * minute)
  await pass(10 * minute)
  expect(lines.filter(([level]) => level === 'warn')).toEqual([
    ['warn', { roles: 'clamav, targets' }, expect.any(String)],
  ])
})

test('a copy of a repository is none that can be signed anew: config_invalid', () => {
  const options = { repository: '/srv/mirror', keys: '/srv/keys' }
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  expect(() => startOnlineSigner(options, { clock: new ManualClock(), log })).toThrow(
    expect.objectContaining({ code: 'config_invalid' }),
  )
})
