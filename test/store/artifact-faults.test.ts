/** An artifact on a disk that fails at any one call, in the life of the artifact; then a restart on a mended disk. */
import { readdirSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { expect, test, vi } from 'vitest'
import { sha256 } from '../../src/core/digest.ts'
import { StoreError } from '../../src/core/errors.ts'
import { day } from '../../src/core/units.ts'
import { atEveryPoint, faultModes } from '../support/faulty-disk.ts'
import { scratchDir } from '../support/scratch.ts'
import { fill, holdFinished, noon, openStore, piece, smallArtifact } from './artifact-fixture.ts'

vi.mock('node:fs/promises', async real => (await import('../support/faulty-disk.ts')).makeFaulty(await real()))

const fixture = smallArtifact()
const { artifact, pieceHashes } = fixture
const faults = faultModes.flatMap(mode => (['ENOSPC', 'EIO'] as const).map(code => [mode, code] as const))

test.each(faults)(
  'a call that %s with %s: a typed error, then the same store or a new one finishes',
  async (mode, code) => {
    let sameStoreFinished = 0
    const openFiles = () => readdirSync('/proc/self/fd').length
    const before = openFiles()
    const points = await atEveryPoint(mode, code, async (faulty, point) => {
      const directory = await scratchDir()
      const store = await openStore(directory)
      const outcome = await faulty(() => holdFinished(store, fixture, noon + 1)).catch(error => error)
      if (outcome !== undefined) {
        expect(outcome, `point ${point}`).toBeInstanceOf(StoreError)
        expect(outcome.code).toBe(code === 'ENOSPC' ? 'disk_full' : 'disk_failed')
      }
      const next = point % 2 === 0 ? store : await openStore(directory)
      if (next === store) sameStoreFinished++
      await using pieces = await next.open(artifact, pieceHashes)
      await fill(pieces, fixture)
      await using whole = await next.admit(artifact)
      expect(sha256(await whole.handle.readFile())).toBe(artifact.sha256)
    })
    expect(points).toBeGreaterThan(30)
    expect(sameStoreFinished).toBeGreaterThan(15)
    expect(openFiles()).toBe(before)
  },
)

test('a piece whose write failed is neither shown nor served, and can be put again', async () => {
  await atEveryPoint('failed', 'ENOSPC', async faulty => {
    const store = await openStore(await scratchDir())
    await using pieces = await store.open(artifact, pieceHashes)
    const heard: number[] = []
    pieces.onPiece(index => heard.push(index))
    const outcome = await faulty(() => pieces.put(3, piece(fixture, 3))).catch(error => error)
    if (outcome === 'stored') return
    expect(outcome).toMatchObject({ code: 'disk_full' })
    expect(pieces.have.has(3)).toBe(false)
    expect(heard).toEqual([])
    await expect(pieces.read(3, 0, 1)).rejects.toMatchObject({ code: 'piece_absent' })
    expect(await pieces.put(3, piece(fixture, 3))).toBe('stored')
  })
})

test.each(faults)(
  'an admit that %s with %s costs no piece: the next one only repeats the check',
  async (mode, code) => {
    const points = await atEveryPoint(mode, code, async (faulty, point) => {
      const store = await openStore(await scratchDir())
      const pieces = await store.open(artifact, pieceHashes)
      await fill(pieces, fixture)
      const outcome = await faulty(() => store.admit(artifact)).catch(error => error)
      await (outcome instanceof Error ? pieces : outcome).close()
      await pieces.close()
      await using again = await store.open(artifact, pieceHashes)
      expect(await fill(again, fixture), `point ${point}`).toEqual([])
      await using whole = await store.admit(artifact)
      expect(sha256(await whole.handle.readFile())).toBe(artifact.sha256)
    })
    expect(points).toBeGreaterThanOrEqual(4) // sync, rename, sync of the directory, removal of the journal
  },
)

test.each(faults)(
  'an open that %s with %s leaves nothing on the disk that the store does not know of',
  async (mode, code) => {
    await atEveryPoint(mode, code, async (faulty, point) => {
      const directory = await scratchDir()
      const store = await openStore(directory)
      const outcome = await faulty(() => store.open(artifact, pieceHashes)).catch(error => error)
      if (!(outcome instanceof Error)) await outcome.close()
      await store.sweep(noon + 2 * day, new Set())
      expect(
        (await readdir(directory)).filter(name => !name.endsWith('.tmp')),
        `point ${point}`,
      ).toEqual([])
    })
  },
)
