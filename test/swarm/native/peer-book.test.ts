import { expect, test } from 'vitest'
import { minute, second } from '../../../src/core/units.ts'
import { PeerBook } from '../../../src/swarm/native/peer-book.ts'
import { allowNetworks } from '../../../src/swarm/networks.ts'

const bookOf = () => new PeerBook(allowNetworks(['10.0.0.0/8', 'fd00::/8']))
const at = (last: number, port = 46_001) => ({ host: `10.0.0.${last}`, port })
const none = () => false

test('only addresses in our networks are ever dialled, in whatever spelling they come', () => {
  const book = bookOf()
  const elsewhere = [
    '8.8.8.8',
    '127.0.0.1',
    '169.254.169.254',
    '::1',
    '::ffff:8.8.8.8',
    'fe80::1',
    'localhost',
    '10.1',
    '',
  ]
  book.add(
    elsewhere.map(host => ({ host, port: 46_001 })),
    0,
  )
  for (const port of [0, -1, 65_536, 1.5, Number.NaN]) book.add([at(1, port)], 0)
  expect(book.next(0, none)).toBeUndefined()
  book.add([{ host: '::ffff:10.0.0.9', port: 1 }, at(9, 1), { host: 'fd00:0::1', port: 2 }], 0)
  expect([book.next(0, none), book.next(0, none), book.next(0, none)]).toEqual([
    { host: '10.0.0.9', port: 1 },
    { host: 'fd00::1', port: 2 },
    undefined,
  ])
})

test('it says whether somebody is still to be dialled again', () => {
  const book = bookOf()
  book.add([at(1)], 0)
  expect(book.retrying).toBe(false) // to be dialled, and not again
  let now = 0
  for (let dials = 1; dials <= 8; dials++) {
    const address = book.next(now, none)!
    expect(book.retrying).toBe(false) // under way
    book.failed(address, now)
    expect(book.retrying).toBe(dials < 8)
    now += minute
  }
})

test('an address that fails is tried again after a growing pause, and given up in the end', () => {
  const book = bookOf()
  book.add([at(1)], 0)
  let now = 0
  const pauses: number[] = []
  for (let tries = 0; tries < 20 && now < 60 * minute; tries++) {
    const since = now
    while (!book.next(now, none) && now - since < 5 * minute) now += second
    if (now - since >= 5 * minute) break
    pauses.push(now - since)
    book.failed(at(1), now)
  }
  expect(pauses).toEqual([0, 1, 2, 4, 8, 16, 32, 60].map(seconds => seconds * second))
  book.add([at(1)], now) // named anew, it gets another chance
  expect(book.next(now, none)).toEqual(at(1))
})

test('after a useful connection it is tried again soon', () => {
  const book = bookOf()
  book.add([at(1)], 0)
  for (let round = 0; round < 20; round++) {
    expect(book.next(round * 2 * second, none)).toEqual(at(1))
    expect(book.next(round * 2 * second, none)).toBeUndefined()
    book.ended(at(1), round * 2 * second)
  }
})

test('the third strike bans the address, on every port and for good', () => {
  const book = bookOf()
  book.add([at(1, 1), at(1, 2), at(2, 1)], 0)
  expect([1, 2, 3].map(() => book.strike('10.0.0.1'))).toEqual([false, false, true])
  expect([book.welcome('10.0.0.1'), book.welcome('10.0.0.2')]).toEqual([false, true])
  book.add([at(1, 3)], 0)
  expect([book.next(0, none), book.next(0, none)]).toEqual([at(2, 1), undefined])
})

test('all have their turn, and who is to be skipped is', () => {
  const book = bookOf()
  book.add(
    [1, 2, 3].map(last => at(last)),
    0,
  )
  expect(book.next(0, ({ host }) => host === '10.0.0.1')).toEqual(at(2))
  book.ended(at(2), -second)
  expect([book.next(0, none), book.next(0, none), book.next(0, none)]).toEqual([at(1), at(3), at(2)])
})

test('where we met ourselves we do not go again', () => {
  const book = bookOf()
  book.add([at(1)], 0)
  book.own(at(1))
  book.add([at(1)], 0)
  expect(book.next(0, none)).toBeUndefined()
})

test('a list without end is known up to a thousand addresses', () => {
  const book = bookOf()
  for (let high = 0; high < 20; high++)
    book.add(
      Array.from({ length: 256 }, (_, low) => ({ host: `10.1.${high}.${low}`, port: 1 })),
      0,
    )
  let known = 0
  while (book.next(0, none)) known++
  expect(known).toBe(1000)
})
