/** Who counts as a neighbour, and for how long: by value. */
import { expect, test } from 'vitest'
import { minute, second } from '../../../src/core/units.ts'
import { beaconIntervalMs, mostNeighbours, Neighbours } from '../../../src/swarm/beacon/neighbours.ts'
import { told } from '../../support/beacons.ts'

const wall = Date.UTC(2026, 10, 22, 12)
const at = (time: number, changes = {}) => told({ time: wall + time, ...changes })

test('a beacon counts once, and never after a newer one of the same node', () => {
  const neighbours = new Neighbours()
  expect(neighbours.hear(at(5), wall, 0)).toEqual({ before: undefined })
  expect(neighbours.hear(at(5), wall, 0)).toBe('replayed')
  expect(neighbours.hear(at(4), wall, 0)).toBe('replayed')
  expect(neighbours.hear(at(6, { snapshot: 2 }), wall, 1)).toMatchObject({ before: { snapshot: 1 } })
  expect(neighbours.all(1)).toMatchObject([{ snapshot: 2, heardAt: 1 }])
})

test('nor when it was made five minutes ago or ahead', () => {
  const neighbours = new Neighbours()
  for (const off of [-300_001, 300_001]) expect(neighbours.hear(at(off), wall, 0)).toBe('clock_skew')
  for (const off of [-300_000, 300_000]) expect(neighbours.hear(at(off), wall, 0)).toHaveProperty('before')
})

test('a neighbour that is gone is not brought back by an old beacon of it', () => {
  const neighbours = new Neighbours()
  neighbours.hear(at(0), wall, 0)
  expect(neighbours.all(3.5 * 30 * second)).toEqual([])
  expect(neighbours.hear(at(0), wall + 2 * minute, 2 * minute)).toBe('replayed')
})

test('however many names somebody makes up, so many are kept, and the site speaks ever more rarely', () => {
  const neighbours = new Neighbours()
  for (let number = 0; number < 3 * mostNeighbours; number++) neighbours.hear(at(0, { node: `n${number}` }), wall, 1)
  expect(neighbours.size).toBe(mostNeighbours)
  expect(neighbours.all(1).at(0)?.node).toBe(`n${2 * mostNeighbours}`)
  expect(beaconIntervalMs(0)).toBe(30 * second)
  expect(mostNeighbours / (beaconIntervalMs(mostNeighbours) / second)).toBe(5)
})

test('who cannot show what it claims is not asked again: a minute when it does not answer, ten when it shows something else', () => {
  const neighbours = new Neighbours()
  neighbours.hear(at(0, { node: 'a', snapshot: 9 }), wall, 0)
  neighbours.hear(at(0, { node: 'b', snapshot: 8 }), wall, 0)
  const names = (now: number) => neighbours.withSnapshot(8, now).map(({ node }) => node)
  neighbours.disprove('a', 'absent', 0)
  neighbours.disprove('b', 'wrong', 0)
  expect(names(0)).toEqual([])
  expect(names(minute)).toEqual(['a'])
  for (const node of ['a', 'b']) neighbours.hear(at(1, { node, snapshot: 9 }), wall, 10 * minute)
  expect(names(10 * minute)).toEqual(['a', 'b'])
})

test('who has nothing is nobody to ask, even for nothing', () => {
  const neighbours = new Neighbours()
  neighbours.hear(at(0, { snapshot: 0 }), wall, 0)
  expect(neighbours.withSnapshot(0, 0)).toEqual([])
})
