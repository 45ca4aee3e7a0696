/** What goes when space is needed, and what must not. */
import { readdir } from 'node:fs/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { piecesRoot, type Sha256 } from '../../src/core/digest.ts'
import { day, hour } from '../../src/core/units.ts'
import { chooseForRoom, chooseForSweep } from '../../src/store/retention.ts'
import { scratchDir } from '../support/scratch.ts'
import { dataName, fill, holdFinished, noon, openStore, piece, smallArtifact, TestClock } from './artifact-fixture.ts'

const [one, two, three] = [smallArtifact(1), smallArtifact(2), smallArtifact(3)] as const
const size = one.artifact.length
const nothing: ReadonlySet<Sha256> = new Set()

test('what is past its time is swept; what is in use, kept, or not yet due stays', async () => {
  const directory = await scratchDir()
  const store = await openStore(directory)
  for (const [fixture, until] of [
    [one, noon + hour],
    [two, noon + day],
    [three, noon + hour],
  ] as const)
    await holdFinished(store, fixture, until)
  const inUse = await store.open(three.artifact, three.pieceHashes)
  expect(await store.sweep(noon + hour - 1, nothing)).toEqual([])
  expect(await store.sweep(noon + hour, new Set([one.artifact.sha256]))).toEqual([])
  expect(await store.sweep(noon + hour, nothing)).toEqual([one.artifact.sha256])
  await inUse.close()
  expect(await store.sweep(noon + hour, nothing)).toEqual([three.artifact.sha256])
  expect((await readdir(directory)).sort()).toEqual([dataName(two.artifact, 'json'), dataName(two.artifact, 'pack')])
})

test('how long an artifact is kept survives a restart', async () => {
  const directory = await scratchDir()
  await holdFinished(await openStore(directory), one, noon + hour)
  const store = await openStore(directory)
  expect(store.list()).toMatchObject([{ state: 'complete', bytes: size, seedUntil: noon + hour, inUse: false }])
  expect(await store.sweep(noon + hour, nothing)).toEqual([one.artifact.sha256])
})

test('a half-fetched artifact outlives a restart and a sweep, but not a day', async () => {
  const directory = await scratchDir()
  const first = await openStore(directory)
  await (await first.open(one.artifact, one.pieceHashes)).put(0, piece(one, 0))
  await first.stop()
  const store = await openStore(directory)
  expect(await store.sweep(noon + day - 1, nothing)).toEqual([])
  expect(await store.sweep(noon + day, nothing)).toEqual([one.artifact.sha256])
})

test('an artifact larger than the quota is refused with the numbers, and nothing is thrown away for it', async () => {
  const store = await openStore(await scratchDir(), 2 * size)
  await holdFinished(store, one, noon + hour)
  const large = { ...two.artifact, length: 3 * size, pieceLength: 2 ** 20 }
  const hashes = two.pieceHashes.subarray(0, 32)
  const refused = store.open({ ...large, piecesRoot: piecesRoot(hashes) }, hashes)
  await expect(refused).rejects.toMatchObject({
    code: 'quota_exceeded',
    facts: { neededBytes: 3 * size, quotaBytes: 2 * size },
  })
  expect(store.list()).toMatchObject([{ sha256: one.artifact.sha256 }])
})

test('room is made by the artifact longest over, then by the least recently used, never by one in use', async () => {
  const clock = new TestClock()
  const store = await openStore(await scratchDir(), 2 * size, clock)
  await holdFinished(store, one, noon + 2 * day)
  clock.time += hour
  await holdFinished(store, two, noon + 2 * day)
  const inUse = await store.open(one.artifact, one.pieceHashes) // so `two` is idle, though used more recently
  const pieces = await store.open(three.artifact, three.pieceHashes)
  expect(store.list().map(({ sha256 }) => sha256)).toEqual([one.artifact.sha256, three.artifact.sha256])
  await expect(store.open(two.artifact, two.pieceHashes)).rejects.toMatchObject({ code: 'quota_exceeded' })
  await fill(pieces, three)
  await pieces.close()
  await inUse.close()
})

test('what was promised to an artifact that could not be opened is given back', async () => {
  const store = await openStore(await scratchDir(), size)
  const aborted = AbortSignal.abort(new Error('enough'))
  await holdFinished(store, one)
  await expect(store.open(one.artifact, one.pieceHashes, aborted)).rejects.toThrow('enough')
  await holdFinished(store, two)
  expect(store.list()).toMatchObject([{ sha256: two.artifact.sha256 }])
})

test('many artifacts opened at once never exceed the quota together', async () => {
  const store = await openStore(await scratchDir(), 3 * size)
  const fixtures = [1, 2, 3, 4, 5, 6].map(smallArtifact)
  const opened = await Promise.allSettled(
    fixtures.map(({ artifact, pieceHashes }) => store.open(artifact, pieceHashes)),
  )
  expect(opened.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
  expect(store.list()).toHaveLength(3)
  await store.stop()
})

const idle = fc.record({
  sha256: fc.constant('x' as Sha256),
  bytes: fc.integer({ min: 1, max: 100 }),
  allocated: fc.integer({ min: 0, max: 100 }),
  seedUntil: fc.integer({ min: 0, max: 50 }),
  usedAt: fc.integer({ min: 0, max: 50 }),
})

test('room: whatever is chosen suffices, its last is not superfluous, and what is over goes before what is not', () => {
  const shortage = fc.record({ quota: fc.integer({ min: -50, max: 300 }), disk: fc.integer({ min: -50, max: 300 }) })
  const property = fc.property(fc.array(idle), shortage, (artifacts, short) => {
    const choice = chooseForRoom(artifacts, 25, short)
    const total = (chosen: typeof artifacts, what: 'bytes' | 'allocated') =>
      chosen.reduce((sum, artifact) => sum + artifact[what], 0)
    const suffices = (chosen: typeof artifacts) =>
      total(chosen, 'bytes') >= short.quota && total(chosen, 'allocated') >= short.disk
    if (!choice.remove) {
      expect(suffices(artifacts)).toBe(false)
      return
    }
    expect(suffices(choice.remove)).toBe(true)
    if (choice.remove.length > 0) expect(suffices(choice.remove.slice(0, -1))).toBe(false)
    const over = ({ seedUntil }: (typeof artifacts)[number]) => seedUntil > 0 && seedUntil <= 25
    const spared = artifacts.filter(artifact => !choice.remove.includes(artifact))
    if (choice.remove.some(artifact => !over(artifact))) expect(spared.some(over)).toBe(false)
  })
  fc.assert(property, { seed: 7, numRuns: 500 })
})

test('sweep: all that is over, and no more than the quota demands of the rest', () => {
  const property = fc.property(fc.array(idle), fc.integer({ min: -100, max: 500 }), (artifacts, overQuota) => {
    const doomed = chooseForSweep(artifacts, 25, overQuota)
    const over = artifacts.filter(({ seedUntil }) => seedUntil > 0 && seedUntil <= 25)
    expect(doomed).toEqual(expect.arrayContaining(over))
    const bytes = (chosen: typeof artifacts) => chosen.reduce((sum, artifact) => sum + artifact.bytes, 0)
    if (doomed.length < artifacts.length) expect(bytes(doomed)).toBeGreaterThanOrEqual(overQuota)
    if (doomed.length > over.length) expect(bytes(doomed.slice(0, -1))).toBeLessThan(overQuota)
  })
  fc.assert(property, { seed: 7, numRuns: 500 })
})
