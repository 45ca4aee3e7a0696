/** Changes that a publish makes to the disk fail once, in every way: readers see the old releases or the new ones, whole. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { initRepository } from '../../src/publish/init.ts'
import { publish } from '../../src/publish/publish.ts'
import { DiskReader } from '../support/disk-reader.ts'
import { atEveryPoint } from '../support/faulty-disk.ts'
import { readTree, scratchDir, writeTree } from '../support/scratch.ts'

vi.mock('node:fs/promises', async real => (await import('../support/faulty-disk.ts')).makeFaulty(await real()))

const now = Date.parse('2026-11-22T12:00:00Z')
let base: string
let template: string
let sources: string[]

// Made once, copied for each point: signing is what takes the time.
beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), 'sigmesh-test-'))
  template = join(base, 'operator')
  sources = [1, 2, 3].map(n => join(base, `source-${n}`))
  for (const [at, source] of sources.entries()) await writeTree(source, { 'daily.ndb': `payload ${at}` })
  await initRepository(template, { channels: ['clamav'], now })
  for (const source of sources.slice(0, 2)) await publish(template, 'clamav', source, { now, keepReleases: 2 })
})

afterAll(() => rmSync(base, { recursive: true, force: true }))

const release = (directory: string) => publish(directory, 'clamav', sources[2]!, { now: now + 1000, keepReleases: 2 })

async function fresh() {
  const directory = join(await scratchDir(), 'operator')
  cpSync(template, directory, { recursive: true })
  return { directory, reader: new DiskReader(directory) }
}

/** Which files there are, but for how many versions of metadata a failed publish has used up. */
async function filesIn(directory: string): Promise<string[]> {
  const paths = Object.keys(await readTree(directory)).filter(
    path => !/metadata\/\d+\.(clamav|snapshot)\.json$/.test(path),
  )
  return paths.map(path => path.replace(/[0-9a-f]{64}/, 'x'))
}

describe('a change to the disk', () => {
  test.each([
    ['failed', 'ENOSPC', /^disk_full$/, 4],
    ['failed but persisted', 'EIO', /^disk_failed$/, 4],
    ['failed', 'crash', /./, 2],
    ['failed but persisted', 'crash', /./, 4],
  ] as const)(
    'that %s with %s: readers are whole, the next publish succeeds and cleans up',
    async (mode, errno, code, every) => {
      const { directory: undisturbed } = await fresh()
      await release(undisturbed)
      const tidy = await filesIn(undisturbed)
      const points = await atEveryPoint(
        mode,
        errno,
        async faulty => {
          const { directory, reader } = await fresh()
          const error = await faulty(() => release(directory)).then(
            () => undefined,
            caught => caught,
          )
          if (error && errno !== 'crash') expect(error.code).toMatch(code)
          const seen = reader.wholeReleases(now + 1000)
          expect(
            error
              ? [
                  [1, 2],
                  [2, 3],
                ]
              : [[2, 3]],
          ).toContainEqual(seen)
          const { outcome } = await release(directory)
          expect(outcome).toBe(seen.includes(3) ? 'unchanged' : 'published')
          if (outcome === 'published') expect(reader.wholeReleases(now + 1000)).toEqual([2, 3])
          expect(await filesIn(directory)).toEqual(tidy)
        },
        every,
      )
      expect(points).toBeGreaterThan(20)
    },
  )
})

test('a first publish of a new channel, cut off anywhere, succeeds the next time', async () => {
  const first = (directory: string) => publish(directory, 'yara', sources[0]!, { now: now + 1000, createChannel: true })
  await atEveryPoint(
    'failed',
    'crash',
    async faulty => {
      const { directory, reader } = await fresh()
      await faulty(() => first(directory)).catch(() => {})
      await first(directory)
      expect(reader.wholeReleases(now + 1000, 'yara')).toEqual([1])
    },
    5,
  )
})

test('an init that is cut off anywhere can be run again', async () => {
  await atEveryPoint(
    'failed',
    'crash',
    async faulty => {
      const directory = join(await scratchDir(), 'operator')
      const init = () => initRepository(directory, { channels: ['clamav'], now })
      const done = await faulty(init).then(
        () => true,
        () => false,
      )
      const again = await init().then(
        () => 'made',
        error => error.code,
      )
      expect(done ? ['repository_exists'] : ['made', 'repository_exists']).toContain(again)
      expect(new DiskReader(directory).wholeReleases(now + 1000)).toEqual([])
    },
    5,
  )
})
