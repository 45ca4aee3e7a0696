/** `GET /metadata/after/…`: the same files in one answer, whatever state the repository is in. */
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { KiB, MiB } from '../../src/core/units.ts'
import { MetadataBundles } from '../../src/origin/metadata-bundles.ts'
import { SmallFiles } from '../../src/origin/small-files.ts'
import { readBundle } from '../../src/swarm/metadata-bundle.ts'
import { openOrigin } from '../support/origin-fixture.ts'
import { scratchDir } from '../support/scratch.ts'
import { keyNamed } from '../support/trust-repository.ts'

async function published() {
  const fixture = await openOrigin()
  await fixture.repository.publish(1, 20 * KiB)
  await fixture.repository.publish(2, 20 * KiB)
  const { files } = fixture.repository.trust
  const snapshot = [...files.keys()].flatMap(name => /^(\d+)\.snapshot\.json$/.exec(name)?.[1] ?? []).map(Number)
  const after = async (root: number | string, seen: number | string, channel: string) => {
    const { status, body } = await fixture.get(`/metadata/after/${root}/${seen}/${channel}`)
    return status === 200 ? readBundle(body) : status
  }
  return { ...fixture, files, newest: Math.max(...snapshot), after }
}

test('who is behind gets what it will ask for, as it is in the files; who is not gets the timestamp', async () => {
  const { after, files, newest } = await published()
  const role = [...files.keys()].findLast(name => name.endsWith('.clamav.json'))!
  const names = ['timestamp.json', `${newest}.snapshot.json`, role]
  expect(await after(1, newest - 1, 'clamav')).toEqual(
    new Map(names.map(name => [name, Buffer.from(files.get(name)!)])),
  )
  expect([...((await after(1, newest, 'clamav')) as Map<string, Buffer>).keys()]).toEqual(['timestamp.json'])
  expect([...((await after(1, 1, 'unknown')) as Map<string, Buffer>).keys()]).toEqual(names.slice(0, 2))
})

test('a new root is in it for who trusts the one before, whatever else is new', async () => {
  const { after, repository, newest } = await published()
  repository.trust.rotateTimestampKey(keyNamed('second'))
  await repository.writeMetadata()
  const has = async (root: number) =>
    ((await after(root, newest, 'clamav')) as Map<string, Buffer>).has(`${root + 1}.root.json`)
  expect([await has(1), await has(2)]).toEqual([true, false])
})

test('a publish is seen at once, and a bundle is made once', async () => {
  const { after, get, repository, newest } = await published()
  const path = `/metadata/after/1/${newest}/clamav`
  const { etag } = (await get(path)).headers
  expect((await get(path, { 'if-none-match': String(etag) })).status).toBe(304)
  await repository.publish(3, 20 * KiB)
  expect((await get(path, { 'if-none-match': String(etag) })).status).toBe(200)
  expect([...((await after(1, newest, 'clamav')) as Map<string, Buffer>).keys()]).toContain(
    `${newest + 1}.snapshot.json`,
  )
})

test('what was made before a publish is not kept', async () => {
  const home = await scratchDir()
  const file = (name: string) => join(home, name)
  for (const name of ['timestamp.json', 'old']) await writeFile(file(name), `{"${name}":1}`)
  const bundles = new MetadataBundles(new SmallFiles(MiB, MiB), home)
  const first = await bundles.after(1, 1, 'clamav')
  expect(await bundles.after(1, 1, 'clamav')).toBe(first)
  await rename(file('timestamp.json'), file('kept'))
  await rename(file('old'), file('timestamp.json'))
  await bundles.after(1, 1, 'clamav')
  await rename(file('kept'), file('timestamp.json'))
  const again = await bundles.after(1, 1, 'clamav')
  expect(again).toEqual(first)
  expect(again).not.toBe(first)
})

test('it is compressed as a whole, for who takes that', async () => {
  const { get, newest } = await published()
  const plain = await get(`/metadata/after/1/${newest - 1}/clamav`)
  const small = await get(`/metadata/after/1/${newest - 1}/clamav`, { 'accept-encoding': 'br' })
  expect(small.headers['content-encoding']).toBe('br')
  expect(small.body.length).toBeLessThan(plain.body.length / 2)
})

test.each([
  ['the timestamp is damaged', 'timestamp.json', ['timestamp.json']],
  ['the snapshot is damaged', 'N.snapshot.json', ['timestamp.json', 'N.snapshot.json']],
])('%s: nodes see it as it is, and say what is wrong with it', async (_, name, names) => {
  const { after, repository, newest } = await published()
  const at = (each: string) => each.replace('N', String(newest))
  await writeFile(join(repository.directory, 'metadata', at(name)), '{"signed":')
  const bundle = (await after(1, 1, 'clamav')) as Map<string, Buffer>
  expect([...bundle.keys()]).toEqual(names.map(at))
  expect(bundle.get(at(name))?.toString()).toBe('{"signed":')
})

test('a new root that does not fit: no bundle, so that nobody takes it for absent', async () => {
  const { after, repository, newest } = await published()
  await writeFile(join(repository.directory, 'metadata', '2.root.json'), ' '.repeat(64 * KiB))
  expect(await after(1, newest, 'clamav')).toBe(404)
  expect(await after(2, newest, 'clamav')).toBeInstanceOf(Map)
})

test.each([
  ['no repository yet', 1, 1, 'clamav', 'timestamp.json'],
  ['no number', 'x', 1, 'clamav', ''],
  ['a number that is none', 1, '1e9', 'clamav', ''],
  ['a number with too many digits', '1'.repeat(11), 1, 'clamav', ''],
  ['no channel', 1, 1, 'CLAMAV', ''],
  ['a role of the repository itself', 1, 1, 'targets', ''],
  ['a way out of the folder', 1, 1, '..%2f..%2fkeys', ''],
])('%s: not found', async (_, root, snapshot, channel, missing) => {
  const { after, repository } = await published()
  if (missing) await rm(join(repository.directory, 'metadata', missing))
  expect(await after(root, snapshot, channel)).toBe(404)
})
