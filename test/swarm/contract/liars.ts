/** Peers that lie about content. Each has a 127.x.x.x address of its own, so that its ban is its own. */
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import { KiB, MiB } from '../../../src/core/units.ts'
import { type ArtifactFixture, artifactOf, makeArtifact, randomBytes } from '../../support/artifact.ts'
import { actAsSeeder, message, type RawPeer } from '../../support/raw-peer.ts'
import { collidingBytes } from '../../support/sha1-collision.ts'
import { aWhile, type Case, eventually, holdsExactly, type Lab, type Member } from './lab.ts'

export function liars(run: Case): void {
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

          const dials = connections().length
          await reconnect()
          await delay(1300) // engines that dial again by themselves do so after a second
          expect(isShut(connections())).toBe(true)
          expect(leecher.swarm.peers()).toEqual([])
          if (way === 'is dialled') expect(connections()).toHaveLength(dials)

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
      'eight of ten peers send bad data: it finishes, and no honest one is banned',
      async lab => {
        const fixture = makeArtifact({ length: 2 * MiB })
        const leecher = await lab.member(fixture, 'none')
        const { pieceLength, infohash } = fixture.artifact
        const seeders = (hosts: readonly number[], block: (at: number, length: number) => Buffer) =>
          Promise.all(
            hosts.map(last =>
              lab.listener(`127.0.0.${last}`, peer =>
                actAsSeeder(peer, infohash, leecher.store.pieces, (index, offset, length) =>
                  block(index * pieceLength + offset, length),
                ),
              ),
            ),
          )
        const evil = await seeders([61, 62, 63, 64, 65, 66, 67, 68], (_at, length) => Buffer.alloc(length, 'poison'))
        const honest = await seeders([11, 12], (at, length) => fixture.content.subarray(at, at + length))
        leecher.swarm.addPeers([...evil, ...honest].map(listener => listener.address))
        await leecher.swarm.completed()
        holdsExactly(leecher, fixture)
        expect(leecher.swarm.totals().bytesIn).toBe(fixture.artifact.length)
        expect(leecher.swarm.totals().bytesWasted).toBeLessThanOrEqual(1.5 * fixture.artifact.length)
        for (const { peers } of honest) expect(peers.map(peer => peer.socket.destroyed)).toEqual([false])
      },
      60_000,
    )

    run(
      'one that comes back a hundred times after its ban is hung up on each time',
      async lab => {
        const fixture = makeArtifact({ length: MiB })
        const leecher = await lab.member(fixture, 'none')
        const { connections, reconnect } = await poisoner(lab, leecher, fixture, 'dials us')
        await eventually(() => expect(isShut(connections())).toBe(true), 20_000)
        const { bytesWasted } = leecher.swarm.totals()
        for (let round = 0; round < 100; round++) {
          await reconnect()
          await connections().at(-1)!.closed
        }
        expect(leecher.swarm.totals().bytesWasted).toBe(bytesWasted)
        const honest = await lab.member(fixture, 'all')
        leecher.swarm.addPeers([honest.address])
        await leecher.swarm.completed()
        holdsExactly(leecher, fixture)
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

        // The right one comes another way: that is what is served, and no copy of the wrong one that lingers somewhere.
        await leecher.store.put(0, good)
        await leecher.swarm.completed()
        await witness.until(() =>
          witness.frames.some(frame => frame.id === message.have && frame.body.readUInt32BE() === 0),
        )
        witness.send(message.request, 0, 0, 16 * KiB)
        expect((await witness.take(message.piece)).subarray(8).equals(good.subarray(0, 16 * KiB))).toBe(true)
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
