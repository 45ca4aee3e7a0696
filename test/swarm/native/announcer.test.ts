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
  return {
    told: 0,
    weighed: 0,
    has: bits,
    heard,
    connection: { out: { have: (piece: number) => void heard.push(piece) } },
  }
}

function announcing(others: ReturnType<typeof listener>[], complete = false) {
  const peers = new Set(others)
  const availability = (piece: number) => others.filter(({ has }) => has.has(piece)).length
  return new Announcer({ peers, have: { complete }, availability, now: () => Date.now(), random: Math.random })
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

test('what is new is weighed once for each peer, and not again at each new piece', () => {
  const lacks = listener()
  let weighed = 0
  const availability = () => ++weighed && 4
  const peers = [lacks, listener()]
  const announcer = new Announcer({
    peers,
    have: { complete: false },
    availability,
    now: () => Date.now(),
    random: Math.random,
  })
  for (let piece = 0; piece < pieces; piece++) {
    announcer.add(piece)
    vi.advanceTimersByTime(1)
  }
  expect(weighed).toBe(pieces * peers.length)
  announcer.tell(lacks)
  expect(lacks.heard).toHaveLength(pieces)
})

test('who was not told what he lacks, because many had it, is told when all is here', () => {
  const have = { complete: false }
  const lacks = listener()
  const announcer = new Announcer({
    peers: [lacks],
    have,
    availability: () => 4,
    now: () => Date.now(),
    random: Math.random,
  })
  announcer.add(1)
  vi.advanceTimersByTime(1000)
  expect(lacks.heard).toEqual([])
  have.complete = true
  lacks.has.set(2)
  announcer.add(2)
  vi.advanceTimersByTime(1000)
  expect(lacks.heard).toEqual([1, 2])
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

test('two are told at a time, and when it may have reached them two others of those who lack it still', () => {
  const crowd = Array.from({ length: 7 }, () => listener())
  const told = () => crowd.filter(({ heard }) => heard.length > 0)
  announcing(crowd).add(3)
  vi.advanceTimersByTime(1)
  expect(told()).toHaveLength(2)
  const passedOn = crowd.find(({ heard }) => heard.length === 0)!
  passedOn.has.set(3)
  vi.advanceTimersByTime(100)
  expect(told()).toHaveLength(4)
  vi.advanceTimersByTime(1000)
  expect(told()).toHaveLength(6)
  expect(passedOn.heard).toEqual([])
})

test('what is new does not wait for those who have not been told of what was', () => {
  const crowd = Array.from({ length: 7 }, () => listener())
  const announcer = announcing(crowd)
  announcer.add(3)
  vi.advanceTimersByTime(50)
  announcer.add(4)
  vi.advanceTimersByTime(1)
  expect(crowd.filter(({ heard }) => heard.includes(4))).toHaveLength(2)
})

test('who is told is left to chance', () => {
  const first = Array.from({ length: 50 }, () => {
    const crowd = Array.from({ length: 7 }, () => listener())
    announcing(crowd).add(3)
    vi.advanceTimersByTime(1)
    return crowd.findIndex(({ heard }) => heard.length > 0)
  })
  expect(new Set(first).size).toBeGreaterThan(2)
})

/** @returns Who was told something, summed over the milliseconds. @param each Called at the beginning of each. */
function packetsIn(crowd: readonly ReturnType<typeof listener>[], ms: number, each: (ms: number) => void): number {
  let packets = 0
  for (let at = 0; at < ms; at++) {
    each(at)
    const before = crowd.map(({ heard }) => heard.length)
    vi.advanceTimersByTime(1)
    packets += crowd.filter(({ heard }, n) => heard.length > before[n]!).length
  }
  return packets
}

test('a hundred packets in one go, and then two hundred a second, with more and more news in each', () => {
  const crowd = Array.from({ length: 50 }, () => listener())
  const announcer = announcing(crowd)
  const packets = (ms: number) => packetsIn(crowd, ms, at => announcer.add(at % pieces))
  expect(packets(55)).toBeGreaterThanOrEqual(100)
  const later = packets(2000)
  expect(later).toBeGreaterThanOrEqual(2 * 180)
  expect(later).toBeLessThanOrEqual(2 * 200 + 20)
})

test('a crowd for which the packets never suffice is told at once again after a second of quiet', () => {
  const crowd = Array.from({ length: 200 }, () => listener())
  const announcer = announcing(crowd)
  packetsIn(crowd, 4000, at => announcer.add(at % pieces))
  for (const each of crowd) announcer.tell(each)
  vi.advanceTimersByTime(1000)
  expect(packetsIn(crowd, 2, at => at === 0 && announcer.add(0))).toBe(2)
})
