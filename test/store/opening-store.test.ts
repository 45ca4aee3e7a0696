import { expect, test } from 'vitest'
import { StoreError } from '../../src/core/errors.ts'
import { OpeningStore } from '../../src/store/opening-store.ts'
import { makeArtifact } from '../support/artifact.ts'
import { MemoryPieceStore } from '../support/memory-piece-store.ts'

const fixture = makeArtifact()
const { artifact, content } = fixture
const piece = (index: number) => content.subarray(index * artifact.pieceLength, (index + 1) * artifact.pieceLength)

test('before it is open there is nothing, and who brings a piece waits', async () => {
  const opening = new OpeningStore(artifact)
  const brought = opening.put(0, piece(0))
  expect([opening.have.count, opening.have.complete, opening.have.length]).toEqual([0, false, 11])
  expect(await Promise.race([brought, new Promise(resolve => setTimeout(resolve, 50, 'waits'))])).toBe('waits')
  const store = MemoryPieceStore.of(fixture)
  opening.opened(store)
  expect(await brought).toBe('stored')
  expect(opening.have).toBe(store.have)
  expect(await opening.put(0, piece(0))).toBe('known')
})

test('who listens hears of what was on the disk, then of what comes, until it listens no more', async () => {
  const opening = new OpeningStore(artifact)
  const heard: Record<'before' | 'gone' | 'after', number[]> = { before: [], gone: [], after: [] }
  const deaf = [opening.onPiece(index => heard.before.push(index))]
  opening.onPiece(index => heard.gone.push(index))()
  const store = MemoryPieceStore.of(fixture, [3, 7])
  opening.opened(store)
  deaf.push(opening.onPiece(index => heard.after.push(index)))
  await store.put(1, piece(1))
  expect(heard).toEqual({ before: [3, 7, 1], gone: [], after: [1] })
  for (const stop of deaf) stop()
  expect(store.listeners).toBe(0)
})

test('it will not open: who has brought a piece is told why, and so is who brings one later', async () => {
  const opening = new OpeningStore(artifact)
  const before = opening.put(0, piece(0))
  const full = new StoreError('disk_full', 'no room')
  opening.failed(full)
  await expect(before).rejects.toMatchObject({ cause: full })
  await expect(opening.put(1, piece(1))).rejects.toMatchObject({ cause: full })
})
