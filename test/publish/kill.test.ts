/** A real publisher is killed -9, over and over, while a real reader of the files looks on: it always sees a whole state. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { initRepository } from '../../src/publish/init.ts'
import { publish } from '../../src/publish/publish.ts'
import { DiskReader } from '../support/disk-reader.ts'
import { scratchDir, writeTree } from '../support/scratch.ts'

const child = join(import.meta.dirname, '../support/publish-child.ts')
const now = Date.parse('2026-11-22T12:00:00Z')

test('killed at any time, six times: readers see the old or the new, all of it', async () => {
  const directory = join(await scratchDir(), 'operator')
  const source = await scratchDir()
  const write = (round: number) =>
    writeTree(source, Object.fromEntries([...Array(30).keys()].map(n => [`rules/${n}`, `round ${round}, file ${n}`])))
  await initRepository(directory, { channels: ['clamav'], now })
  await write(0)
  await publish(directory, 'clamav', source, { now })
  const reader = new DiskReader(directory)
  let newest = 1
  for (let round = 1; round <= 6; round++) {
    await write(round)
    const publisher = spawn(process.execPath, [child, directory, source, String(now + round * 1000)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const printed: string[] = []
    publisher.stdout.on('data', chunk => printed.push(String(chunk)))
    const exited = once(publisher, 'exit')
    while (printed.length === 0 && publisher.exitCode === null) await delay(1)
    // Where the kill falls is chance: a publish takes some hundred ms here, with other work beside it.
    await delay(round * 20)
    publisher.kill('SIGKILL')
    await exited
    const seen = reader.wholeReleases(now).at(-1)!
    expect([newest, newest + 1]).toContain(seen)
    if (printed.join('').includes('done')) expect(seen).toBe(newest + 1)
    newest = seen
  }
  await publish(directory, 'clamav', source, { now: now + 20_000 })
  expect(reader.wholeReleases(now).at(-1)).toBeGreaterThanOrEqual(newest)
})

test('a reader that looks all the time while releases come out never meets half a one', async () => {
  const directory = join(await scratchDir(), 'operator')
  const source = await scratchDir()
  await initRepository(directory, { channels: ['clamav'], now })
  const publishing = (async () => {
    for (let round = 1; round <= 5; round++) {
      await writeTree(source, { 'daily.ndb': `round ${round}` })
      await publish(directory, 'clamav', source, { now: now + round * 1000, keepReleases: 2 })
    }
  })()
  let over = false
  void publishing.then(() => (over = true))
  const seen = new Set<number>()
  let last = 0
  while (!over) {
    const newest = new DiskReader(directory).wholeReleases(now).at(-1) ?? 0
    expect(newest).toBeGreaterThanOrEqual(last)
    last = newest
    seen.add(newest)
    await delay(2)
  }
  await publishing
  expect(seen.size).toBeGreaterThan(2)
})
