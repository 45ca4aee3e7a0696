/** The election of who fetches what without a seat service: whatever the site looks like, one copy, and somebody for each piece. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { pieceCount } from '../../../src/core/artifact.ts'
import { KiB, MiB } from '../../../src/core/units.ts'
import { electedPieces, electedSeeds, rank } from '../../../src/swarm/seats/election.ts'

const artifact = 'ab'.repeat(32)
const names = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9-]{0,9}$/), { minLength: 1, maxLength: 30 })
const layouts = fc
  .tuple(fc.constantFrom(16 * KiB, 256 * KiB, 4 * MiB), fc.integer({ min: 1, max: 60 * MiB }))
  .map(([pieceLength, length]) => ({ pieceLength, length }))
const turns = fc.nat(12)

test('all who see the same members agree: each piece has one owner, and there are five of them at most', () => {
  fc.assert(
    fc.property(names, layouts, turns, (members, layout, turn) => {
      const shares = members.map(self => electedPieces(artifact, layout, [...members].reverse(), self, turn))
      const all = shares.flat().sort((a, b) => a - b)
      expect(all).toEqual(Array.from({ length: pieceCount(layout) }, (_, piece) => piece))
      expect(shares.filter(share => share.length > 0).length).toBeLessThanOrEqual(electedSeeds)
    }),
  )
})

test('one goes: only what was its own changes hands, unless it was a seed and another takes its place', () => {
  fc.assert(
    fc.property(names, layouts, fc.nat(), (members, layout, number) => {
      const gone = members[number % members.length]!
      const left = members.filter(member => member !== gone)
      const seedsBefore = rank(artifact, members).slice(0, electedSeeds)
      const [successor] = rank(artifact, left)
        .slice(0, electedSeeds)
        .filter(seed => !seedsBefore.includes(seed))
      for (const self of left.filter(member => member !== successor)) {
        const before = electedPieces(artifact, layout, members, self, 0)
        const after = new Set(electedPieces(artifact, layout, left, self, 0))
        // It loses pieces only to the seed that is new.
        if (successor === undefined) expect(before.every(piece => after.has(piece))).toBe(true)
        else expect([...after].every(piece => before.includes(piece) || ownerBefore(piece) === gone)).toBe(true)
      }
      function ownerBefore(piece: number) {
        return members.find(member => electedPieces(artifact, layout, members, member, 0).includes(piece))
      }
    }),
    { numRuns: 30 },
  )
})

test('owners that bring nothing are followed by the next: after five turns each seed has had each piece', () => {
  fc.assert(
    fc.property(names, layouts, (members, layout) => {
      for (const seed of rank(artifact, members).slice(0, electedSeeds)) {
        const turnsNeeded = Math.min(electedSeeds, members.length)
        const had = new Set<number>()
        for (let turn = 0; turn < turnsNeeded; turn++)
          for (const piece of electedPieces(artifact, layout, members, seed, turn)) had.add(piece)
        expect(had.size).toBe(pieceCount(layout))
      }
    }),
    { numRuns: 30 },
  )
})

test('a node that sees nobody fetches everything', () => {
  expect(electedPieces(artifact, { length: 3 * MiB, pieceLength: MiB }, [], 'alone', 7)).toEqual([0, 1, 2])
})
