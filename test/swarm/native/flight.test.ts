/** What may be under way to peers that give receipts, on a clock that the test moves. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { KiB, MiB } from '../../../src/core/units.ts'
import { Flight } from '../../../src/swarm/native/flight.ts'
import { LineWindow } from '../../../src/swarm/native/line-window.ts'
import { WireError } from '../../../src/swarm/native/message.ts'
import { Rate } from '../../../src/swarm/native/rate.ts'
import { Receipts } from '../../../src/swarm/native/receipts.ts'

const block = 64 * KiB

function lab() {
  const clock = { now: 0 }
  const flight = new Flight<string>(() => clock.now)
  const track = (...peers: string[]) => {
    for (const peer of peers) flight.track(peer, 0)
  }
  /** @returns Bytes that went out, a block at a time, until there was no room. */
  const fill = (peer: string, share = 1) => {
    let sent = 0
    for (; flight.room(peer, share) > 0 && sent < 1e9; sent += block) flight.sent(peer, block)
    return sent
  }
  return { clock, flight, track, fill }
}

test('a peer without receipts is bounded by its socket only', () => {
  const { flight } = lab()
  flight.sent('stock', 1e9)
  expect(flight.room('stock', 1)).toBe(Number.POSITIVE_INFINITY)
})

test('little is sent to a peer that has given no receipt; all together get no more than two seconds of a thin cable', () => {
  const { track, fill } = lab()
  track('a', 'b', 'c')
  expect(['a', 'b', 'c'].map(peer => fill(peer))).toEqual([128 * KiB, 128 * KiB, 0])
})

test('what can wait leaves room for what cannot', () => {
  const { track, fill } = lab()
  track('a', 'b')
  expect(fill('a', 1 / 4)).toBe(64 * KiB)
  expect(fill('b')).toBe(128 * KiB)
})

test('receipts make room, and tell the rate: a fast cable gets more under way', () => {
  const { clock, flight, track, fill } = lab()
  track('a')
  let total = 0
  for (let round = 0; round < 100; round++) {
    total += fill('a')
    clock.now += 10
    flight.receipt('a', total)
  }
  expect(fill('a')).toBeGreaterThan(2 * 1024 * KiB)
})

test('the total of bytes goes round at 2^32, and what was sent before the peer spoke counts', () => {
  const { flight } = lab()
  flight.track('a', 2 ** 32 - block)
  flight.receipt('a', 2 ** 32 - block)
  flight.sent('a', 2 * block)
  flight.receipt('a', block)
  expect(flight.room('a', 1)).toBeGreaterThan(0)
})

test.each([
  ['more than was sent', 'a', block + 1],
  ['from a peer that gives none', 'x', 0],
])('a receipt for %s ends the connection', (_, peer, total) => {
  const { flight, track } = lab()
  track('a')
  flight.sent('a', block)
  expect(() => flight.receipt(peer, total)).toThrow(WireError)
})

test('a receipt that takes back an earlier one ends the connection', () => {
  const { flight, track } = lab()
  track('a')
  flight.sent('a', block)
  flight.receipt('a', block)
  expect(() => flight.receipt('a', block - 1)).toThrow(WireError)
})

test('a silent peer holds the others up for three seconds, and gets nothing more itself', () => {
  const { clock, flight, track, fill } = lab()
  track('silent', 'mute', 'honest')
  fill('silent')
  fill('mute')
  expect(flight.room('honest', 1)).toBeLessThanOrEqual(0)
  clock.now = 6000
  expect(flight.room('honest', 1)).toBeGreaterThan(0)
  expect(flight.room('silent', 1)).toBe(0)
})

test('who withholds its receipts, over and over, holds the others up once', () => {
  const { clock, flight, track, fill } = lab()
  track('hostile', 'honest')
  const total = { hostile: 0, honest: 0 }
  const turn = (peer: 'hostile' | 'honest') => {
    total[peer] += fill(peer)
  }
  for (let round = 0; round < 4; round++) {
    turn('hostile')
    // Just before it would get no more, it says all.
    clock.now += 4900
    flight.receipt('hostile', total.hostile)
    turn('hostile')
    expect(flight.room('honest', 1)).toBeGreaterThan(0)
  }
  turn('honest')
  flight.receipt('honest', total.honest)
  expect(flight.room('honest', 1)).toBeGreaterThan(0)
  expect(flight.room('hostile', 1)).toBeLessThanOrEqual(0)
  // A minute later it may try again.
  flight.receipt('hostile', total.hostile)
  clock.now += 60_001
  expect(fill('hostile')).toBe(256 * KiB)
})

test('a peer that is gone leaves its room to others', () => {
  const { flight, track, fill } = lab()
  track('a', 'b', 'c')
  fill('a')
  fill('b')
  flight.gone('a')
  expect(fill('c')).toBe(128 * KiB)
})

