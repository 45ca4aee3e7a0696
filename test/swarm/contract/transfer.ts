/** What an engine is for: every piece, from whoever has it, to whoever lacks it, once. */
import { describe, expect } from 'vitest'
import { pieceCount, pieceSize } from '../../../src/core/artifact.ts'
import { KiB, MiB } from '../../../src/core/units.ts'
import { makeArtifact } from '../../support/artifact.ts'
import { MemoryPieceStore } from '../../support/memory-piece-store.ts'
import { aWhile, type Case, eventually, holdsExactly } from './lab.ts'

const piece = 32 * KiB

export function transfer(run: Case): void {
  describe('transfer', () => {
    for (const [what, length] of [
      ['1 byte', 1],
      ['one block and a byte', 16 * KiB + 1],
      ['a byte less than a piece', piece - 1],
      ['one piece', piece],
      ['a byte more than a piece', piece + 1],
      ['an odd last piece', 7 * piece + 12_345],
      ['3 MiB', 3 * MiB],
    ] as const) {
      run(`${what} from one to one: the same bytes`, async lab => {
        const fixture = makeArtifact({ length, pieceLength: piece })
        const seeder = await lab.member(fixture, 'all')
        const leecher = await lab.member(fixture, 'none')
        leecher.swarm.addPeers([seeder.address])
        await leecher.swarm.completed()
        holdsExactly(leecher, fixture)
        expect(leecher.swarm.totals()).toEqual({ bytesIn: length, bytesOut: 0, bytesWasted: 0 })
        await eventually(() => expect(seeder.swarm.totals()).toEqual({ bytesIn: 0, bytesOut: length, bytesWasted: 0 }))
      })
    }

    run('16 MiB at full speed pass over one connection', async lab => {
      const fixture = makeArtifact({ length: 16 * MiB, pieceLength: 256 * KiB })
      const [seeder, leecher] = [await lab.member(fixture, 'all'), await lab.member(fixture, 'none')]
      leecher.swarm.addPeers([seeder.address])
      await leecher.swarm.completed()
      holdsExactly(leecher, fixture)
      // A connection that was cut and dialled again begins at 0.
      expect(leecher.swarm.peers().map(peer => peer.bytesIn)).toEqual([fixture.artifact.length])
    })

    run('from one to four that know each other', async lab => {
      const fixture = makeArtifact({ length: 2 * MiB + 1 })
      const seeder = await lab.member(fixture, 'all')
      const leechers = await Promise.all([1, 2, 3, 4].map(() => lab.member(fixture, 'none')))
      const everyone = [seeder.address, ...leechers.map(leecher => leecher.address)]
      for (const leecher of leechers) leecher.swarm.addPeers(everyone)
      await Promise.all(leechers.map(leecher => leecher.swarm.completed()))
      for (const leecher of leechers) holdsExactly(leecher, fixture)
    })

    run('two with a half each complete each other', async lab => {
      const fixture = makeArtifact({ length: MiB })
      const all = [...Array(pieceCount(fixture.artifact)).keys()]
      const even = all.filter(index => index % 2 === 0)
      const odd = all.filter(index => index % 2 === 1)
      const [left, right] = [await lab.member(fixture, even), await lab.member(fixture, odd)]
      left.swarm.addPeers([right.address])
      await Promise.all([left.swarm.completed(), right.swarm.completed()])
      holdsExactly(left, fixture)
      holdsExactly(right, fixture)
      expect(left.swarm.totals().bytesIn).toBe(odd.reduce((sum, index) => sum + pieceSize(fixture.artifact, index), 0))
      expect(right.swarm.totals().bytesIn).toBe(
        even.reduce((sum, index) => sum + pieceSize(fixture.artifact, index), 0),
      )
    })

    run('a seeder that knows the leecher, and not the other way round', async lab => {
      const fixture = makeArtifact()
      const seeder = await lab.member(fixture, 'all')
      const leecher = await lab.member(fixture, 'none')
      seeder.swarm.addPeers([leecher.address])
      await leecher.swarm.completed()
      holdsExactly(leecher, fixture)
    })

    run('only what the store lacks is fetched', async lab => {
      const fixture = makeArtifact()
      const had = [0, 3, 4, pieceCount(fixture.artifact) - 1]
      const seeder = await lab.member(fixture, 'all')
      const leecher = await lab.member(fixture, had)
      leecher.swarm.addPeers([seeder.address])
      await leecher.swarm.completed()
      holdsExactly(leecher, fixture)
      const hadBytes = had.reduce((sum, index) => sum + pieceSize(fixture.artifact, index), 0)
      expect(leecher.swarm.totals()).toMatchObject({ bytesIn: fixture.artifact.length - hadBytes, bytesWasted: 0 })
      expect(leecher.store.puts).toEqual({ stored: pieceCount(fixture.artifact) - had.length, known: 0, refused: 0 })
    })

    run('a piece that another hand stores is announced at once and served', async lab => {
      const fixture = makeArtifact()
      const wan = await lab.member(fixture, 'none')
      const neighbour = await lab.member(fixture, 'none')
      neighbour.swarm.addPeers([wan.address])
      await eventually(() => expect(neighbour.swarm.peers()).toHaveLength(1))
      for (let index = 0; index < wan.store.pieces; index++) {
        const at = index * fixture.artifact.pieceLength
        await wan.store.put(index, fixture.content.subarray(at, at + pieceSize(fixture.artifact, index)))
        await eventually(() => expect(neighbour.store.have.has(index)).toBe(true))
      }
      await Promise.all([wan.swarm.completed(), neighbour.swarm.completed()])
      holdsExactly(neighbour, fixture)
      expect(wan.swarm.totals()).toEqual({ bytesIn: 0, bytesOut: fixture.artifact.length, bytesWasted: 0 })
    })

    run('a piece that another hand stored is not fetched again', async lab => {
      const fixture = makeArtifact()
      const seeder = await lab.member(fixture, 'all')
      const leecher = await lab.member(fixture, 'none')
      const byWan = [1, 2, 5, 10]
      for (const index of byWan) {
        const at = index * fixture.artifact.pieceLength
        await leecher.store.put(index, fixture.content.subarray(at, at + pieceSize(fixture.artifact, index)))
      }
      leecher.swarm.addPeers([seeder.address])
      await leecher.swarm.completed()
      holdsExactly(leecher, fixture)
      const wanBytes = byWan.reduce((sum, index) => sum + pieceSize(fixture.artifact, index), 0)
      expect(leecher.swarm.totals()).toMatchObject({ bytesIn: fixture.artifact.length - wanBytes, bytesWasted: 0 })
    })

    run('another hand and a peer race for the same pieces: all is accounted for', async lab => {
      const fixture = makeArtifact({ length: 2 * MiB })
      const seeder = await lab.member(fixture, 'all')
      const leecher = await lab.member(fixture, 'none')
      leecher.swarm.addPeers([seeder.address])
      for (let index = leecher.store.pieces - 1; index >= 0; index--) {
        const at = index * fixture.artifact.pieceLength
        await leecher.store.put(index, fixture.content.subarray(at, at + pieceSize(fixture.artifact, index)))
        await new Promise(resolve => setImmediate(resolve))
      }
      await leecher.swarm.completed()
      holdsExactly(leecher, fixture)
      await aWhile() // what was still on its way arrives
      const { bytesIn, bytesWasted } = leecher.swarm.totals()
      expect(bytesIn + bytesWasted).toBeLessThanOrEqual(seeder.swarm.totals().bytesOut)
      expect(bytesIn).toBeLessThanOrEqual(fixture.artifact.length)
    })

    run('who joins complete is complete at once, without reading it all again', async lab => {
      const fixture = makeArtifact()
      const seeder = await lab.member(fixture, 'all')
      await seeder.swarm.completed()
      expect(seeder.store.puts).toEqual({ stored: 0, known: 0, refused: 0 })
      expect(seeder.store.readCalls).toBeLessThanOrEqual(2)
    })

    run('two artifacts share one engine and one port', async lab => {
      const [first, second] = [makeArtifact({ seed: 1 }), makeArtifact({ seed: 2 })]
      const [seeder, leecher] = [await lab.member(first, 'all'), await lab.member(first, 'none')]
      await seeder.engine.join(second.artifact, second.metainfo, MemoryPieceStore.full(second))
      const store = MemoryPieceStore.of(second)
      const other = await leecher.engine.join(second.artifact, second.metainfo, store)
      other.addPeers([seeder.address])
      leecher.swarm.addPeers([seeder.address])
      await Promise.all([leecher.swarm.completed(), other.completed()])
      holdsExactly(leecher, first)
      expect(store.content().equals(second.content)).toBe(true)
    })
  })
}
