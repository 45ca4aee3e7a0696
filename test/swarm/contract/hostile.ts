/** What a hostile peer must not achieve. Each comes from a 127.x.x.x address of its own, so that its ban is its own. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { describe, expect } from 'vitest'
import { GiB, KiB, MiB } from '../../../src/core/units.ts'
import { type ArtifactFixture, artifactOf, makeArtifact, randomBytes } from '../../support/artifact.ts'
import { actAsSeeder, allPieces, message, type RawPeer, uint32 } from '../../support/raw-peer.ts'
import { collidingBytes } from '../../support/sha1-collision.ts'
import { aWhile, type Case, eventually, holdsExactly, type Lab, type Member } from './lab.ts'

export function hostile(run: Case): void {
  describe('peers that lie about content', () => {
    for (const way of ['dials us', 'is dialled'] as const) {
      run(
        `bad data from one who ${way}: never stored, banned after three pieces, the transfer finishes`,
        async lab => {
          const fixture = makeArtifact({ length: MiB })
          const leecher = await lab.member(fixture, 'none')
          const { connections, reconnect } = await poisoner(lab, leecher, fixture, way)
          await eventually(() => expect(isShut(connections())).toBe(true), 20_000)
          expect(leecher.store.have.count).toBe(0)
          expect(leecher.swarm.totals()).toMatchObject({ bytesIn: 0 })
          expect(leecher.swarm.totals().bytesWasted).toBeGreaterThan(0)

          await reconnect()
          await eventually(() => expect(isShut(connections())).toBe(true))
          expect(leecher.swarm.peers()).toEqual([])

          const honest = await lab.member(fixture, 'all')
          leecher.swarm.addPeers([honest.address])
          await leecher.swarm.completed()
          holdsExactly(leecher, fixture)
        },
        60_000,
      )
    }

    run(
      'bad data beside an honest peer: the honest one is not banned, waste stays small',
      async lab => {
        const fixture = makeArtifact({ length: 2 * MiB })
        const honest = await lab.member(fixture, 'all')
        const leecher = await lab.member(fixture, 'none')
        const { connections } = await poisoner(lab, leecher, fixture, 'is dialled')
        leecher.swarm.addPeers([honest.address])
        await leecher.swarm.completed()
        holdsExactly(leecher, fixture)
        expect(leecher.swarm.totals()).toMatchObject({ bytesIn: fixture.artifact.length })
        expect(leecher.swarm.totals().bytesWasted).toBeLessThanOrEqual(fixture.artifact.length / 2)
        expect(leecher.swarm.peers().some(peer => peer.address.port === honest.address.port)).toBe(true)
        expect(connections().length).toBeGreaterThan(0)
      },
      60_000,
    )

    run(
      'a piece with the right SHA-1 and the wrong SHA-256 is neither stored nor served',
      async lab => {
        const pieceLength = 32 * KiB
        const [good, evil] = collidingBytes(pieceLength)
        const fixture = artifactOf(Buffer.concat([good, randomBytes(pieceLength, 9)]), pieceLength)
        const forged = artifactOf(Buffer.concat([evil, randomBytes(pieceLength, 9)]), pieceLength)
        expect(forged.content.equals(fixture.content)).toBe(false) // two contents ...
        expect(forged.artifact.infohash).toBe(fixture.artifact.infohash) // ... of one v1 torrent
        const leecher = await lab.member(fixture, 'none')
        const witness = await lab.dial(leecher.address, '127.0.0.77')
        witness.sendHandshake(fixture.artifact.infohash)

        const listener = await lab.listener('127.0.0.66', peer => {
          actAsSeeder(peer, fixture.artifact.infohash, 2, (index, offset, length) =>
            forged.content.subarray(index * pieceLength + offset, index * pieceLength + offset + length),
          )
        })
        leecher.swarm.addPeers([listener.address])
        await eventually(() => expect(leecher.store.puts.refused).toBeGreaterThan(0))
        await eventually(() => expect(leecher.store.have.has(1)).toBe(true))
        expect(leecher.store.have.has(0)).toBe(false)
        witness.send(message.interested)
        witness.send(message.request, 0, 0, 16 * KiB)
        await aWhile()
        const told = witness.frames.filter(frame => frame.id === message.have).map(frame => frame.body.readUInt32BE())
        expect(told).toEqual([1])
        expect(witness.frames.filter(frame => frame.id === message.piece)).toEqual([])

        const honest = await lab.member(fixture, 'all')
        leecher.swarm.addPeers([honest.address])
        await leecher.swarm.completed()
        holdsExactly(leecher, fixture)
      },
      60_000,
    )

    run(
      'one that claims every piece and sends none does not stop a transfer',
      async lab => {
        const fixture = makeArtifact({ length: MiB })
        const honest = await lab.member(fixture, 'all')
        const leecher = await lab.member(fixture, 'none')
        const liar = await lab.listener('127.0.0.66', peer => {
          actAsSeeder(peer, fixture.artifact.infohash, leecher.store.pieces, () => undefined)
        })
        leecher.swarm.addPeers([liar.address])
        await eventually(() => expect(leecher.swarm.peers()).toHaveLength(1))
        leecher.swarm.addPeers([honest.address])
        await leecher.swarm.completed()
        holdsExactly(leecher, fixture)
      },
      60_000,
    )

    run('blocks nobody asked for are thrown away', async lab => {
      const fixture = makeArtifact()
      const leecher = await lab.member(fixture, 'none')
      const pusher = await lab.dial(leecher.address, '127.0.0.66')
      pusher.sendHandshake(fixture.artifact.infohash)
      await pusher.until(() => pusher.handshake)
      for (let index = 0; index < leecher.store.pieces; index++)
        for (const offset of [0, 16 * KiB]) {
          const at = index * fixture.artifact.pieceLength + offset
          pusher.send(message.piece, index, offset, fixture.content.subarray(at, at + 16 * KiB))
        }
      await aWhile()
      expect(leecher.store.have.count).toBe(0)
      expect(leecher.swarm.totals()).toMatchObject({ bytesIn: 0 })
      expect(leecher.swarm.totals().bytesWasted).toBeGreaterThan(0)
    })
  })

  describe('peers that attack the process', () => {
    for (const [what, announced] of [
      ['a 2 GiB frame', 2 * GiB],
      ['a frame a byte short of 2 GiB', 2 * GiB - 1],
      ['a 16 MiB frame', 16 * MiB],
    ] as const)
      run(`${what} is refused before it is kept, and the loop is not blocked`, async lab => {
        const fixture = makeArtifact()
        const seeder = await lab.member(fixture, 'all')
        const giant = await lab.dial(seeder.address, '127.0.0.66')
        const loop = monitorEventLoopDelay({ resolution: 5 })
        loop.enable()
        giant.sendHandshake(fixture.artifact.infohash)
        await giant.until(() => giant.handshake)
        giant.write(Buffer.concat([uint32(announced), Buffer.of(message.piece)]))
        for (let sent = 0; sent < 80 && !giant.socket.destroyed; sent++) {
          giant.write(Buffer.alloc(MiB))
          await new Promise(resolve => setImmediate(resolve))
        }
        await giant.closed
        loop.disable()
        expect(loop.max / 1e6).toBeLessThan(1000)
        await stillServes(lab, seeder, fixture)
      })

    run('a giant frame glued to the handshake is refused as well', async lab => {
      const fixture = makeArtifact()
      const seeder = await lab.member(fixture, 'all')
      const giant = await lab.dial(seeder.address, '127.0.0.66')
      giant.socket.cork()
      giant.sendHandshake(fixture.artifact.infohash)
      giant.write(Buffer.concat([uint32(GiB), Buffer.of(message.bitfield), Buffer.alloc(MiB)]))
      giant.socket.uncork()
      await giant.closed
      await stillServes(lab, seeder, fixture)
    })

    for (const [what, bytes] of [
      ['another protocol', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(10))],
      ['random bytes', randomBytes(4096, 5)],
      ['zeros', Buffer.alloc(4096)],
      ['the right greeting, a wrong protocol', Buffer.from(`\x13BitTorrent protocoL${'x'.repeat(48)}`)],
    ] as const)
      run(`${what} instead of a handshake: hung up on`, async lab => {
        const fixture = makeArtifact()
        const seeder = await lab.member(fixture, 'all')
        const stranger = await lab.dial(seeder.address, '127.0.0.66')
        stranger.write(bytes)
        await stranger.closed
        expect(seeder.swarm.peers()).toEqual([])
        await stillServes(lab, seeder, fixture)
      })

    run('messages with impossible contents end nobody but their sender', async lab => {
      const fixture = makeArtifact()
      const member = await lab.member(fixture, [0, 1, 2])
      for (const bad of impossibleMessages()) {
        const peer = await lab.dial(member.address, '127.0.0.66')
        peer.sendHandshake(fixture.artifact.infohash, undefined, Buffer.from('0000000000100004', 'hex'))
        await peer.until(() => peer.handshake)
        peer.send(message.interested)
        bad(peer)
        await new Promise(resolve => setTimeout(resolve, 30))
        peer.end()
      }
      await eventually(() => expect(member.swarm.peers()).toEqual([]))
      const seeder = await lab.member(fixture, 'all')
      member.swarm.addPeers([seeder.address])
      await member.swarm.completed()
      holdsExactly(member, fixture)
    })

    run('a hundred connections that say nothing do not stop a transfer', async lab => {
      const fixture = makeArtifact({ length: MiB })
      const [seeder, leecher] = [await lab.member(fixture, 'all'), await lab.member(fixture, 'none')]
      for (const { address } of [seeder, leecher]) {
        const silent = Array.from({ length: 50 }, (_, index) => lab.dial(address, `127.0.1.${index + 1}`))
        await Promise.all(silent)
      }
      leecher.swarm.addPeers([seeder.address])
      await leecher.swarm.completed()
      holdsExactly(leecher, fixture)
    })

    run('one that asks for 10,000 blocks and reads none: memory bounded, others are served', async lab => {
      const fixture = makeArtifact({ length: 2 * MiB })
      const seeder = await lab.member(fixture, 'all')
      const glutton = await lab.dial(seeder.address, '127.0.0.66')
      glutton.sendHandshake(fixture.artifact.infohash)
      await glutton.until(() => glutton.handshake)
      glutton.send(message.interested)
      await glutton.take(message.unchoke)
      glutton.socket.pause()
      const before = process.memoryUsage()
      for (let request = 0; request < 10_000; request++)
        glutton.send(message.request, request % seeder.store.pieces, (request & 1) * 16 * KiB, 16 * KiB)
      await aWhile()
      const after = process.memoryUsage()
      const grown = after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed
      expect(grown).toBeLessThan(48 * MiB) // it asked for 156
      await stillServes(lab, seeder, fixture)
    })
  })
}

/** A peer at 127.0.0.66 that has everything, all of it wrong. */
async function poisoner(lab: Lab, leecher: Member, fixture: ArtifactFixture, way: 'dials us' | 'is dialled') {
  const poison = (peer: RawPeer) =>
    actAsSeeder(peer, fixture.artifact.infohash, leecher.store.pieces, (_index, _offset, length) =>
      Buffer.alloc(length, 'poison'),
    )
  const host = '127.0.0.66'
  if (way === 'dials us') {
    const dialled: RawPeer[] = []
    const reconnect = async () => {
      const peer = await lab.dial(leecher.address, host)
      dialled.push(peer)
      poison(peer)
    }
    await reconnect()
    return { connections: () => dialled, reconnect }
  }
  const listener = await lab.listener(host, poison)
  const reconnect = async () => leecher.swarm.addPeers([listener.address])
  await reconnect()
  return { connections: () => listener.peers, reconnect }
}

