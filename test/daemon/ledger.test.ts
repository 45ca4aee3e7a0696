/** The book of figures: what a crash, a full disk or a version of tomorrow may do to it. */
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { addBytes, Ledger, noBytes, noteRelease, readNote, subtractBytes } from '../../src/daemon/ledger.ts'
import { scratchDir } from '../support/scratch.ts'
import { makeRelease } from '../support/trust-repository.ts'

const bytes = { wan: 5, lanIn: 3, lanOut: 2, wasted: 1 }

test('figures, failure and what is served come back after a restart, each with its channel', async () => {
  const home = await scratchDir()
  const ledger = await Ledger.open(home)
  const release = makeRelease('clamav', 7, { label: 'daily 27810' })
  const failure = { at: '2026-11-22T12:00:00.000Z', code: 'disk_full', message: 'm', advice: 'a' }
  Object.assign(ledger.channel('clamav'), { bytes, failure, served: [noteRelease(release, 42)] })
  ledger.channel('yara').lastCheck = '2026-11-22T12:00:00.000Z'
  await ledger.save()

  const again = await Ledger.open(home)
  expect(again.channel('clamav')).toEqual(ledger.channel('clamav'))
  expect(again.channel('yara')).toMatchObject({ bytes: noBytes, lastCheck: '2026-11-22T12:00:00.000Z' })
  expect(readNote('clamav', again.channel('clamav').served[0]!)).toEqual(release)
})

test('an idle node leaves the disk asleep', async () => {
  const home = await scratchDir()
  const ledger = await Ledger.open(home)
  ledger.channel('clamav').bytes = bytes
  await ledger.save()
  const { ino } = await stat(join(home, 'ledger.json'))
  await ledger.save()
  expect((await stat(join(home, 'ledger.json'))).ino).toBe(ino) // replaced whole when it is written
  ledger.channel('clamav').bytes = addBytes(bytes, bytes)
  await ledger.save()
  expect((await stat(join(home, 'ledger.json'))).ino).not.toBe(ino)
})

test.each<[string, string]>([
  ['torn', '{"clamav":{"bytes":{"wan":5,"lan'],
  ['of another version', '{"clamav":{"bytes":{"wan":5},"colour":"blue"}}'],
  [
    'with figures below zero',
    JSON.stringify({
      clamav: { bytes: { ...bytes, wan: -1 }, lastCheck: null, lastSuccess: null, failure: null, served: [] },
    }),
  ],
])('a book that is %s begins anew, and the old one is kept aside', async (_, text) => {
  const home = await scratchDir()
  await writeFile(join(home, 'ledger.json'), text)
  const ledger = await Ledger.open(home)
  expect(ledger.channel('clamav')).toEqual({
    bytes: noBytes,
    lastCheck: null,
    lastSuccess: null,
    failure: null,
    served: [],
  })
  expect(await readdir(home)).toEqual(['ledger.json.damaged'])
  expect(await readFile(join(home, 'ledger.json.damaged'), 'utf8')).toBe(text)
})

test('a note of another version is not served, and no reason to fail', () => {
  const note = noteRelease(makeRelease('clamav', 7), 42)
  expect(readNote('clamav', { ...note, custom: { sigmesh: { format: 2 } } })).toBeUndefined()
  expect(readNote('clamav', { ...note, custom: {} })).toBeUndefined()
  expect(readNote('clamav', { ...note, sequence: 8 })).toBeUndefined()
})

test('bytes add up and take away, source by source', () => {
  expect(subtractBytes(addBytes(bytes, bytes), bytes)).toEqual(bytes)
})
