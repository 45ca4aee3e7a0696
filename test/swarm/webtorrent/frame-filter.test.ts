import fc from 'fast-check'
import { expect, test } from 'vitest'
import { KiB } from '../../../src/core/units.ts'
import { FrameError, FrameFilter } from '../../../src/swarm/webtorrent/frame-filter.ts'
import { uint32 } from '../../support/raw-peer.ts'

const infohash = 'ab'.repeat(20)
const layout = { length: 10 * 32 * KiB + 5, pieceLength: 32 * KiB } // eleven pieces
const magic = Buffer.from('\x13BitTorrent protocol', 'latin1')

const handshake = (reserved = '0000000000000000', hash = infohash) =>
  Buffer.concat([magic, Buffer.from(reserved, 'hex'), Buffer.from(hash, 'hex'), Buffer.alloc(20, 'p')])
const frame = (kind: number, ...parts: (number | Buffer)[]) => {
  const body = Buffer.concat([Buffer.of(kind), ...parts.map(part => (typeof part === 'number' ? uint32(part) : part))])
  return Buffer.concat([uint32(body.length), body])
}

function filter() {
  const passed: Uint8Array[] = []
  const requests: string[] = []
  const clients: string[] = []
  const subject = new FrameFilter({
    layoutOf: hash => (hash === infohash ? layout : undefined),
    pass: bytes => passed.push(Buffer.from(bytes)),
    request: message => requests.push(message.toString('hex')),
    cancel: message => requests.push(message.toString('hex')),
    client: name => clients.push(Buffer.from(name).toString('latin1')),
  })
  const seen = () => ({ passed: Buffer.concat(passed).toString('hex'), requests, clients })
  return { subject, seen }
}

const block = Buffer.alloc(16 * KiB, 'b')
const goodTalk = Buffer.concat([
  handshake('ffffffffffffffff'),
  frame(20, Buffer.from('\0d1:md11:ut_metadatai3ee4:reqqi9999e1:v3:abce', 'latin1')),
  frame(5, Buffer.from('ffe0', 'hex')),
  frame(9, Buffer.from('1ae1', 'hex')),
  uint32(0),
  frame(1),
  frame(6, 3, 16 * KiB, 16 * KiB),
  frame(20, Buffer.from('\x03d8:msg_typei0e5:piecei0ee', 'latin1')),
  frame(4, 10),
  frame(99, Buffer.alloc(50)),
  frame(7, 0, 0, block),
  frame(8, 3, 16 * KiB, 16 * KiB),
])

test('what webtorrent needs passes, what it does not need does not, the rest is rewritten', () => {
  const { subject, seen } = filter()
  subject.feed(goodTalk)
  expect(seen()).toEqual({
    passed: Buffer.concat([
      handshake('0000000000100004'),
      frame(20, Buffer.from('\0d4:reqqi500ee', 'latin1')),
      frame(5, Buffer.from('ffe0', 'hex')),
      uint32(0),
      frame(1),
      frame(4, 10),
      frame(7, 0, 0, block),
    ]).toString('hex'),
    requests: [frame(6, 3, 16 * KiB, 16 * KiB), frame(8, 3, 16 * KiB, 16 * KiB)].map(bytes => bytes.toString('hex')),
    clients: ['abc'],
  })
})

test('wherever the network cuts, the same passes', () => {
  const whole = filter()
  whole.subject.feed(goodTalk)
  const cuts = fc.array(fc.integer({ min: 0, max: goodTalk.length }), { maxLength: 40 })
  fc.assert(
    fc.property(cuts, at => {
      const { subject, seen } = filter()
      const edges = [0, ...at.sort((a, b) => a - b), goodTalk.length]
      for (let edge = 1; edge < edges.length; edge++) subject.feed(goodTalk.subarray(edges[edge - 1], edges[edge]))
      expect(seen()).toEqual(whole.seen())
    }),
    { seed: 11, numRuns: 200 },
  )
})

test('byte by byte, the same passes', () => {
  const [whole, dripped] = [filter(), filter()]
  const talk = goodTalk.subarray(0, 400)
  whole.subject.feed(talk)
  for (const byte of talk) dripped.subject.feed(Buffer.of(byte))
  expect(dripped.seen()).toEqual(whole.seen())
})

test.each([
  ['a wrong first byte', Buffer.from('G')],
  ['a wrong last byte of the greeting', Buffer.from('\x13BitTorrent protocoL', 'latin1')],
  ['an artifact that is not joined', handshake(undefined, 'cd'.repeat(20))],
])('%s is refused', (_what, bytes) => {
  expect(() => filter().subject.feed(bytes)).toThrow(FrameError)
})

test.each([
  ['a length of 2 GiB', uint32(2 ** 31)],
  ['a length a byte past the largest message', uint32(16 * KiB + 10)],
  ['a choke with a body', frame(0, 1)],
  ['a have of piece 11 of 11', frame(4, 11)],
  ['a have of 5 bytes', frame(4, 1, Buffer.of(1))],
  ['a short bitfield', frame(5, Buffer.of(0xff))],
  ['a long bitfield', frame(5, Buffer.alloc(3))],
  ['a bitfield with a spare bit', frame(5, Buffer.from('fff0', 'hex'))],
  ['a request past the piece', frame(6, 0, 32 * KiB - 1, 2)],
  ['a request past the last, short piece', frame(6, 10, 0, 6)],
  ['a request of nothing', frame(6, 0, 0, 0)],
  ['a request whose end wraps around', frame(6, 0, 2 ** 32 - 1, 2)],
  ['an empty block', frame(7, 0, 0)],
  ['a block of no piece', frame(7, 11, 0, block)],
  ['a block past its piece', frame(7, 0, 16 * KiB + 1, block)],
  ['an allowed-fast of no piece', frame(17, 2 ** 32 - 1)],
])('%s is refused', (_what, bytes) => {
  const { subject, seen } = filter()
  subject.feed(handshake())
  const before = seen().passed
  expect(() => subject.feed(bytes)).toThrow(FrameError)
  expect(seen().passed).toBe(before)
})

test.each([
  '',
  '\0',
  '\0d',
  '\0le',
  '\0i1e',
  '\0de',
  '\0d1:vi1ee',
  '\0d4:reqqi-5ee',
  '\0d4:reqqi0ee',
  `\0${'l'.repeat(9000)}`,
])('an extended message of %j ends nothing and reaches webtorrent as a plain one at most', text => {
  const { subject, seen } = filter()
  subject.feed(handshake())
  subject.feed(frame(20, Buffer.from(text, 'latin1')))
  const plain = frame(20, Buffer.from('\0d4:reqqi250ee', 'latin1')).toString('hex')
  expect(['', plain]).toContain(seen().passed.slice(68 * 2))
})

test('whatever comes, it ends in a FrameError or passes, and little is kept', () => {
  const message = fc
    .tuple(fc.integer({ min: 0, max: 25 }), fc.uint8Array({ maxLength: 30 }))
    .map(([kind, body]) => frame(kind, Buffer.from(body)))
  const noise = fc.uint8Array({ maxLength: 100 }).map(bytes => Buffer.from(bytes))
  fc.assert(
    fc.property(fc.array(fc.oneof(message, message, noise), { maxLength: 20 }), chunks => {
      const { subject } = filter()
      subject.feed(handshake())
      try {
        for (const chunk of chunks) subject.feed(chunk)
      } catch (error) {
        expect(error).toBeInstanceOf(FrameError)
      }
    }),
    { seed: 12, numRuns: 2000 },
  )
})
