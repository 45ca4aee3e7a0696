/** Who is told of a new piece, and when: at once by whom it matters to, else with the clock. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Bitfield } from '../../../src/core/bitfield.ts'
import { Announcer } from '../../../src/swarm/native/announcer.ts'

const pieces = 16

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function listener(...has: number[]) {
  const bits = new Bitfield(pieces)
  for (const piece of has) bits.set(piece)
  const heard: number[] = []
  return { told: 0, has: bits, heard, connection: { out: { have: (piece: number) => void heard.push(piece) } } }
}

function announcing(others: ReturnType<typeof listener>[], complete = false) {
  const peers = new Set(others)
  const availability = (piece: number) => others.filter(({ has }) => has.has(piece)).length
  return new Announcer({ peers, have: { complete }, availability, now: () => Date.now() })
}

test('who lacks a piece that few have is told within a moment, of all that is new', () => {
  const [lacks, holds] = [listener(), listener(3)]
  const announcer = announcing([lacks, holds])
  announcer.add(3)
  announcer.add(4)
  expect(lacks.heard).toEqual([])
  vi.advanceTimersByTime(1)
  expect([lacks.heard, holds.heard]).toEqual([
    [3, 4],
    [3, 4],
  ])
})

test('who has it is not told for its own sake, and neither is who has four others to ask', () => {
  const holders = [1, 2, 3, 4].map(() => listener(3))
  const lacks = listener()
  const announcer = announcing([...holders, lacks])
  announcer.add(3)
  vi.advanceTimersByTime(1000)
  expect([...holders, lacks].flatMap(({ heard }) => heard)).toEqual([])
  announcer.tell(holders[0]!)
  announcer.tell(lacks)
  expect([holders[0]!.heard, lacks.heard]).toEqual([[3], [3]])
})

test('with three others it is told', () => {
  const lacks = listener()
  const holders = [1, 2, 3].map(() => listener(3))
  const announcer = announcing([...holders, lacks])
  announcer.add(3)
  vi.advanceTimersByTime(1000)
  expect([lacks.heard, holders[0]!.heard]).toEqual([[3], []])
})

test('who has all tells all who lack it: nothing more will be said', () => {
  const lacks = listener()
  const announcer = announcing([...[1, 2, 3, 4].map(() => listener(3)), lacks], true)
  announcer.add(3)
  vi.advanceTimersByTime(1000)
  expect(lacks.heard).toEqual([3])
})

test('each piece once, and to who comes later what came later', () => {
  const [early, late] = [listener(), listener()]
  const announcer = announcing([early])
  announcer.add(1)
  vi.advanceTimersByTime(1000)
  announcer.join(late)
  announcer.add(2)
  announcer.tell(early)
  announcer.tell(early)
  announcer.tell(late)
  expect([early.heard, late.heard]).toEqual([[1, 2], [2]])
  announcer.add(5)
  announcer.stop()
  vi.advanceTimersByTime(1000)
  expect(early.heard).toEqual([1, 2])
})

test('a hundred packets in one go, and then two hundred a second, with more and more news in each', () => {
  const crowd = Array.from({ length: 50 }, () => listener())
  const announcer = announcing(crowd)
  const told: number[] = []
  for (let ms = 0; ms < 2000; ms++) {
    if (ms % 200 < pieces) announcer.add(ms % pieces)
    const before = crowd[0]!.heard.length
    vi.advanceTimersByTime(1)
    if (crowd[0]!.heard.length > before) told.push(ms)
  }
  const packets = told.length * crowd.length
  expect(packets).toBeLessThanOrEqual(100 + 2 * 200 + 2 * crowd.length)
  expect(packets).toBeGreaterThanOrEqual(2 * 200)
  expect(told[0]).toBeLessThanOrEqual(1)
  expect(told[1]! - told[0]!).toBeLessThan(3)
})

test('a crowd for which the packets never suffice is told at once again after a second of quiet', () => {
  const crowd = Array.from({ length: 200 }, () => listener())
  const announcer = announcing(crowd)
  for (let ms = 0; ms < 4000; ms += 20) {
    announcer.add(ms % pieces)
    vi.advanceTimersByTime(20)
  }
  vi.advanceTimersByTime(1000)
  const before = crowd[0]!.heard.length
  announcer.add(0)
  vi.advanceTimersByTime(1)
  expect(crowd[0]!.heard.length).toBe(before + 1)
})
