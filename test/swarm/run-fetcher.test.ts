import { expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { KiB } from '../../src/core/units.ts'
import { Limiter } from '../../src/swarm/limits/limiter.ts'
import type { OriginClient } from '../../src/swarm/origin-client.ts'
import { RunFetcher } from '../../src/swarm/run-fetcher.ts'
import { type Run, Slice } from '../../src/swarm/slice.ts'
import { makeArtifact } from '../support/artifact.ts'
import { MemoryPieceStore } from '../support/memory-piece-store.ts'

const pieceLength = 16 * KiB
const fixture = makeArtifact({ length: 4 * pieceLength, pieceLength })
const { artifact, content } = fixture

type Client = Pick<OriginClient, 'fetchRange'>

test('pieces that were dealt away while an earlier one of the same chunk was stored are not stored', async () => {
  const store = MemoryPieceStore.of(fixture)
  const slice = new Slice(artifact, store, systemClock)
  const lease = { seat: 'a', leaseMs: 60_000 }
  slice.deal({ ...lease, pieces: [0, 1, 2, 3] })
  store.onPiece(() => slice.deal({ ...lease, pieces: [2] }))
  const client: Client = {
    // The whole range as one chunk, as small pieces come on a fast line.
    fetchRange: async (_path, { start, end }, _length, options) => options.onChunk(content.subarray(start, end)),
  }
  const fetcher = new RunFetcher(
    { client, artifact, path: '/x', store, limiter: new Limiter(), clock: systemClock },
    slice,
  )
  await fetcher.fetch(slice.claim()!, new AbortController().signal, () => {})
  expect([...store.have.pieces()]).toEqual([0, 2])
  expect(fetcher).toMatchObject({ received: 4 * pieceLength, wasted: 2 * pieceLength })
})

test('what many broken runs leave behind is bounded', async () => {
  const store = MemoryPieceStore.of(fixture)
  const slice = new Slice(artifact, store, systemClock)
  slice.deal({ seat: 'a', leaseMs: 60_000, pieces: [0, 1, 2, 3] })
  const client: Client = {
    fetchRange: async (_path, { start }, _length, options) => {
      await options.onChunk(content.subarray(start, start + 100))
      throw new Error('cut')
    },
  }
  const fetcher = new RunFetcher(
    { client, artifact, path: '/x', store, limiter: new Limiter(), clock: systemClock },
    slice,
  )
  for (const piece of [0, 1, 2, 3]) {
    const run = fetcher.fetch({ first: piece, last: piece }, new AbortController().signal, () => {})
    await expect(run).rejects.toThrow('cut')
  }
  // The two latest are kept to go on from.
  expect(fetcher).toMatchObject({ received: 400, wasted: 200 })
})

test('runs that broke off side by side go on behind what they left, though what is free is one run now', async () => {
  const store = MemoryPieceStore.of(fixture)
  const slice = new Slice(artifact, store, systemClock)
  const asked: [number, number][] = []
  let cut = true
  const client: Client = {
    fetchRange: async (_path, { start, end }, _length, options) => {
      asked.push([start, end])
      await options.onChunk(content.subarray(start, cut ? start + 100 : end))
      if (cut) throw new Error('cut')
    },
  }
  const parts = { client, artifact, path: '/x', store, limiter: new Limiter(), clock: systemClock }
  const fetcher = new RunFetcher(parts, slice)
  const fetch = (run: Run) => fetcher.fetch(run, new AbortController().signal, () => {})
  slice.deal({ seat: 'a', leaseMs: 60_000, pieces: [0, 1, 2, 3] })
  await Promise.allSettled([fetch({ first: 0, last: 1 }), fetch({ first: 2, last: 3 })])
  cut = false
  asked.length = 0
  for (;;) {
    const run = slice.claim(piece => fetcher.hasBegun(piece))
    if (!run) break
    await fetch(run)
  }
  const half = 2 * pieceLength
  expect(asked).toEqual([
    [100, half],
    [half + 100, 2 * half],
  ])
  expect(store.content().equals(content)).toBe(true)
  expect(fetcher).toMatchObject({ received: 2 * half, wasted: 0 })
})

test('a run that came to its end is not ended by force, so its connection can be used again', async () => {
  const store = MemoryPieceStore.of(fixture)
  const slice = new Slice(artifact, store, systemClock)
  slice.deal({ seat: 'a', leaseMs: 60_000, pieces: [0, 1] })
  let ended: boolean | undefined
  const client: Client = {
    fetchRange: async (_path, { start, end }, _length, options) => {
      await options.onChunk(content.subarray(start, end))
      ended = options.signal?.aborted
    },
  }
  const fetcher = new RunFetcher(
    { client, artifact, path: '/x', store, limiter: new Limiter(), clock: systemClock },
    slice,
  )
  await fetcher.fetch(slice.claim()!, new AbortController().signal, () => {})
  expect(ended).toBe(false)
})

test('the next run is not begun beside one that has long to go, but before that one ends, and beside one that hangs', async () => {
  const store = MemoryPieceStore.of(fixture)
  let now = 0
  const clock = { now: () => now, monotonic: () => now }
  const slice = new Slice(artifact, store, clock)
  slice.deal({ seat: 'a', leaseMs: 60_000, pieces: [0, 1, 2, 3] })
  const busy: boolean[] = []
  const client: Client = {
    fetchRange: async (_path, { start, end }, _length, options) => {
      busy.push(fetcher.busy)
      for (let at = start; at < end; at += pieceLength / 2) {
        now += 500
        await options.onChunk(content.subarray(at, at + pieceLength / 2))
        busy.push(fetcher.busy)
        if (at - start >= pieceLength) {
          now += 5000
          busy.push(fetcher.busy)
          throw new Error('cut')
        }
      }
    },
  }
  const parts = { client, artifact, path: '/x', store, limiter: new Limiter(), clock }
  const fetcher = new RunFetcher(parts, slice)
  await expect(fetcher.fetch({ first: 0, last: 3 }, new AbortController().signal, () => {})).rejects.toThrow('cut')
  expect(busy).toEqual([true, true, true, true, false])
  expect(fetcher.busy).toBe(false)
  busy.length = 0
  await fetcher.fetch({ first: 3, last: 3 }, new AbortController().signal, () => {})
  expect(busy).toEqual([true, true, false])
})
