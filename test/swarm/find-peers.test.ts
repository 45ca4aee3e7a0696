import { afterEach, expect, test } from 'vitest'
import { pieceSize } from '../../src/core/artifact.ts'
import type { Clock } from '../../src/core/clock.ts'
import { DownloadError } from '../../src/core/errors.ts'
import { silentLog } from '../../src/core/log.ts'
import { hour, KiB, second } from '../../src/core/units.ts'
import type { PeerAddress } from '../../src/swarm/engine.ts'
import { findPeers } from '../../src/swarm/find-peers.ts'
import type { AnnounceParams } from '../../src/swarm/origin-client.ts'
import type { AnnounceReply } from '../../src/swarm/tracker-reply.ts'
import { makeArtifact } from '../support/artifact.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { MemoryPieceStore } from '../support/memory-piece-store.ts'
import { scaledClock } from '../support/scaled-clock.ts'

const fixture = makeArtifact({ length: 40 * KiB, pieceLength: 16 * KiB })
const { artifact, content } = fixture
const started: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const part of started.splice(0)) await part.stop()
})

type Tracker = (params: AnnounceParams, signal?: AbortSignal) => Promise<AnnounceReply>

/** A search with a tracker made of a function, in a time that flies. */
function search(
  tracker: Tracker,
  store = MemoryPieceStore.of(fixture),
  speed = 1000,
  { clock = scaledClock(speed) as Clock, neighbours = 0 } = {},
) {
  const announces: AnnounceParams[] = []
  const found: PeerAddress[][] = []
  const peers = findPeers({
    origin: {
      announce: (params, signal) => {
        announces.push(params)
        return tracker(params, signal)
      },
    },
    swarm: { artifact, addPeers: addresses => void found.push([...addresses]) },
    store,
    site: 'berlin',
    lanAddress: () => '10.0.0.9',
    port: 6889,
    peerId: '-SG0100-abcdefghijkl',
    hasNeighbours: () => neighbours > 0,
    clock,
    random: () => 0.99,
    log: silentLog,
  })
  started.push(peers)
  return { peers, announces, found, store }
}

const put = (store: MemoryPieceStore, piece: number) => {
  const start = piece * artifact.pieceLength
  return store.put(piece, content.subarray(start, start + pieceSize(artifact, piece)))
}
const quiet = { peers: [], intervalMs: 24 * hour }
const others = Array.from({ length: 10 }, (_, at) => ({ host: `10.0.1.${at}`, port: 6889 }))

test('the life of a node: started, regular, completed once, stopped once', async () => {
  const { peers, announces, store } = search(async () => quiet, MemoryPieceStore.of(fixture), 50)
  await expect.poll(() => announces.length).toBeGreaterThanOrEqual(2)
  await put(store, 0)
  await expect.poll(() => announces.at(-1)?.left).toBe(24 * KiB)
  await put(store, 1)
  await put(store, 2)
  await expect.poll(() => announces.some(({ event }) => event === 'completed')).toBe(true)
  await peers.stop()
  await peers.stop()
  const events = announces.map(({ event }) => event)
  expect(events[0]).toBe('started')
  expect(events.at(-1)).toBe('stopped')
  expect(events.filter(event => event !== undefined)).toEqual(['started', 'completed', 'stopped'])
  expect(announces[0]).toMatchObject({
    site: 'berlin',
    infohash: artifact.infohash,
    lanAddress: '10.0.0.9',
    port: 6889,
    left: 40 * KiB,
  })
  expect(announces.find(({ event }) => event === 'completed')?.left).toBe(0)
  expect(store.listeners).toBe(0)
})

test('neighbours go to the swarm, this node itself does not', async () => {
  const { found } = search(async () => ({
    peers: [...others, { host: '10.0.0.9', port: 6889 }],
    intervalMs: 24 * hour,
  }))
  await expect.poll(() => found).toEqual([others])
})

test('knowing few neighbours it asks again soon, but not for ever', async () => {
  const { announces } = search(async () => quiet)
  await expect.poll(() => announces.length).toBe(15)
  await new Promise(resolve => setTimeout(resolve, 50))
  expect(announces.length).toBe(15)
})

