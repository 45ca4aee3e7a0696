/** Which neighbours a swarm gets to know, and when: small artifacts need few, and nobody is left out for good. */
import { expect, onTestFinished, test } from 'vitest'
import { KiB, minute, second } from '../../src/core/units.ts'
import { PeerSupply } from '../../src/daemon/peer-supply.ts'
import type { PeerAddress } from '../../src/swarm/engine.ts'
import { PeerBook } from '../../src/swarm/native/peer-book.ts'
import { allowNetworks } from '../../src/swarm/networks.ts'
import { makeArtifact } from '../support/artifact.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { MemoryPieceStore } from '../support/memory-piece-store.ts'

const neighbours = (count: number, from = 0) =>
  Array.from({ length: count }, (_, at) => ({
    host: `10.0.${Math.floor((from + at) / 250)}.${(from + at) % 250}`,
    port: 6889,
  }))

function supply(pieces: number) {
  const fixture = makeArtifact({ length: pieces * 16 * KiB, pieceLength: 16 * KiB })
  const store = MemoryPieceStore.of(fixture)
  const given: PeerAddress[][] = []
  const clock = new ManualClock()
  const swarm = { addPeers: (peers: readonly PeerAddress[]) => void given.push([...peers]) }
  const parts = new PeerSupply({ swarm, store, clock, random: Math.random })
  onTestFinished(() => parts.stop())
  const finish = async () => {
    for (let piece = 0; piece < pieces; piece++)
      await store.put(piece, fixture.content.subarray(piece * 16 * KiB, (piece + 1) * 16 * KiB))
  }
  return { supply: parts, given, clock, finish }
}

test('one piece, forty neighbours: four are dialled at once, not the same four by everybody, and the others little by little', async () => {
  const { supply: parts, given, clock } = supply(1)
  const { supply: another, given: elsewhere } = supply(1)
  parts.offer(neighbours(40))
  another.offer(neighbours(40))
  expect(given.flat()).toHaveLength(4)
  expect(elsewhere).not.toEqual(given)
  await clock.advance(0) // it falls asleep
  for (let passed = 1; passed <= 12; passed++) {
    await clock.advance(2 * second)
    expect(given.flat()).toHaveLength(4 + 3 * passed)
  }
  expect(new Set(given.flat().map(({ host }) => host)).size).toBe(40)
})

test('a large artifact: everybody, as they are named', () => {
  const { supply: parts, given } = supply(100)
  parts.offer(neighbours(40))
  for (const peer of neighbours(20, 40)) parts.offer([peer])
  expect(given.flat()).toHaveLength(60)
})

test('once it is whole nobody is in a hurry, and nobody is forgotten: one of them may be behind a firewall of ours', async () => {
  const { supply: parts, given, clock, finish } = supply(1)
  parts.offer(neighbours(10))
  await finish()
  await clock.advance(0)
  await clock.advance(2 * second)
  parts.offer(neighbours(1, 10))
  expect(given.flat()).toHaveLength(4)
  for (let times = 0; times < 3; times++) await clock.advance(10 * second)
  expect(given.flat()).toHaveLength(11)
})

test('who is named again and again is given once; of ever new names, so many and no more', async () => {
  const { supply: parts, given, clock } = supply(1)
  for (let times = 0; times < 3; times++) parts.offer(neighbours(4))
  await clock.advance(2 * second)
  expect(given.flat()).toHaveLength(4)
  parts.offer(neighbours(5000))
  await clock.advance(0)
  for (let passed = 0; passed < 400; passed++) await clock.advance(2 * second)
  expect(given.flat()).toHaveLength(1000)
})

test('one that was switched off overnight, and named again in the morning, is dialled again: the swarm has forgotten it', async () => {
  const { supply: parts, given, clock } = supply(1)
  const book = new PeerBook(allowNetworks(['10.0.0.0/8']))
  const [holder] = neighbours(1)
  const dial = () => book.next(clock.monotonic(), () => false)
  parts.offer([holder!])
  book.add(given.splice(0).flat(), clock.monotonic())
  for (let dials = 0; dials < 8; dials++) {
    book.failed(dial()!, clock.monotonic())
    await clock.advance(minute)
  }
  expect(dial()).toBeUndefined()
  parts.offer([holder!])
  await clock.advance(0)
  await clock.advance(2 * second)
  book.add(given.splice(0).flat(), clock.monotonic())
  expect(dial()).toEqual(holder)
})

test('names that a liar has used up make room for others, once they have led nowhere', async () => {
  const { supply: parts, given, clock } = supply(1)
  parts.offer(neighbours(1000))
  await clock.advance(0)
  for (let passed = 0; passed < 400; passed++) await clock.advance(2 * second)
  expect(given.flat()).toHaveLength(1000)
  const [honest] = neighbours(1, 1000)
  parts.offer([honest!])
  await clock.advance(0)
  await clock.advance(2 * second)
  expect(given.at(-1)).toEqual([honest])
})
