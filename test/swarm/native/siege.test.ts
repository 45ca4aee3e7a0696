/** Many hostile peers at once: the transfer finishes, nobody honest suffers, and what is kept for strangers is bounded. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { KiB, MiB } from '../../../src/core/units.ts'
import { Limiter } from '../../../src/swarm/limits/limiter.ts'
import { startNativeEngine } from '../../../src/swarm/native/engine.ts'
import { type ArtifactFixture, makeArtifact } from '../../support/artifact.ts'
import { actAsSeeder, allPieces, message, type RawPeer } from '../../support/raw-peer.ts'
import { aWhile, eventually, holdsExactly, Lab, type Member } from '../contract/lab.ts'

let lab: Lab
beforeEach(() => {
  lab = new Lab(startNativeEngine)
})
afterEach(() => lab.clear())

test.each([
  ['every block', 0.25, () => true],
  ['one block in four', 0.25, (offset: number) => offset === 16 * KiB],
  // These bring four good pieces for a bad one, and so are trusted for a while.
  ['one piece in five', 0.5, (_offset: number, index: number) => index % 5 === 0],
] as const)(
  '16 of 20 peers spoil %s: it finishes, wastes at most %d payloads, bans nobody honest',
  async (_, bound, spoils) => {
    const fixture = makeArtifact({ length: 8 * MiB, pieceLength: 64 * KiB })
    const leecher = await lab.member(fixture, 'none')
    const evil = await Promise.all(
      Array.from({ length: 16 }, (_, n) =>
        lab.listener(`127.0.6.${n + 1}`, peer => {
          actAsSeeder(peer, fixture.artifact.infohash, leecher.store.pieces, (index, offset, length) => {
            const at = index * fixture.artifact.pieceLength + offset
            const good = fixture.content.subarray(at, at + length)
            return spoils(offset, index) ? Buffer.alloc(length, 'poison') : good
          })
        }),
      ),
    )
    const honest = await Promise.all(
      Array.from({ length: 4 }, (_, n) =>
        lab.member(fixture, 'all', {
          listen: { host: `127.0.7.${n + 1}`, port: 0 },
          limits: { lan_up: new Limiter(4 * MiB) },
        }),
      ),
    )
    leecher.swarm.addPeers([...evil, ...honest].map(({ address }) => address))
    await leecher.swarm.completed()
    holdsExactly(leecher, fixture)
    expect(leecher.swarm.totals().bytesIn).toBe(fixture.artifact.length)
    expect(leecher.swarm.totals().bytesWasted).toBeLessThanOrEqual(fixture.artifact.length * bound)
    const hosts = leecher.swarm.peers().map(peer => peer.address.host)
    for (const { address } of honest) expect(hosts).toContain(address.host)
  },
)

test('2,000 connections that say nothing: most are hung up on, and a newcomer that greets is served', async () => {
  const fixture = makeArtifact({ length: MiB })
  const seeder = await lab.member(fixture, 'all')
  const flood: RawPeer[] = []
  for (let n = 0; n < 2000; n++) flood.push(await lab.dial(seeder.address, `127.0.${1 + (n >> 8)}.${n & 255 || 1}`))
  await eventually(() => expect(flood.filter(peer => !peer.socket.destroyed).length).toBeLessThanOrEqual(128))
  const leecher = await lab.member(fixture, 'none')
  leecher.swarm.addPeers([seeder.address])
  await leecher.swarm.completed()
  holdsExactly(leecher, fixture)
})

test('a banned address that comes back a hundred times, under new names and from new ports, gets no word', async () => {
  const fixture = makeArtifact({ length: MiB })
  const leecher = await lab.member(fixture, 'none')
  const first = await lab.dial(leecher.address, '127.0.0.66')
  poison(first, fixture, leecher)
  await first.closed
  for (let round = 0; round < 100; round++) {
    const again = await lab.dial(leecher.address, '127.0.0.66')
    poison(again, fixture, leecher)
    await again.closed
    expect(again.handshake).toBeUndefined()
  }
  expect(leecher.store.puts.refused).toBe(3)
  const honest = await lab.member(fixture, 'all')
  leecher.swarm.addPeers([honest.address])
  await leecher.swarm.completed()
  holdsExactly(leecher, fixture)
})

test('a flood of small messages neither blocks the loop nor fills the memory', async () => {
  const fixture = makeArtifact({ length: 8 * MiB })
  const member = await lab.member(fixture, [0, 1, 2])
  const noisy = await lab.dial(member.address, '127.0.0.66')
  noisy.sendHandshake(fixture.artifact.infohash, undefined, Buffer.from('0000000000100004', 'hex'))
  await noisy.until(() => noisy.handshake)
  noisy.send(message.bitfield, allPieces(member.store.pieces))
  const every = [message.choke, message.unchoke, message.interested, 3].map(id => Buffer.from([0, 0, 0, 1, id]))
  const request = Buffer.from('0000000d06' + '00000000' + '00000000' + '00004000', 'hex')
  const again = Buffer.concat([Buffer.from([0, 0, 0, 33, message.bitfield]), allPieces(member.store.pieces)])
  const burst = Buffer.concat([...every, request, again, Buffer.alloc(4)])
  const before = process.memoryUsage()
  const loop = monitorEventLoopDelay({ resolution: 5 })
  loop.enable()
  for (let n = 0; n < 200 && !noisy.socket.destroyed; n++) {
    noisy.write(Buffer.concat(Array<Buffer>(100).fill(burst)))
    await new Promise(resolve => setImmediate(resolve))
  }
  await aWhile()
  loop.disable()
  const after = process.memoryUsage()
  expect(loop.max / 1e6).toBeLessThan(1000)
  expect(after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed).toBeLessThan(48 * MiB)
  const seeder = await lab.member(fixture, 'all')
  member.swarm.addPeers([seeder.address])
  await member.swarm.completed()
  holdsExactly(member, fixture)
})

function poison(peer: RawPeer, fixture: ArtifactFixture, leecher: Member): void {
  actAsSeeder(peer, fixture.artifact.infohash, leecher.store.pieces, (_index, _offset, length) => Buffer.alloc(length))
}