test('knowing enough neighbours it asks as often as the tracker wants', async () => {
  const { announces } = search(async () => ({ peers: others, intervalMs: 24 * hour }))
  await new Promise(resolve => setTimeout(resolve, 50))
  expect(announces.length).toBe(1)
})

test('a tracker that wants to hear every millisecond hears every five seconds', async () => {
  const { announces } = search(async () => ({ peers: others, intervalMs: 1 }), MemoryPieceStore.full(fixture))
  await expect.poll(() => announces.length).toBeGreaterThanOrEqual(3)
  const before = announces.length
  const started = performance.now()
  await new Promise(resolve => setTimeout(resolve, 50))
  const seconds = performance.now() - started // a thousand times as fast
  expect(announces.length - before).toBeLessThanOrEqual(seconds / 5 + 1)
})

test('a complete store is announced as such, with nothing "completed"', async () => {
  const { announces, peers } = search(async () => quiet, MemoryPieceStore.full(fixture))
  await expect.poll(() => announces.length).toBe(1)
  await peers.stop()
  expect(announces.map(({ event, left }) => [event, left])).toEqual([
    ['started', 0],
    ['stopped', 0],
  ])
})

test('a tracker that fails is asked again, and starts where it was', async () => {
  let tries = 0
  const { announces, found } = search(async () => {
    if (++tries < 4) throw new DownloadError('origin_malformed', 'garbage')
    return { peers: others, intervalMs: 24 * hour }
  })
  await expect.poll(() => found).toEqual([others])
  expect(announces.map(({ event }) => event)).toEqual(Array(4).fill('started'))
})

test('becoming complete while the tracker is down: told when it is back', async () => {
  let down = false
  const { announces, store } = search(async () => {
    if (down) throw new DownloadError('origin_unreachable', 'down')
    return { peers: others, intervalMs: 24 * hour }
  })
  await expect.poll(() => announces.length).toBe(1)
  down = true
  for (const piece of [0, 1, 2]) await put(store, piece)
  await expect.poll(() => announces.length).toBeGreaterThan(2)
  down = false
  const before = announces.length
  await expect.poll(() => announces.length).toBeGreaterThan(before)
  expect(new Set(announces.slice(1).map(({ event }) => event))).toEqual(new Set(['completed']))
})

test('stopping does not wait for a tracker that hangs', async () => {
  let hang = false
  const { peers, announces } = search((_, signal) => {
    if (!hang) return Promise.resolve({ peers: others, intervalMs: 24 * hour })
    return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
  })
  await expect.poll(() => announces.length).toBe(1)
  hang = true
  await peers.stop()
  expect(announces.at(-1)?.event).toBe('stopped')
})

test('stopping before the first answer says nothing more', async () => {
  const { peers, announces } = search(
    (_, signal) => new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
  )
  await peers.stop()
  expect(announces.map(({ event }) => event)).toEqual(['started'])
})

test('neighbours are known already, and it is small: one announce says that it is whole', async () => {
  const clock = new ManualClock()
  const { announces, store } = search(async () => quiet, undefined, 1, { clock, neighbours: 1 })
  for (const piece of [0, 1, 2]) await put(store, piece)
  await clock.advance(second)
  expect(announces).toEqual([])
  await clock.advance(second)
  expect(announces.map(({ event, left }) => [event, left])).toEqual([['started', 0]])
})

test('the tracker hears of the end a little later: just then all of a branch have something to say', async () => {
  const clock = new ManualClock()
  const { announces, store } = search(async () => ({ peers: others, intervalMs: 24 * hour }), undefined, 1, { clock })
  await clock.advance(0)
  for (const piece of [0, 1, 2]) await put(store, piece)
  await clock.advance(0)
  await clock.advance(4 * second)
  expect(announces.map(({ event }) => event)).toEqual(['started'])
  await clock.advance(second)
  expect(announces.map(({ event }) => event)).toEqual(['started', 'completed'])
})
