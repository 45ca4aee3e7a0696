/** A really full disk: a tmpfs of a few megabytes. Root only. */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { z } from '../../src/core/schema.ts'
import type { TrustState } from '../../src/core/trust-state.ts'
import { KiB, MiB } from '../../src/core/units.ts'
import { lockDirectory } from '../../src/store/directory-lock.ts'
import { writeFileDurably } from '../../src/store/durable.ts'
import { openJournal } from '../../src/store/journal.ts'
import { openTrustStore } from '../../src/store/trust-store.ts'
import { makeArtifact } from '../support/artifact.ts'
import { canMount, smallDisk } from '../support/small-disk.ts'
import { fill, openStore } from './artifact-fixture.ts'

const testAsRoot = test.skipIf(!canMount)

/** Fill the disk to the last byte. */
async function fillDisk(directory: string): Promise<void> {
  await writeFile(join(directory, 'ballast'), Buffer.alloc(64 * MiB)).catch(() => {})
}

testAsRoot('an artifact that would not fit is refused before the first byte, with the numbers', async () => {
  const directory = await smallDisk(2 * MiB)
  const store = await openStore(directory)
  const { artifact, pieceHashes } = makeArtifact({ length: 3 * MiB })
  const refused = await store.open(artifact, pieceHashes).catch(error => error)
  expect(refused).toMatchObject({ code: 'disk_full', facts: { neededBytes: 3 * MiB } })
  expect(refused.facts.freeBytes).toBeLessThanOrEqual(2 * MiB)
  expect(store.list()).toEqual([])
})

testAsRoot('two artifacts are not promised the same space', async () => {
  const store = await openStore(await smallDisk(4 * MiB))
  const [one, two] = [makeArtifact({ length: 3 * MiB }), makeArtifact({ length: 3 * MiB, seed: 2 })]
  await using _pieces = await store.open(one.artifact, one.pieceHashes)
  await expect(store.open(two.artifact, two.pieceHashes)).rejects.toMatchObject({ code: 'disk_full' })
})

testAsRoot('an artifact that could be fetched and not be unpacked is refused before the first byte', async () => {
  const [disk, other] = [await smallDisk(4 * MiB), await smallDisk(1 * MiB)]
  const store = await openStore(join(disk, 'artifacts'))
  const { artifact } = makeArtifact({ length: 2 * MiB })
  const demand = (directory: string, bytes: number) => ({ spaces: [{ directory, bytes, files: 3 }], keptBytes: bytes })
  const refused = await store.reserve(artifact, demand(disk, 3 * MiB)).catch(error => error)
  expect(refused).toMatchObject({ code: 'disk_full', facts: { neededBytes: 5 * MiB } })
  await expect(store.reserve(artifact, demand(other, 2 * MiB))).rejects.toMatchObject({
    code: 'disk_full',
    facts: { path: other, neededBytes: 2 * MiB },
  })
  const manyFiles = { spaces: [{ directory: disk, bytes: 1, files: 1e9 }], keptBytes: 1 }
  await expect(store.reserve(artifact, manyFiles)).rejects.toMatchObject({ code: 'disk_full' })
  await using _space = await store.reserve(artifact, demand(disk, 1 * MiB))
  expect(store.list()).toEqual([])
})

testAsRoot('two installs are not promised the same space; what the first gives back, the second gets', async () => {
  const disk = await smallDisk(4 * MiB)
  const store = await openStore(join(disk, 'artifacts'))
  const [one, two] = [makeArtifact({ length: MiB }), makeArtifact({ length: MiB, seed: 2 })]
  const demand = { spaces: [{ directory: disk, bytes: 1.5 * MiB, files: 3 }], keptBytes: 0 }
  {
    await using _space = await store.reserve(one.artifact, demand)
    await expect(store.reserve(two.artifact, demand)).rejects.toMatchObject({ code: 'disk_full' })
    // Nor is an artifact given what is meant for the install of another.
    const large = makeArtifact({ length: 3 * MiB, seed: 3 })
    await expect(store.open(large.artifact, large.pieceHashes)).rejects.toMatchObject({ code: 'disk_full' })
  }
  await using _space = await store.reserve(two.artifact, demand)
})

testAsRoot('idle artifacts make room for what is to be unpacked', async () => {
  const disk = await smallDisk(4 * MiB)
  const store = await openStore(join(disk, 'artifacts'))
  const [one, two] = [makeArtifact({ length: 2 * MiB }), makeArtifact({ length: MiB, seed: 2 })]
  const pieces = await store.open(one.artifact, one.pieceHashes)
  await fill(pieces, one)
  await pieces.close()
  const demand = { spaces: [{ directory: disk, bytes: 2 * MiB, files: 3 }], keptBytes: 0 }
  await using _space = await store.reserve(two.artifact, demand)
  expect(store.list()).toEqual([])
})

testAsRoot('idle artifacts make room on a full disk', async () => {
  const store = await openStore(await smallDisk(4 * MiB))
  const [one, two] = [makeArtifact({ length: 3 * MiB }), makeArtifact({ length: 3 * MiB, seed: 2 })]
  const pieces = await store.open(one.artifact, one.pieceHashes)
  await fill(pieces, one)
  await pieces.close()
  await using _more = await store.open(two.artifact, two.pieceHashes)
  expect(store.list()).toMatchObject([{ sha256: two.artifact.sha256 }])
})

testAsRoot('space that vanishes in mid-transfer fails the piece; it goes on when space comes back', async () => {
  const directory = await smallDisk(4 * MiB)
  const store = await openStore(join(directory, 'artifacts'))
  const fixture = makeArtifact({ length: 3 * MiB, pieceLength: 256 * KiB })
  await using pieces = await store.open(fixture.artifact, fixture.pieceHashes)
  await pieces.put(0, fixture.content.subarray(0, 256 * KiB))
  await fillDisk(directory)
  await expect(fill(pieces, fixture)).rejects.toMatchObject({ code: 'disk_full' })
  await rm(join(directory, 'ballast'))
  expect((await fill(pieces, fixture)).length).toBeGreaterThan(0)
  await using _whole = await store.admit(fixture.artifact)
})

testAsRoot(
  'trusted state, history and lock on a full disk: typed errors, the old state stays, and it recovers',
  async () => {
    const directory = await smallDisk(1 * MiB)
    const trust = await openTrustStore(join(directory, 'trust'))
    const state = (version: number): TrustState => ({
      files: new Map([['root.json', Buffer.alloc(20 * KiB, version)]]),
      floor: { time: version, versions: new Map([['root', version]]) },
    })
    await trust.save(state(1))
    const history = await openJournal(join(directory, 'history'), z.number(), 10)
    await history.append(1)
    await (await lockDirectory(directory)).stop()
    await fillDisk(directory)
    await expect(trust.save(state(2))).rejects.toMatchObject({ code: 'disk_full' })
    expect((await trust.load())?.files).toEqual(state(1).files)
    await expect(writeFileDurably(join(directory, 'x'), 'x'.repeat(9000))).rejects.toMatchObject({ code: 'disk_full' })
    const lock = await lockDirectory(directory)
    await lock.stop()
    await rm(join(directory, 'ballast'))
    await trust.save(state(3))
    expect(await trust.load()).toEqual(state(3))
    await history.append(2)
    expect((await openJournal(join(directory, 'history'), z.number(), 10)).last(9)).toEqual([1, 2])
  },
)
