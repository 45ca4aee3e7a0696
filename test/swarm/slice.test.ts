import { beforeEach, describe, expect, test } from 'vitest'
import { Bitfield } from '../../src/core/bitfield.ts'
import { Slice } from '../../src/swarm/slice.ts'

const layout = { length: 10 * 100 - 50, pieceLength: 100 }
let have: Bitfield
let clock: { time: number; now(): number; monotonic(): number }
let slice: Slice

beforeEach(() => {
  have = new Bitfield(10)
  clock = { time: 0, now: () => 1_000_000 + clock.time, monotonic: () => clock.time }
  slice = new Slice(layout, { have }, clock)
})

const deal = (pieces: number[], seat: string | null = 'a') => slice.deal({ seat, pieces, leaseMs: 6000 })
const store = (...pieces: number[]) => {
  for (const piece of pieces) have.set(piece)
}

test('nothing is wanted before anything is dealt', () => {
  expect(slice.claim()).toBeUndefined()
  expect(slice.wants(0)).toBe(false)
  expect(slice.seat()).toBeNull()
})

test('runs are as long as what is dealt and missing in one go, and no piece is in two', () => {
  store(6)
  deal([3, 4, 5, 6, 7, 8, 9])
  expect([slice.claim(), slice.claim(), slice.claim()]).toEqual([
    { first: 3, last: 5 },
    { first: 7, last: 9 },
    undefined,
  ])
})

test('what a run left missing can be claimed again, what it brought cannot', () => {
  deal([3, 4, 5])
  const run = slice.claim()!
  store(3)
  expect(slice.claim()).toBeUndefined()
  slice.release(run)
  expect(slice.claim()).toEqual({ first: 4, last: 5 })
})

test('a piece that is dealt to somebody else is not wanted any more, though it was ours once', () => {
  deal([3, 4, 5])
  deal([3, 4])
  expect(slice.wants(5)).toBe(false)
  expect(slice.claim()).toEqual({ first: 3, last: 4 })
  expect(slice.seat()?.pieces).toBe(3)
})

test('a claimed piece that is taken away and dealt again is not fetched beside itself', () => {
  deal([3])
  slice.claim()
  deal([])
  deal([3])
  expect(slice.claim()).toBeUndefined()
})

describe('the lease', () => {
  test('is over when it was not renewed in time; its token is kept, the origin may renew it', () => {
    deal([3])
    clock.time = 5999
    expect(slice.wants(3)).toBe(true)
    clock.time = 6000
    expect(slice.wants(3)).toBe(false)
    expect(slice.claim()).toBeUndefined()
    expect(slice.left()).toBe(0)
    expect(slice.seat()).toBeNull()
    expect(slice.token).toBe('a')
  })

  test('goes on when it is renewed, and remembers all it was dealt', () => {
    deal([8, 9])
    clock.time = 5000
    store(8, 9)
    deal([0])
    clock.time = 10_000
    expect(slice.seat()).toEqual({ since: 1_000_000, pieces: 3, bytes: 250 })
  })

  test('is another when the token is another', () => {
    deal([8, 9])
    clock.time = 5000
    deal([0], 'b')
    expect(slice.seat()).toEqual({ since: 1_005_000, pieces: 1, bytes: 100 })
  })

  test.each(['revoked', 'taken away'])('that is %s leaves nothing', how => {
    deal([8, 9])
    if (how === 'revoked') slice.revoke()
    else deal([], null)
    expect(slice.token).toBeUndefined()
    expect(slice.claim()).toBeUndefined()
  })
})

describe('runs low: time to ask', () => {
  test('when less than half of the last run is left', () => {
    deal([0, 1, 2, 3])
    store(0, 1)
    expect(slice.runsLow()).toBe(false)
    store(2)
    expect(slice.runsLow()).toBe(true)
  })

  test('when one piece is left, however short the run', () => {
    deal([0, 1])
    expect(slice.runsLow()).toBe(false)
    store(0)
    expect(slice.runsLow()).toBe(true)
  })

  test('by the last run, not by what an answer without a new one repeats', () => {
    deal([0, 1, 2, 3, 4, 5, 6, 7])
    store(0, 1, 2, 3)
    deal([4, 5, 6, 7])
    store(4)
    expect(slice.runsLow()).toBe(true)
  })
})
