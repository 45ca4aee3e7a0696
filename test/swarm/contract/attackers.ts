/** Peers that attack the process: its memory, its event loop, its sockets, its parser. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { describe, expect } from 'vitest'
import { GiB, KiB, MiB } from '../../../src/core/units.ts'
import { type ArtifactFixture, makeArtifact, randomBytes } from '../../support/artifact.ts'
import { allPieces, message, type RawPeer, uint32 } from '../../support/raw-peer.ts'
import { aWhile, type Case, eventually, holdsExactly, type Lab, type Member } from './lab.ts'

export function attackers(run: Case): void {
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
        await new Promise(resolve => setTimeout(resolve, 20))
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
    'd1:md1:xd8:toStringi1eeee',
    'd4:reqqi-1ee',
    'l'.repeat(9000),
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
    ...[1, 2, 3, 7, 255].flatMap(id =>
      ['', 'i1e', 'le', 'd8:msg_typei0e5:piecei-1ee'].map(
        (text): Say =>
          peer =>
            peer.send(message.extended, Buffer.of(id), Buffer.from(text)),
      ),
    ),
  ]
}
