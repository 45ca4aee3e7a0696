/** The quota holds for everything that is kept: artifacts, installed releases, and those to come. */
import { expect, test } from 'vitest'
import { KiB } from '../../src/core/units.ts'
import { makeArtifact } from '../support/artifact.ts'
import { scratchDir } from '../support/scratch.ts'
import { holdFinished, noon, openStore } from './artifact-fixture.ts'

const artifact = (seed: number) => makeArtifact({ pieceLength: 16 * KiB, length: 100 * KiB, seed })
const takes = (keptBytes: number) => ({ spaces: [], keptBytes })

test('a release that would not fit beside the installed ones is refused, with the numbers; those stay counted', async () => {
  const store = await openStore(await scratchDir(), 300 * KiB)
  store.countInstalled('clamav', 150 * KiB)
  const one = artifact(1).artifact
  const refused = await store.reserve(one, takes(51 * KiB)).catch(error => error)
  expect(refused).toMatchObject({ code: 'quota_exceeded', facts: { neededBytes: 301 * KiB, quotaBytes: 300 * KiB } })
  expect(refused.message).toContain('201.0 KiB of releases in force, before and to come')
  await (await store.reserve(one, takes(50 * KiB)))[Symbol.asyncDispose]()
  store.countInstalled('yara', 51 * KiB)
  await expect(store.reserve(one, takes(0))).rejects.toMatchObject({ code: 'quota_exceeded' })
  store.countInstalled('yara', 0)
  await using _space = await store.reserve(one, takes(0))
})

test('what one channel has reserved, another does not get, until it is given back', async () => {
  const store = await openStore(await scratchDir(), 300 * KiB)
  const [one, two] = [artifact(1), artifact(2)]
  {
    await using _space = await store.reserve(one.artifact, takes(50 * KiB))
    await expect(store.reserve(two.artifact, takes(51 * KiB))).rejects.toMatchObject({ code: 'quota_exceeded' })
    await using _other = await store.reserve(two.artifact, takes(50 * KiB))
  }
  await using _space = await store.reserve(two.artifact, takes(200 * KiB))
})

test('idle artifacts go for an install, and by the sweep when installed releases have grown; the one to be installed stays', async () => {
  const store = await openStore(await scratchDir(), 400 * KiB)
  const [one, two] = [artifact(1), artifact(2)]
  await holdFinished(store, one, noon + 1000)
  await holdFinished(store, two, noon + 1000)
  {
    await using _space = await store.reserve(one.artifact, takes(250 * KiB))
    expect(store.list()).toMatchObject([{ sha256: one.artifact.sha256 }])
    store.countInstalled('clamav', 350 * KiB)
    expect(await store.sweep(noon, new Set())).toEqual([])
  }
  expect(await store.sweep(noon, new Set())).toEqual([one.artifact.sha256])
})
