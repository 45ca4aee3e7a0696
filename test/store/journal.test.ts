/** The history: torn lines, other versions' lines, and growth. */
import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { z } from '../../src/core/schema.ts'
import { openJournal } from '../../src/store/journal.ts'
import { atEveryPoint, faultModes } from '../support/faulty-disk.ts'
import { scratchDir } from '../support/scratch.ts'

vi.mock('node:fs/promises', async real => (await import('../support/faulty-disk.ts')).makeFaulty(await real()))

const entry = z.strictObject({ n: z.int() })
const numbered = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => ({ n: from + i }))

async function journalOf(count: number, limit = 5) {
  const path = join(await scratchDir(), 'history')
  const journal = await openJournal(path, entry, limit)
  for (const each of numbered(1, count)) await journal.append(each)
  return { path, journal }
}

test('the newest entries are kept, over restarts, and the file stays bounded', async () => {
  const { path, journal } = await journalOf(98)
  expect(journal.last(3)).toEqual(numbered(96, 98))
  expect(journal.last(0)).toEqual([])
  expect(journal.last(500)).toEqual(numbered(94, 98))
  expect((await openJournal(path, entry, 5)).last(500)).toEqual(numbered(94, 98))
  expect((await readFile(path, 'utf8')).split('\n').length).toBeLessThanOrEqual(11)
})

test('cut at every length: whole lines stay, and the next entry is not swallowed by a torn one', async () => {
  const { path } = await journalOf(3)
  const whole = await readFile(path)
  for (let length = 0; length <= whole.length; length++) {
    await writeFile(path, whole)
    await truncate(path, length)
    const journal = await openJournal(path, entry, 5)
    const kept = journal.last(9)
    expect(kept).toEqual(numbered(1, kept.length))
    expect(kept.length).toBeGreaterThanOrEqual(Math.floor(length / 8))
    await journal.append({ n: 99 })
    expect((await openJournal(path, entry, 5)).last(9)).toEqual([...kept, { n: 99 }])
  }
})

test('lines of another version, and garbage, are passed over', async () => {
  const { path } = await journalOf(2)
  await appendFile(path, '{"n":"text"}\n\0\0\0\n{"n":3,"more":1}\nnull\n{"n":3}\n')
  expect((await openJournal(path, entry, 5)).last(9)).toEqual(numbered(1, 3))
})

test('entries appended at once are all there, in order, once each', async () => {
  const { path, journal } = await journalOf(9)
  await Promise.all(numbered(10, 14).map(each => journal.append(each)))
  expect((await openJournal(path, entry, 100)).last(100).slice(-5)).toEqual(numbered(10, 14))
  expect(journal.last(5)).toEqual(numbered(10, 14))
})

test.each(faultModes)('an append that %s is there once or not at all, and the rest stays', async mode => {
  const points = await atEveryPoint(mode, 'ENOSPC', async faulty => {
    const { path, journal } = await journalOf(3)
    const outcome = await faulty(() => journal.append({ n: 4 })).catch(error => error)
    if (outcome !== undefined) expect(outcome).toMatchObject({ code: 'disk_full' })
    expect([numbered(1, 3), numbered(1, 4)]).toContainEqual((await openJournal(path, entry, 5)).last(9))
    await journal.append({ n: 5 })
    expect((await openJournal(path, entry, 5)).last(9)).toEqual(numbered(1, 5))
  })
  expect(points).toBeGreaterThanOrEqual(2)
})
