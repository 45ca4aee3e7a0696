/** How an engine behaves towards its caller and towards the network: promises kept, sockets closed, nobody dialled unasked. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, expect } from 'vitest'
import { StoreError, SwarmError } from '../../../src/core/errors.ts'
import { KiB, MiB } from '../../../src/core/units.ts'
import { makeArtifact } from '../../support/artifact.ts'
import { MemoryPieceStore } from '../../support/memory-piece-store.ts'
import { freshPeerId, message, type RawPeer } from '../../support/raw-peer.ts'
import { aWhile, type Case, eventually, holdsExactly } from './lab.ts'

export function conduct(run: Case): void {
  describe('towards its caller', () => {
    run('an artifact is joined once; left, it may be joined again', async lab => {
      const fixture = makeArtifact()
      const { engine, swarm, store } = await lab.member(fixture, 'all')
      await expect(engine.join(fixture.artifact, fixture.metainfo, store)).rejects.toThrow(/joined/)
      await swarm.leave()
      await swarm.leave()
      const again = await engine.join(fixture.artifact, fixture.metainfo, store)
      await again.completed()
    })

    run('left, it serves no more, its connections are closed, and the others go on', async lab => {
      const [fixture, other] = [makeArtifact({ seed: 1 }), makeArtifact({ seed: 2 })]
      const seeder = await lab.member(fixture, 'all')
      await seeder.engine.join(other.artifact, other.metainfo, MemoryPieceStore.full(other))
      const peer = await lab.dial(seeder.address)
      peer.sendHandshake(fixture.artifact.infohash)
      await peer.until(() => peer.handshake)

      await seeder.swarm.leave()
      await peer.closed
      expect(seeder.store.listeners).toBe(0)
      expect(await isGreeted(await lab.dial(seeder.address), fixture.artifact.infohash)).toBe(false)
      expect(await isGreeted(await lab.dial(seeder.address), other.artifact.infohash)).toBe(true)
    })

    run('stopped, its port is free and nothing of it is left', async lab => {
      const fixture = makeArtifact()
      const before = process.getActiveResourcesInfo().filter(isSocket).length
      const seeder = await lab.member(fixture, 'all')
      const leecher = await lab.member(fixture, 'none')
      leecher.swarm.addPeers([seeder.address])
      await leecher.swarm.completed()
      await Promise.all([seeder.engine.stop(), leecher.engine.stop()])
      await seeder.engine.stop()
      expect([seeder.store.listeners, leecher.store.listeners]).toEqual([0, 0])
      await eventually(() =>
        expect(process.getActiveResourcesInfo().filter(isSocket).length).toBeLessThanOrEqual(before),
      )
      const next = createServer().listen(seeder.address.port, seeder.address.host)
      await once(next, 'listening')
      await new Promise(resolve => next.close(resolve))
    })

    run('a port that is taken: swarm_listen', async lab => {
      const first = await lab.engine()
      const second = lab.engine({ listen: { host: '127.0.0.1', port: first.port } })
      await expect(second).rejects.toMatchObject({ code: 'swarm_listen' })
    })

    run('it listens on the address it was given and on no other', async lab => {
      const engine = await lab.engine({ listen: { host: '127.0.0.7', port: 0 } })
      await lab.dial({ host: '127.0.0.7', port: engine.port })
      await expect(lab.dial({ host: '127.0.0.1', port: engine.port })).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    })

    run('waiting for completion can be given up, with the reason of the signal', async lab => {
      const { swarm } = await lab.member(makeArtifact(), 'none')
      const giveUp = new AbortController()
      const waiting = swarm.completed(giveUp.signal)
      giveUp.abort(new Error('shutting down'))
      await expect(waiting).rejects.toThrow('shutting down')
      await expect(swarm.completed(AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late')
    })

    run('left before it is complete: whoever waits hears of it', async lab => {
      const { swarm } = await lab.member(makeArtifact(), 'none')
      const waiting = expect(swarm.completed()).rejects.toMatchObject({ code: 'swarm_failed' })
      await swarm.leave()
      await waiting
      await expect(swarm.completed()).rejects.toMatchObject({ code: 'swarm_failed' })
    })

    run('a full disk fails the swarm and is named as the cause', async lab => {
      const fixture = makeArtifact()
      const seeder = await lab.member(fixture, 'all')
      const leecher = await lab.member(fixture, 'none')
      leecher.store.putFault = new StoreError('disk_full', 'no space left for piece 0')
      leecher.swarm.addPeers([seeder.address])
      const failure = await leecher.swarm.completed().catch(error => error)
      expect(failure).toBeInstanceOf(SwarmError)
      expect(failure).toMatchObject({ code: 'swarm_failed', cause: { code: 'disk_full' } })
      await eventually(() => expect(leecher.swarm.peers()).toEqual([]))
      await seeder.swarm.completed()
    })

    run(
      'a store that cannot be read serves nothing, and breaks nothing',
      async lab => {
        const fixture = makeArtifact()
        const [broken, good] = [await lab.member(fixture, 'all'), await lab.member(fixture, 'all')]
        const leecher = await lab.member(fixture, 'none')
        broken.store.readFault = new StoreError('disk_failed', 'EIO')
        leecher.swarm.addPeers([broken.address])
        await aWhile()
        expect(leecher.swarm.totals().bytesIn).toBe(0)
        leecher.swarm.addPeers([good.address])
        await leecher.swarm.completed()
        holdsExactly(leecher, fixture)
      },
      60_000,
    )
  })

  describe('towards the network', () => {
    run('an address outside the networks is not dialled', async lab => {
      const outside = await lab.listener('127.0.9.1')
      const inside = await lab.listener('127.0.0.2')
      const { swarm } = await lab.member(makeArtifact(), 'none', { networks: ['127.0.0.0/24', '10.0.0.0/8'] })
      swarm.addPeers([outside.address, { host: '::ffff:127.0.9.1', port: outside.address.port }, inside.address])
      await eventually(() => expect(inside.peers).toHaveLength(1))
      await aWhile()
      expect(outside.peers).toHaveLength(0)
    })

    run('names, port 0 and nonsense are not dialled', async lab => {
      const { swarm } = await lab.member(makeArtifact(), 'none', { networks: ['0.0.0.0/0'] })
      const inside = await lab.listener('127.0.0.2')
      const { port } = inside.address
      for (const host of ['localhost', '', '127.0.0.2:80', '127.2', '0x7f.0.0.2', 'http://127.0.0.2'])
        swarm.addPeers([{ host, port }])
      for (const bad of [0, -1, 65_536, 1.5, Number.NaN]) swarm.addPeers([{ host: '127.0.0.2', port: bad }])
      await aWhile()
      expect(inside.peers).toHaveLength(0)
    })

    run('a connection from outside the networks is dropped unanswered', async lab => {
      const fixture = makeArtifact()
      const seeder = await lab.member(fixture, 'all', { networks: ['127.0.0.0/24'] })
      expect(await isGreeted(await lab.dial(seeder.address, '127.0.9.1'), fixture.artifact.infohash)).toBe(false)
      expect(await isGreeted(await lab.dial(seeder.address, '127.0.0.9'), fixture.artifact.infohash)).toBe(true)
    })

    run('an artifact that is not joined gets no answer', async lab => {
      const seeder = await lab.member(makeArtifact({ seed: 1 }), 'all')
      const unknown = makeArtifact({ seed: 2 }).artifact.infohash
      expect(await isGreeted(await lab.dial(seeder.address), unknown)).toBe(false)
    })

    run('it does not stay connected to itself', async lab => {
      const { swarm, engine } = await lab.member(makeArtifact(), 'none', { listen: { host: '0.0.0.0', port: 0 } })
      swarm.addPeers([1, 2, 3].map(last => ({ host: `127.0.0.${last}`, port: engine.port })))
      await aWhile()
      expect(swarm.peers()).toEqual([])
    })

    run('two that dial each other keep one connection', async lab => {
      const fixture = makeArtifact()
      const [left, right] = [await lab.member(fixture, [0]), await lab.member(fixture, [1])]
      left.swarm.addPeers([right.address])
      right.swarm.addPeers([left.address])
      const shape = () => [left.swarm.peers().length, right.swarm.peers().length]
      await eventually(() => expect([left.store.have.count, right.store.have.count]).toEqual([2, 2]))
      await eventually(() => expect(shape()).toEqual([1, 1]))
      await aWhile()
      expect(shape()).toEqual([1, 1])
    })

    run('no more connections than allowed, whoever opens them', async lab => {
      const fixture = makeArtifact()
      const seeder = await lab.member(fixture, 'all', { maxPeers: 4 })
      const listeners = await Promise.all([2, 3, 4, 5, 6, 7].map(last => lab.listener(`127.0.0.${last}`)))
      const dialling = await Promise.all(
        [12, 13, 14, 15, 16, 17].map(last => lab.dial(seeder.address, `127.0.0.${last}`)),
      )
      for (const peer of dialling) peer.sendHandshake(fixture.artifact.infohash)
      await eventually(() => expect(seeder.swarm.peers().length).toBeGreaterThan(0))
      seeder.swarm.addPeers(listeners.map(listener => listener.address))
      await aWhile()
      for (const peer of listeners.flatMap(listener => listener.peers)) peer.sendHandshake(fixture.artifact.infohash)
      await aWhile()
      expect(seeder.swarm.peers().length).toBeLessThanOrEqual(4)
    })

    run('peers are shown as they are, their names made printable', async lab => {
      const fixture = makeArtifact()
      const seeder = await lab.member(fixture, 'all')
      const peer = await lab.dial(seeder.address, '127.0.0.5')
      peer.sendHandshake(fixture.artifact.infohash, freshPeerId(), Buffer.from('0000000000100000', 'hex'))
      await peer.until(() => peer.handshake)
      const name = `\x1b[31mred\x00\r\n<script>${'x'.repeat(100)}é`
      const v = Buffer.from(name)
      peer.send(message.extended, Buffer.concat([Buffer.from(`\x00d1:mde1:v${v.length}:`), v, Buffer.from('e')]))
      peer.send(message.have, 3)
      peer.send(message.have, 4)
      await eventually(() =>
        expect(seeder.swarm.peers()).toMatchObject([
          { direction: 'in', pieces: 2, bytesIn: 0, bytesOut: 0, address: { host: '127.0.0.5' } },
        ]),
      )
      await eventually(() => expect(seeder.swarm.peers()[0]!.client).toMatch(/red.*script/))
      expect(seeder.swarm.peers()[0]!.client).toMatch(/^[\x20-\x7e]{1,40}$/)
    })

    run('who asks for 200 blocks ahead and reads them late gets them all', async lab => {
      const fixture = makeArtifact({ length: 4 * MiB })
      const seeder = await lab.member(fixture, 'all')
      const peer = await lab.dial(seeder.address, '127.0.0.5')
      peer.sendHandshake(fixture.artifact.infohash)
      await peer.until(() => peer.handshake)
      peer.send(message.interested)
      await peer.take(message.unchoke)
      peer.socket.pause()
      for (let block = 0; block < 200; block++) peer.send(message.request, block >> 1, (block & 1) * 16 * KiB, 16 * KiB)
      await aWhile()
      peer.socket.resume()
      await peer.until(() => peer.frames.filter(frame => frame.id === message.piece).length === 200)
    })

    run('what a peer sent and got is counted by peer', async lab => {
      const fixture = makeArtifact()
      const [seeder, leecher] = [await lab.member(fixture, 'all'), await lab.member(fixture, 'none')]
      leecher.swarm.addPeers([seeder.address])
      await leecher.swarm.completed()
      const { length } = fixture.artifact
      const view = { address: seeder.address, direction: 'out', pieces: seeder.store.pieces }
      expect(leecher.swarm.peers()).toMatchObject([{ ...view, bytesIn: length, bytesOut: 0 }])
      await eventually(() => expect(seeder.swarm.peers()).toMatchObject([{ direction: 'in', bytesOut: length }]))
    })
  })
}

/** Does the engine answer this peer's handshake, or hang up? */
async function isGreeted(peer: RawPeer, infohash: Parameters<RawPeer['sendHandshake']>[0]): Promise<boolean> {
  peer.sendHandshake(infohash)
  await Promise.race([peer.closed, peer.until(() => peer.handshake).catch(() => {})])
  return peer.handshake !== undefined
}

const isSocket = (kind: string): boolean => kind.startsWith('TCP')