test('a window forgets what is stale, once, and what has ended after that changes nothing', () => {
  const line = new LineWindow({ leastBytes: 1000, spanMs: 1000, staleMs: 2000 }, 0)
  line.begin(1000, 100)
  expect(line.room(1500)).toBe(0)
  expect(line.room(2600)).toBe(1000)
  line.end(1000, 100)
  expect(line.room(2600)).toBe(1000)
  line.begin(400, 2600)
  line.end(400, 2600)
  expect(line.room(2600)).toBe(1000)
})

describe('receipts', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  const slow = () => undefined
  const fast = () => 16 * MiB

  function giving() {
    const said: [id: number, total: number][] = []
    const receipts = new Receipts({ now: () => Date.now(), say: (id, total) => void said.push([id, total]) })
    return { receipts, said, pass: (ms: number) => void vi.advanceTimersByTime(ms) }
  }

  test('one goes along with what is said, and by itself after 64 KiB or 100 ms; to who wants one', () => {
    const { receipts, said, pass } = giving()
    receipts.arrived(10)
    receipts.tend(true, slow)
    expect(said).toEqual([])
    receipts.wantedAs = 7
    receipts.tend(true, slow)
    receipts.tend(true, slow)
    expect(said.splice(0)).toEqual([[7, 10]])
    receipts.arrived(1)
    pass(99)
    receipts.tend(false, slow)
    expect(said).toEqual([])
    pass(1)
    receipts.tend(false, slow)
    expect(said.splice(0)).toEqual([[7, 11]])
    receipts.arrived(64 * KiB)
    receipts.tend(false, slow)
    receipts.arrived(2 ** 32)
    receipts.tend(false, slow)
    const total = 64 * KiB + 11
    expect(said).toEqual([
      [7, total],
      [7, total],
    ])
  })

  test('those for a fast peer gather for 25 ms, and then go though nothing more comes', () => {
    const { receipts, said, pass } = giving()
    receipts.wantedAs = 7
    for (let block = 0; block < 45; block++) {
      receipts.arrived(256 * KiB)
      receipts.tend(false, fast)
      pass(2)
    }
    expect(said.map(([, total]) => total / (256 * KiB))).toEqual([1, 13, 25, 38])
    pass(10)
    expect(said.at(-1)).toEqual([7, 45 * 256 * KiB])
    pass(1000)
    expect(said).toHaveLength(5)
  })

  test('a peer that is a little slower hears of each block: it may wait for that', () => {
    const { receipts, said } = giving()
    receipts.wantedAs = 7
    for (let block = 0; block < 5; block++) {
      receipts.arrived(64 * KiB)
      receipts.tend(false, () => 16 * MiB - 1)
    }
    expect(said).toHaveLength(5)
  })

  test('what is said for another reason takes along what has gathered, and who is gone is told nothing', () => {
    const { receipts, said, pass } = giving()
    receipts.wantedAs = 7
    const arrive = () => {
      receipts.arrived(256 * KiB)
      receipts.tend(false, fast)
    }
    arrive()
    arrive()
    receipts.tend(true, fast)
    pass(20)
    expect(said).toHaveLength(2)
    arrive()
    receipts.stop()
    pass(1000)
    expect(said).toHaveLength(2)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('who waits for a receipt before it sends on is told at once again, and not for ever', () => {
    const { receipts, said, pass } = giving()
    receipts.wantedAs = 7
    const arrive = (bytes: number) => {
      receipts.arrived(bytes)
      receipts.tend(false, fast)
      return said.splice(0).length
    }
    expect([arrive(128 * KiB), arrive(128 * KiB)]).toEqual([1, 0])
    pass(25)
    expect(said.splice(0)).toHaveLength(1)
    expect([arrive(128 * KiB), arrive(128 * KiB)]).toEqual([1, 1])
    pass(999)
    arrive(128 * KiB)
    pass(1)
    expect(arrive(128 * KiB)).toBe(0)
  })

  test('a neighbour that was away for some seconds, and is held to be late, is served as fast as its receipts could come', () => {
    const flight = new Flight<string>(() => Date.now())
    const rate = new Rate(Date.now())
    const receipts = new Receipts({ now: () => Date.now(), say: (_, total) => flight.receipt('a', total) })
    flight.track('a', 0)
    receipts.wantedAs = 7
    const send = () => {
      let blocks = 0
      for (; flight.room('a', 1) > 0 && blocks < 2; blocks++) flight.sent('a', block)
      return blocks
    }
    let onTheWay = send()
    vi.advanceTimersByTime(3500)
    let arrived = 0
    for (let ms = 0; ms < 4000; ms++) {
      for (; onTheWay > 0; onTheWay--) {
        arrived += block
        receipts.arrived(block)
        rate.add(block, Date.now())
        receipts.tend(false, () => rate.at(Date.now()))
      }
      onTheWay = send()
      vi.advanceTimersByTime(1)
    }
    // Two blocks a millisecond, less a pause of 25 ms each second.
    expect(arrived / (4000 * 2 * block)).toBeGreaterThan(0.9)
  })
})
