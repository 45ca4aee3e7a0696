/** The node's side of the deal against the real origin, over a line that is counted, cut and lied on. */
import { expect, onTestFinished, test } from 'vitest'
import { openWanLink } from '../../bench/wan-link.ts'
import { systemClock } from '../../src/core/clock.ts'
import { silentLog } from '../../src/core/log.ts'
import { KiB, MiB } from '../../src/core/units.ts'
import type { PeerAddress } from '../../src/swarm/engine.ts'
import { findPeers } from '../../src/swarm/find-peers.ts'
import { Limiter } from '../../src/swarm/limits/limiter.ts'
import { OriginClient } from '../../src/swarm/origin-client.ts'
import { holdSeat } from '../../src/swarm/wan-slice.ts'
import { MemoryPieceStore } from '../support/memory-piece-store.ts'
import { openOrigin } from '../support/origin-fixture.ts'

const slow = { bytesPerSecond: 4 * MiB, latencyMs: 20 }

/** An origin with one artifact of 2 MiB behind a line, and a way to set up nodes beyond it. */
async function branch(line: { bytesPerSecond?: number; latencyMs?: number } = {}) {
  const { origin, repository } = await openOrigin()
  const published = await repository.publish(1, 2 * MiB)
  const link = await openWanLink({ target: { host: '127.0.0.1', port: origin.port }, ...line })
  onTestFinished(() => link.stop())
  const node = (name: string) => {
    const client = new OriginClient(link.url)
    const store = MemoryPieceStore.of(published)
    const { artifact, path } = published
    const common = {
      store,
      site: 'berlin',
      neighbours: () => [],
      lanAddress: () => '127.0.0.1',
      clock: systemClock,
      log: silentLog,
    }
    const holder = holdSeat({
      ...common,
      client,
      artifact,
      path,
      limiter: new Limiter(),
      node: name,
      random: Math.random,
    })
    onTestFinished(async () => {
      await holder.stop()
      await client.stop()
    })
    return { client, store, holder, common }
  }
  return { origin, published, link, node }
}

type Node = ReturnType<Awaited<ReturnType<typeof branch>>['node']>
const complete = ({ store }: Node) =>
  expect.poll(() => store.have.complete, { timeout: 20_000, interval: 5 }).toBe(true)

/** What a LAN does: each piece that one node has, the others have a moment later. */
function joinByLan(published: { content: Buffer; artifact: { pieceLength: number } }, nodes: readonly Node[]): void {
  const { pieceLength } = published.artifact
  for (const from of nodes) {
    from.store.onPiece(piece => {
      const bytes = published.content.subarray(piece * pieceLength, (piece + 1) * pieceLength)
      for (const to of nodes)
        if (to !== from && !to.store.have.has(piece)) setTimeout(() => void to.store.put(piece, bytes), 2)
    })
  }
}

test('a node alone: one payload over the line, heads and questions included in two in a hundred', async () => {
  const { published, link, node } = await branch(slow)
  const alone = node('pc-1')
  await complete(alone)
  expect(alone.store.content().equals(published.content)).toBe(true)
  expect(link.bytesDown / published.content.length).toBeLessThan(1.02)
  expect(alone.holder.view()).toMatchObject({ bytesWan: published.content.length, bytesWasted: 0, lastError: null })
})

test('eight nodes with a LAN: five of them fetch, and together they fetch one payload', async () => {
  const { origin, published, link, node } = await branch(slow)
  const nodes = Array.from({ length: 8 }, (_, at) => node(`pc-${at}`))
  joinByLan(published, nodes)
  for (const one of nodes) await complete(one)
  expect(link.bytesDown / published.content.length).toBeLessThan(1.05)
  expect(nodes.filter(({ holder }) => holder.view().bytesWan > 0)).toHaveLength(5)
  // All hold now, and say so: the seats are free again.
  await expect.poll(() => origin.stats().deals.flatMap(({ seats }) => seats)).toEqual([])
})

test('a line cut three times: what had arrived is not fetched again', async () => {
  const { published, link, node } = await branch(slow)
  const alone = node('pc-1')
  for (const at of [20, 60, 100]) {
    await expect.poll(() => alone.store.have.count, { interval: 5, timeout: 10_000 }).toBeGreaterThan(at)
    link.cutAll()
  }
  await complete(alone)
  // What the cut caught on the line itself is lost, three times.
  expect(link.bytesDown - published.content.length).toBeLessThan(3 * 256 * KiB)
  expect(alone.holder.view()).toMatchObject({ bytesWan: published.content.length, bytesWasted: 0 })
})

test('a line that flips a bit now and then: the piece is fetched again, nothing else is stored', async () => {
  const { published, link, node } = await branch(slow)
  let turns = 0
  link.tamper = chunk => {
    // Full turns are artifact bytes; heads and answers are shorter.
    if (chunk.length === 4 * KiB && ++turns % 200 === 0) chunk[4000]! ^= 1
    return chunk
  }
  const alone = node('pc-1')
  await complete(alone)
  expect(alone.store.puts.refused).toBeGreaterThan(0)
  expect(alone.store.content().equals(published.content)).toBe(true)
  expect(alone.holder.view().bytesWan).toBe(published.content.length)
})

test('neighbours find each other by the tracker', async () => {
  const { published, node } = await branch()
  const found = [6001, 6002].map(port => {
    const { client, common } = node(`pc-${port}`)
    const peers: PeerAddress[] = []
    const swarm = { artifact: published.artifact, addPeers: (some: readonly PeerAddress[]) => void peers.push(...some) }
    const search = findPeers({
      ...common,
      origin: client,
      swarm,
      port,
      peerId: `-SG0100-${port}abcdefgh`,
      hasNeighbours: () => false,
      random: Math.random,
    })
    onTestFinished(() => search.stop())
    return peers
  })
  await expect
    .poll(() => found, { timeout: 10_000 })
    .toEqual([
      expect.arrayContaining([{ host: '127.0.0.1', port: 6002 }]),
      expect.arrayContaining([{ host: '127.0.0.1', port: 6001 }]),
    ])
})
