/** The rarity order against a model that sorts. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { seededRandom } from '../../../bench/seeded-random.ts'
import { Bitfield } from '../../../src/core/bitfield.ts'
import { RarityOrder } from '../../../src/swarm/native/rarity-order.ts'

const pieces = 12
type Event = readonly ['gained' | 'lost' | 'remove' | 'restore', number]

const events = fc.array(
  fc.tuple(fc.constantFrom<Event[0]>('gained', 'lost', 'remove', 'restore'), fc.nat(pieces - 1)),
  { maxLength: 80 },
)

test('the first piece is always one of the rarest, whatever came before', () => {
  fc.assert(
    fc.property(events, fc.nat(), (history, seed) => {
      const order = new RarityOrder(pieces, seededRandom(seed))
      const availability = Array<number>(pieces).fill(0)
      const open = new Set(availability.keys())
      for (const [event, piece] of history) {
        if (event === 'lost' && availability[piece] === 0) continue
        order[event](piece)
        if (event === 'gained') availability[piece]!++
        if (event === 'lost') availability[piece]!--
        if (event === 'remove') open.delete(piece)
        if (event === 'restore') open.add(piece)
        expect(order.length).toBe(open.size)
        const rarest = Math.min(...[...open].map(each => availability[each]!))
        const first = order.first(Bitfield.full(pieces))
        expect(first < 0 ? Infinity : availability[first]).toBe(rarest)
        expect(drain(order)).toEqual([...open].sort((a, b) => a - b))
      }
      for (const piece of open) expect(order.availability(piece)).toBe(availability[piece])
    }),
    { seed: 5, numRuns: 300 },
  )
})

test('only what the peer has is found, the rarest of it', () => {
  const order = new RarityOrder(4, () => 0)
  for (const piece of [0, 0, 1, 2, 2, 2]) order.gained(piece)
  expect(order.first(setOf(4, 0, 2))).toBe(0)
  expect(order.first(setOf(4, 2))).toBe(2)
  expect(order.first(setOf(4))).toBe(-1)
})

test('of whatever set, among many pieces, it is the rarest that can be started', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(99)), fc.uniqueArray(fc.nat(99)), fc.nat(), (has, started, seed) => {
      const order = new RarityOrder(100, seededRandom(seed))
      const random = seededRandom(seed + 1)
      for (let n = 0; n < 300; n++) order.gained(Math.floor(random() * 100))
      for (const piece of started) order.remove(piece)
      const startable = has.filter(piece => !started.includes(piece))
      const first = order.first(setOf(100, ...has))
      const rarest = Math.min(...startable.map(piece => order.availability(piece)))
      expect(startable.length > 0 ? startable : [-1]).toContain(first)
      if (first >= 0) expect(order.availability(first)).toBe(rarest)
    }),
  )
})

test('equally rare pieces come in another order at each node', () => {
  const firsts = new Set(
    Array.from({ length: 50 }, (_, seed) => new RarityOrder(100, seededRandom(seed)).first(Bitfield.full(100))),
  )
  expect(firsts.size).toBeGreaterThan(25)
})

test('a piece is found in as many steps with 5 peers as with 500, and so is that a peer has none', () => {
  const even = setOf(1000, ...Array.from({ length: 500 }, (_, n) => 2 * n))
  const steps = (peers: number, set: Bitfield) => {
    const order = new RarityOrder(1000, seededRandom(1))
    const random = seededRandom(2)
    for (let peer = 0; peer < peers; peer++)
      for (let piece = 0; piece < 1000; piece++) if (random() < 0.5) order.gained(piece)
    let looked = 0
    order.first({ bytes: set.bytes, has: piece => ++looked > 0 && set.has(piece) })
    return looked
  }
  for (const peers of [5, 500]) {
    expect(steps(peers, even)).toBeLessThan(20)
    expect(steps(peers, setOf(1000))).toBeLessThanOrEqual(1000 / 8)
  }
})

/** Every piece that can be started, without changing the order. */
function drain(order: RarityOrder): number[] {
  return [...Array(pieces).keys()].filter(piece => order.first(setOf(pieces, piece)) === piece)
}

function setOf(length: number, ...members: readonly number[]): Bitfield {
  const set = new Bitfield(length)
  for (const piece of members) set.set(piece)
  return set
}
