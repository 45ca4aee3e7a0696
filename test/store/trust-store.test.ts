/** Trusted state against torn, lost and rotten files: whatever happens to them, yesterday's release must not become acceptable. */
import { cp, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { SigmeshError } from '../../src/core/errors.ts'
import type { TrustState } from '../../src/core/trust-state.ts'
import { openTrustStore } from '../../src/store/trust-store.ts'
import { atEveryPoint, faultModes } from '../support/faulty-disk.ts'
import { scratchDir } from '../support/scratch.ts'

vi.mock('node:fs/promises', async real => (await import('../support/faulty-disk.ts')).makeFaulty(await real()))

const stateFiles = ['floor/a', 'floor/b', 'metadata/a', 'metadata/b'] as const
/** Where the first save and the second put the files. */
const older = 'metadata/a'
const newer = 'metadata/b'

function state(version: number): TrustState {
  return {
    files: new Map([
      ['root.json', Buffer.from('{"root":1}')],
      ['timestamp.json', Buffer.from(`{"version":${version}}`)],
      ['__proto__', Buffer.from([0, 255, version])],
    ]),
    floor: {
      time: 1_000 * version,
      versions: new Map([
        ['timestamp', version],
        ['__proto__', version],
      ]),
    },
  }
}

/** A store that has saved version 1, then 2. */
async function savedTwice(): Promise<string> {
  const directory = await scratchDir()
  const store = await openTrustStore(directory)
  await store.save(state(1))
  await store.save(state(2))
  return directory
}

async function load(directory: string) {
  return (await openTrustStore(directory)).load()
}

test('what was saved is loaded, byte for byte, by another process too', async () => {
  const directory = await savedTwice()
  expect(await load(directory)).toEqual(state(2))
  expect(await load(await scratchDir())).toBeUndefined()
})

test('the process that saved has it as another one would load it: the latest time, too, which an older generation still has', async () => {
  const directory = await scratchDir()
  const store = await openTrustStore(directory)
  expect(await store.load()).toBeUndefined()
  const late = state(2)
  await store.save({ ...late, floor: { ...late.floor, time: late.floor.time + 1000 } })
  await store.save(state(3))
  const loaded = await store.load()
  expect(loaded).toEqual(await load(directory))
  expect(loaded?.floor.time).toBe(late.floor.time + 1000)
})

test('a save that fails: what the disk has is asked again, and not what was to be saved', async () => {
  const directory = await scratchDir()
  const store = await openTrustStore(directory)
  await store.load()
  await store.save(state(1))
  await rm(join(directory, 'metadata'), { recursive: true })
  await writeFile(join(directory, 'metadata'), 'in the way')
  await expect(store.save(state(2))).rejects.toThrow()
  expect((await store.load())?.files).toEqual(new Map())
})

test('each state file cut at every length: the floor stands, and older files come back at worst', async () => {
  const directory = await savedTwice()
  for (const name of stateFiles) {
    const path = join(directory, name)
    const whole = await readFile(path)
    for (let length = 0; length < whole.length; length++) {
      await truncate(path, length)
      const loaded = await load(directory)
      expect(loaded?.floor, `${name} cut at ${length}`).toEqual(state(2).floor)
      expect(loaded?.files).toEqual(state(name === newer ? 1 : 2).files)
      await writeFile(path, whole)
    }
  }
})

test('all state files lost but one: the floor stands', async () => {
  const directory = await savedTwice()
  for (const left of stateFiles) {
    const copy = join(await scratchDir(), 'trust')
    await cp(directory, copy, { recursive: true })
    for (const name of stateFiles) if (name !== left) await rm(join(copy, name))
    expect((await load(copy))?.floor, `only ${left} is left`).toEqual(state(2).floor)
  }
})

test('all metadata lost: no files, but the floor', async () => {
  const directory = await savedTwice()
  await rm(join(directory, 'metadata'), { recursive: true })
  expect(await load(directory)).toEqual({ files: new Map(), floor: state(2).floor })
})

test('everything damaged is not a first start', async () => {
  const directory = await savedTwice()
  for (const name of stateFiles) await truncate(join(directory, name), 10)
  await expect(load(directory)).rejects.toMatchObject({ code: 'trust_damaged' })
  for (const name of stateFiles.slice(1)) await rm(join(directory, name))
  await expect(load(directory)).rejects.toMatchObject({ code: 'trust_damaged' })
})

test('random damage to any of the files: the floor stands as long as one copy of it does, and nothing untyped is thrown', async () => {
  const directory = await savedTwice()
  const whole = new Map(
    await Promise.all(stateFiles.map(async name => [name, await readFile(join(directory, name))] as const)),
  )
  const damage = fc.record({ name: fc.constantFrom(...stateFiles), at: fc.nat(400), bit: fc.nat(7) })
  const property = fc.asyncProperty(fc.array(damage, { maxLength: 4 }), async hits => {
    for (const [name, bytes] of whole) await writeFile(join(directory, name), bytes)
    for (const { name, at, bit } of hits) {
      const bytes = Buffer.from(await readFile(join(directory, name)))
      bytes[at % bytes.length]! ^= 1 << bit
      await writeFile(join(directory, name), bytes)
    }
    const loaded = await load(directory).catch(error => error)
    const copiesLeft = 3 - new Set(hits.map(({ name }) => name).filter(name => name !== older)).size
    if (loaded instanceof Error) expect(loaded).toBeInstanceOf(SigmeshError)
    else if (copiesLeft > 0) expect(loaded).toMatchObject({ floor: state(2).floor })
  })
  await fc.assert(property, { seed: 51, numRuns: 60 })
})

// TUF's recovery from a fast-forward attack: the old, higher number must not come back out of an old file.
test('a version that a root rotation lowered stays lowered, whichever file is lost; time does not go down', async () => {
  const attacked = { ...state(2), floor: { time: 9_000, versions: new Map([['timestamp', 2 ** 52]]) } }
  const recovered = { ...state(3), floor: { time: 8_000, versions: new Map([['timestamp', 3]]) } }
  for (const lost of stateFiles) {
    const directory = await scratchDir()
    const store = await openTrustStore(directory)
    await store.save(attacked)
    await store.save(recovered)
    await rm(join(directory, lost))
    expect((await load(directory))?.floor.versions.get('timestamp'), lost).toBe(3)
  }
})

const faults = faultModes.flatMap(mode => (['ENOSPC', 'EIO'] as const).map(code => [mode, code] as const))

test.each(faults)('a save that %s with %s, at whatever call, loses nothing and can be repeated', async (mode, code) => {
  const points = await atEveryPoint(mode, code, async (faulty, point) => {
    const directory = await savedTwice()
    const store = await openTrustStore(directory)
    const outcome = await faulty(() => store.save(state(3))).catch(error => error)
    const loaded = await load(directory)
    expect([2, 3], `point ${point}`).toContain(loaded?.floor.versions.get('timestamp'))
    expect([state(2).files, state(3).files]).toContainEqual(loaded?.files)
    if (outcome === undefined) return
    expect(outcome).toMatchObject({ code: code === 'ENOSPC' ? 'disk_full' : 'disk_failed' })
    await store.save(state(4))
    expect(await load(directory)).toEqual(state(4))
  })
  expect(points).toBeGreaterThanOrEqual(15) // four files, five calls each
})

test.each(faults)(
  'a save that %s with %s, at whatever call, and is repeated: all files but one may go, as ever',
  async (mode, code) => {
    await atEveryPoint(mode, code, async (faulty, point) => {
      const directory = await savedTwice()
      const store = await openTrustStore(directory)
      await faulty(() => store.save(state(3))).catch(() => {})
      // By the same process, or after a restart.
      await (point % 2 ? store : await openTrustStore(directory)).save(state(3))
      for (const left of stateFiles) {
        const copy = join(await scratchDir(), 'trust')
        await cp(directory, copy, { recursive: true })
        for (const name of stateFiles) if (name !== left) await rm(join(copy, name))
        expect((await load(copy))?.floor.versions, `point ${point}: only ${left} is left`).toEqual(
          state(3).floor.versions,
        )
      }
    })
  },
)

test('a power cut keeps any of the names that were not synced: the floor is the old or the new, and the next save makes all good again', async () => {
  const [before, after] = [await savedTwice(), await savedTwice()]
  await (await openTrustStore(after)).save(state(3))
  const [floorA, floorB, metadataA, metadataB] = stateFiles
  const pairs = [[], [floorA], [floorB], [floorA, floorB]]
  const cuts = [...pairs, ...[[metadataA], [metadataB], [metadataA, metadataB]].map(each => [floorA, floorB, ...each])]
  for (const kept of cuts) {
    const directory = join(await scratchDir(), 'trust')
    await cp(before, directory, { recursive: true })
    for (const name of kept) await cp(join(after, name), join(directory, name))
    const found = await load(directory)
    expect(found?.floor.versions, kept.join()).toEqual(state(kept.length > 0 ? 3 : 2).floor.versions)
    expect([state(2).files, state(3).files], kept.join()).toContainEqual(found?.files)
    await (await openTrustStore(directory)).save(state(3))
    for (const left of stateFiles) {
      const copy = join(await scratchDir(), 'trust')
      await cp(directory, copy, { recursive: true })
      for (const name of stateFiles) if (name !== left) await rm(join(copy, name))
      expect((await load(copy))?.floor.versions, `${kept.join()}: only ${left} is left`).toEqual(
        state(3).floor.versions,
      )
    }
  }
})

test('a save that is killed at whatever call: where the new files are, the new floor stands without them', async () => {
  await atEveryPoint('failed', 'crash', async (faulty, point) => {
    const directory = await savedTwice()
    const store = await openTrustStore(directory)
    await faulty(() => store.save(state(3))).catch(() => {})
    const files = (await load(directory))?.files
    await rm(join(directory, 'metadata'), { recursive: true })
    const floor = (await load(directory))?.floor.versions.get('timestamp')
    expect([2, 3], `point ${point}`).toContain(floor)
    if (files?.get('timestamp.json')?.toString() === '{"version":3}') expect(floor, `point ${point}`).toBe(3)
  })
})

test('a save that fails, and its repetition cut off by the power: whatever is left, no older floor is the newer', async () => {
  await atEveryPoint('failed but persisted', 'EIO', async (faulty, point) => {
    const directory = await savedTwice()
    const store = await openTrustStore(directory)
    await faulty(() => store.save(state(3))).catch(() => {})
    const half = join(await scratchDir(), 'trust')
    await cp(directory, half, { recursive: true })
    await store.save(state(4))
    for (const name of ['metadata/a', 'metadata/b']) {
      const copy = join(await scratchDir(), 'trust')
      await cp(half, copy, { recursive: true })
      await cp(join(directory, name), join(copy, name))
      // The floor's own files rot as well.
      await rm(join(copy, 'floor'), { recursive: true })
      expect((await load(copy))?.floor.versions, `point ${point}, ${name}`).toEqual(state(4).floor.versions)
    }
  })
})

test('after a fallback to the older files, the next save does not overwrite them first', async () => {
  const directory = await savedTwice()
  await truncate(join(directory, newer), 5)
  await (await openTrustStore(directory)).save(state(3))
  expect(await load(directory)).toEqual(state(3))
  // They are still there, under the new floor.
  await truncate(join(directory, newer), 0)
  expect(await load(directory)).toEqual({ files: state(1).files, floor: state(3).floor })
})

test('two saves at once end in the second', async () => {
  const directory = await scratchDir()
  const store = await openTrustStore(directory)
  await Promise.all([store.save(state(1)), store.save(state(2))])
  expect(await load(directory)).toEqual(state(2))
  expect((await readdir(join(directory, 'floor'))).sort()).toEqual(['a', 'b'])
})

test('a file that cannot be read does not hide its good twin', async () => {
  for (const name of stateFiles) {
    const directory = await savedTwice()
    await rm(join(directory, name))
    await mkdir(join(directory, name))
    const files = state(name === newer ? 1 : 2).files
    expect(await load(directory)).toEqual({ files, floor: state(2).floor })
  }
})

test('state that cannot be read is a disk error, not damage: it may be readable again', async () => {
  const directory = await savedTwice()
  for (const name of stateFiles) {
    await rm(join(directory, name))
    await mkdir(join(directory, name))
  }
  await expect(load(directory)).rejects.toMatchObject({ code: 'disk_failed' })
})
