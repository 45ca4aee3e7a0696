/** What may be under way to peers that give receipts, on a clock that the test moves. */
import { expect, test } from 'vitest'
import { hour, KiB, MiB } from '../../../src/core/units.ts'
import { Flight } from '../../../src/swarm/native/flight.ts'
import { LineWindow } from '../../../src/swarm/native/line-window.ts'
import { WireError } from '../../../src/swarm/native/message.ts'
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

test('how fast a cable is is found out within some round trips, also after an hour in which nothing was sent', () => {
  const { clock, flight, track, fill } = lab()
  track('a')
  let total = 0
  for (const quietMs of [0, hour, hour]) {
    clock.now += quietMs
    for (let roundTrip = 0; roundTrip < 6; roundTrip++) {
      total += fill('a')
      clock.now += 1
      flight.receipt('a', total % 2 ** 32)
    }
    const sent = fill('a')
    expect(sent).toBeGreaterThan(8 * MiB)
    total += sent
    flight.receipt('a', total % 2 ** 32)
  }
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

test('a receipt goes along with what is said, and by itself after 64 KiB or 100 ms; to who wants one', () => {
  const receipts = new Receipts()
  receipts.arrived(10)
  expect(receipts.due(true, undefined, 0)).toBeUndefined()
  receipts.wantedAs = 7
  expect(receipts.due(true, undefined, 0)).toEqual({ id: 7, total: 10 })
  expect(receipts.due(true, undefined, 0)).toBeUndefined()
  receipts.arrived(1)
  expect(receipts.due(false, undefined, 99)).toBeUndefined()
  expect(receipts.due(false, undefined, 100)).toEqual({ id: 7, total: 11 })
  receipts.arrived(64 * KiB)
  expect(receipts.due(false, undefined, 101)).toEqual({ id: 7, total: 64 * KiB + 11 })
  receipts.arrived(2 ** 32)
  expect(receipts.due(false, undefined, 102)).toEqual({ id: 7, total: 64 * KiB + 11 })
})

test.each([
  ['not known', undefined, 64 * KiB],
  ['that of a thin cable', 100 * KiB, 64 * KiB],
  ['8 MiB/s', 8 * MiB, 512 * KiB],
  ['that of a fast LAN', 500 * MiB, MiB],
])('at a rate that is %s a receipt goes by itself after so many bytes, and after 100 ms', (_, rate, bytes) => {
  const receipts = new Receipts()
  receipts.wantedAs = 7
  receipts.arrived(1)
  receipts.due(true, rate, 0)
  receipts.arrived(bytes - 1)
  expect(receipts.due(false, rate, 99)).toBeUndefined()
  receipts.arrived(1)
  expect(receipts.due(false, rate, 99)).toEqual({ id: 7, total: bytes + 1 })
  receipts.arrived(1)
  expect(receipts.due(false, rate, 198)).toBeUndefined()
  expect(receipts.due(false, rate, 199)).toEqual({ id: 7, total: bytes + 2 })
})
