/** The limits of an engine: rates each way, over all artifacts and peers together; connections; and the accounts of both. */
import { describe, expect } from 'vitest'
import { KiB, MiB, second } from '../../../src/core/units.ts'
import { Limiter } from '../../../src/swarm/limits/limiter.ts'
import { makeArtifact } from '../../support/artifact.ts'
import { type Case, eventually, holdsExactly, type Member } from './lab.ts'

const rate = 2 * MiB
const pieceLength = 64 * KiB
/** What may be saved up, and what one answer may be larger than the limit. */
const slackBytes = 512 * KiB

export function manners(run: Case): void {
  describe('limits', () => {
    run('what goes out to all peers together keeps to the limit', async lab => {
      const fixture = makeArtifact({ length: MiB, pieceLength })
      const seeder = await lab.member(fixture, 'all', { limits: { lan_up: new Limiter(rate) } })
      const leechers = await Promise.all([1, 2].map(() => lab.member(fixture, 'none')))
      const seconds = await transferred(leechers, [seeder])
      expect(seeder.swarm.totals().bytesOut).toBeLessThanOrEqual(rate * seconds + slackBytes)
    })

    run('what comes from all peers together keeps to the limit, and so do two artifacts', async lab => {
      const limits = { lan_down: new Limiter(rate) }
      const fixtures = [makeArtifact({ seed: 1, length: MiB, pieceLength }), makeArtifact({ seed: 2, length: MiB })]
      const seeders = await Promise.all(fixtures.map(fixture => lab.member(fixture, 'all')))
      const leechers = await Promise.all(fixtures.map(fixture => lab.member(fixture, 'none', { limits })))
      const begun = performance.now()
      await Promise.all(leechers.map((leecher, at) => transferred([leecher], [seeders[at]!])))
      for (const [at, fixture] of fixtures.entries()) holdsExactly(leechers[at]!, fixture)
      expect(2 * MiB).toBeLessThanOrEqual((rate * (performance.now() - begun)) / second + slackBytes)
    })

    run('a limit that is lifted in mid-transfer is gone at once', async lab => {
      const fixture = makeArtifact({ length: 8 * MiB })
      const limits = { lan_up: new Limiter(8 * KiB), lan_down: new Limiter(8 * KiB) }
      const seeder = await lab.member(fixture, 'all', { limits })
      const leecher = await lab.member(fixture, 'none', { limits })
      leecher.swarm.addPeers([seeder.address])
      await eventually(() => expect(seeder.swarm.peers().length).toBe(1))
      for (const limiter of Object.values(limits)) limiter.setRate(Number.POSITIVE_INFINITY)
      // At the old rate: a quarter of an hour.
      await leecher.swarm.completed()
      holdsExactly(leecher, fixture)
    })

    run('a limit that is set in mid-transfer holds from then on', async lab => {
      const fixture = makeArtifact({ length: 4 * MiB, pieceLength })
      const limits = { lan_down: new Limiter(64 * MiB) }
      const [seeder, leecher] = [await lab.member(fixture, 'all'), await lab.member(fixture, 'none', { limits })]
      let setAt = 0
      let had = 0
      leecher.store.onPiece(() => {
        if (setAt > 0) return
        setAt = performance.now()
        had = leecher.store.have.count * pieceLength
        limits.lan_down.setRate(rate)
      })
      leecher.swarm.addPeers([seeder.address])
      await leecher.swarm.completed()
      const seconds = (performance.now() - setAt) / second
      // What had been asked for at the old limit may still come.
      expect(4 * MiB - had).toBeLessThanOrEqual(rate * seconds + 2 * MiB)
    })

    run('more connections than configured there never are, whoever dials', async lab => {
      const fixture = makeArtifact()
      const seeder = await lab.member(fixture, 'all', { maxConnections: 10 })
      const others = await Promise.all(
        Array.from({ length: 12 }, (_, n) => lab.dial(seeder.address, `127.0.8.${n + 1}`)),
      )
      await eventually(() => expect(others.filter(({ socket }) => socket.destroyed).length).toBeGreaterThanOrEqual(2))
      const listeners = await Promise.all(Array.from({ length: 12 }, (_, n) => lab.listener(`127.0.9.${n + 1}`)))
      seeder.swarm.addPeers(listeners.map(({ address }) => address))
      for (const other of others) other.sendHandshake(fixture.artifact.infohash)
      await eventually(() => expect(seeder.engine.traffic.open()).toBe(10))
      for (let look = 0; look < 20; look++) {
        expect(seeder.engine.traffic.open()).toBeLessThanOrEqual(10)
        await new Promise(resolve => setImmediate(resolve))
      }
    })
  })

  describe('accounts', () => {
    run('what one has sent, the other has received: to the byte, by neighbour, also after the end', async lab => {
      const fixture = makeArtifact({ length: MiB + 7 })
      const at = (host: string) => ({ listen: { host, port: 0 } })
      const seeder = await lab.member(fixture, 'all', at('127.0.0.2'))
      const leecher = await lab.member(fixture, 'none', at('127.0.0.3'))
      leecher.swarm.addPeers([seeder.address])
      await leecher.swarm.completed()
      const same = () => {
        const [theirs] = leecher.engine.traffic.view()
        const [ours] = seeder.engine.traffic.view()
        expect(theirs?.peer).toBe('127.0.0.2')
        expect(theirs!.bytesIn).toBeGreaterThan(fixture.artifact.length)
        expect([theirs!.bytesIn, theirs!.bytesOut]).toEqual([ours!.bytesOut, ours!.bytesIn])
      }
      await eventually(same)
      await leecher.swarm.leave()
      await eventually(() => expect([seeder.engine.traffic.open(), leecher.engine.traffic.open()]).toEqual([0, 0]))
      same()
    })
  })
}

/** @returns Seconds until all are complete. */
async function transferred(leechers: readonly Member[], seeders: readonly Member[]): Promise<number> {
  const begun = performance.now()
  for (const { swarm } of leechers) swarm.addPeers(seeders.map(({ address }) => address))
  await Promise.all(leechers.map(({ swarm }) => swarm.completed()))
  return (performance.now() - begun) / second
}