function isShut(connections: readonly RawPeer[]): boolean {
  return connections.length > 0 && connections.every(peer => peer.socket.destroyed)
}

async function stillServes(lab: Lab, seeder: Member, fixture: ArtifactFixture): Promise<void> {
  const leecher = await lab.member(fixture, 'none')
  leecher.swarm.addPeers([seeder.address])
  await leecher.swarm.completed()
  holdsExactly(leecher, fixture)
}

type Say = (peer: RawPeer) => void

function impossibleMessages(): Say[] {
  const block = 16 * KiB
  const max = 0xffffffff
  const requests = [
    [max, 0, block],
    [11, 0, block],
    [-1, 0, block],
    [0, max, block],
    [0, 32 * KiB, 1],
    [0, 32 * KiB - 1, 2],
    [0, 0, 0],
    [0, 0, max],
    [0, 0, 2 ** 31],
    [0, 0, 129 * KiB],
    [10, 0, block],
    [5, 0, block],
  ]
  const extended = [
    'd',
    'de',
    'i1e',
    'd1:mi1ee',
    'd1:md0:i1eee',
    'd1:md9:__proto__i1eee',
    'd1:vi9ee',
    `d1:v999999999:xe`,
  ]
  return [
    ...requests.map(
      (numbers): Say =>
        peer =>
          peer.send(message.request, ...numbers),
    ),
    ...[max, 11, 2 ** 31, 400_001].map(
      (index): Say =>
        peer =>
          peer.send(message.have, index),
    ),
    peer => peer.send(message.have),
    peer => peer.send(message.request, 0),
    peer => peer.send(message.piece, 0),
    peer => peer.send(message.piece, max, max, Buffer.alloc(block)),
    peer => peer.send(message.bitfield),
    peer => peer.send(message.bitfield, Buffer.alloc(1, 0xff)),
    peer => peer.send(message.bitfield, Buffer.alloc(2, 0xff)), // the spare bits are set
    peer => peer.send(message.bitfield, Buffer.alloc(50_000, 0xff)),
    peer => {
      peer.send(message.bitfield, allPieces(11))
      peer.send(message.bitfield, allPieces(11)) // a second one, and too late
    },
    peer => peer.send(message.choke, Buffer.alloc(100)),
    ...[8, 9, 13, 14, 15, 16, 17, 19, 21, 99, 255].map(
      (id): Say =>
        peer =>
          peer.send(id),
    ),
    ...[13, 16, 17].map(
      (id): Say =>
        peer =>
          peer.send(id, max, max, max),
    ),
    ...extended.map(
      (text): Say =>
        peer =>
          peer.send(message.extended, Buffer.of(0), Buffer.from(text)),
    ),
    peer => peer.send(message.extended),
    ...[1, 2, 3, 7, 255].map(
      (id): Say =>
        peer =>
          peer.send(message.extended, Buffer.of(id), Buffer.from('d8:msg_typei0e5:piecei-1ee')),
    ),
  ]
}
