/** The wire codec against bytes from anybody: split anywhere, mangled anywhere, never more than one frame in memory. */
import { hash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { KiB } from '../../../src/core/units.ts'
import { BufferPool } from '../../../src/swarm/native/buffer-pool.ts'
import { blockHeadBytes, FrameDecoder } from '../../../src/swarm/native/frame-decoder.ts'
import { FrameWriter, pieceHead } from '../../../src/swarm/native/frame-writer.ts'
import {
  extendedLimitBytes,
  frameLimits,
  id,
  type Message,
  standardBlockBytes,
  WireError,
} from '../../../src/swarm/native/message.ts'
import { uint32 } from '../../support/raw-peer.ts'

const pieces = 19

describe('round trip', () => {
  const index = fc.nat({ max: 0xffffffff })
  const span = fc.record({ piece: index, begin: index, length: index })
  const message: fc.Arbitrary<Message> = fc.oneof(
    fc
      .constantFrom(
        ...(['keepAlive', 'choke', 'unchoke', 'interested', 'notInterested', 'haveAll', 'haveNone'] as const),
      )
      .map(type => ({ type })),
    index.chain(piece => fc.constantFrom('have' as const, 'suggest' as const).map(type => ({ type, piece }))),
    fc.uint8Array({ minLength: 3, maxLength: 3 }).map(bytes => ({ type: 'bitfield' as const, bytes })),
    fc
      .constantFrom('request' as const, 'cancel' as const, 'reject' as const)
      .chain(type => span.map(fields => ({ type, ...fields }))),
    fc.record({ id: fc.nat(255), payload: fc.uint8Array({ maxLength: 40 }) }).map(fields => ({
      type: 'extended' as const,
      ...fields,
    })),
    fc
      .record({ piece: index, begin: index, block: fc.uint8Array({ minLength: 1, maxLength: 64 }) })
      .map(fields => ({ type: 'piece' as const, ...fields })),
  )

  test('what is written is read, however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 8 }), fc.array(fc.nat(500)), (messages, cuts) => {
        const bytes = Buffer.concat(messages.map(encode))
        expect(read(split(bytes, cuts))).toEqual(messages.map(plain))
      }),
      { seed: 1, numRuns: 500 },
    )
  })

  test('a conversation split at every single byte', () => {
    const messages: Message[] = [
      { type: 'bitfield', bytes: Buffer.from([1, 2, 0xe0]) },
      { type: 'keepAlive' },
      { type: 'extended', id: 0, payload: Buffer.from('d1:md0:ee') },
      { type: 'piece', piece: 3, begin: 0, block: Buffer.alloc(100, 7) },
      { type: 'request', piece: 1, begin: 2, length: 3 },
      { type: 'haveAll' },
    ]
    const bytes = Buffer.concat(messages.map(encode))
    for (let cut = 0; cut <= bytes.length; cut++)
      expect(read([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual(messages.map(plain))
    expect(read([...bytes].map(byte => Buffer.of(byte)))).toEqual(messages.map(plain))
  })
})

describe('limits', () => {
  const { shortest, longest } = frameLimits(pieces, standardBlockBytes)

  test('of every type, a byte too many or too few is refused', () => {
    for (let type = 0; type < 256; type++) {
      const [low, high] = [shortest[type]!, longest[type]!]
      expect(() => read([frame(type, high)])).not.toThrow()
      expect(() => read([frame(type, high + 1).subarray(0, 5)])).toThrow(WireError)
      if (low > 1) expect(() => read([frame(type, low - 1)])).toThrow(WireError)
    }
  })

  test('every frame fits into one of our largest blocks', () => {
    expect(Math.max(...longest)).toBe(9 + standardBlockBytes)
    expect(longest[id.extended]).toBe(2 + extendedLimitBytes)
  })

  test.each([0x7fffffff, 0x80000000, 0xffffffff])('a frame of %i bytes is refused at its fifth byte', length => {
    const decoder = new FrameDecoder(pieces, () => {})
    decoder.push(uint32(length))
    expect(() => decoder.push(Buffer.of(id.piece))).toThrow(WireError)
    expect(decoder.held).toBeLessThanOrEqual(5)
  })

  test('a larger block is taken once it was allowed, and no larger one', () => {
    const taken: number[] = []
    const decoder = new FrameDecoder(pieces, message => {
      if (message.type === 'piece') taken.push(message.block.length)
    })
    decoder.allowBlocks(64 * KiB)
    decoder.push(frame(id.piece, 9 + 64 * KiB))
    expect(taken).toEqual([64 * KiB])
    expect(() => decoder.push(frame(id.piece, 10 + 64 * KiB))).toThrow(WireError)
  })
})

test('garbage ends in a WireError or in messages, and holds no more than one frame', () => {
  const heads = fc
    .tuple(fc.constantFrom(0, 1, 2, 4, 5, 13, 9 + 16384, 70_000, 2 ** 31), fc.nat(25))
    .map(([length, type]) => {
      return Buffer.concat([uint32(length), Buffer.of(type)])
    })
  const noise = fc.uint8Array({ maxLength: 60 }).map(bytes => Buffer.from(bytes))
  fc.assert(
    fc.property(fc.array(fc.oneof(heads, noise), { maxLength: 12 }), fc.array(fc.nat(300)), (parts, cuts) => {
      const decoder = new FrameDecoder(pieces, () => {})
      try {
        for (const chunk of split(Buffer.concat(parts), cuts)) {
          decoder.push(chunk)
          expect(decoder.held).toBeLessThan(4 + 9 + standardBlockBytes)
        }
      } catch (error) {
        expect(error).toBeInstanceOf(WireError)
      }
    }),
    { seed: 2, numRuns: 3000 },
  )
})

describe('memory that is lent', () => {
  const largest = 40 * KiB
  const large = fc.constantFrom(standardBlockBytes + 1, 20 * KiB, largest)
  const index = fc.nat({ max: 0xffffffff })
  const blockOf = (length: fc.Arbitrary<number>) =>
    fc
      .record({ piece: index, begin: index, length, fill: fc.nat(255) })
      .map(({ piece, begin, length, fill }) => ({ type: 'piece' as const, piece, begin, block: pattern(length, fill) }))
  const message: fc.Arbitrary<Message> = fc.oneof(
    { weight: 3, arbitrary: blockOf(large) },
    blockOf(fc.integer({ min: 1, max: 40 })),
    fc.constantFrom({ type: 'keepAlive' as const }, { type: 'choke' as const }),
    index.map(piece => ({ type: 'have' as const, piece })),
  )
  /** Reads end anywhere, also where frames do. */
  const reads = fc.array(fc.oneof(fc.constantFrom(1, 4, 5, 9, 13, 13 + largest, 100_000), fc.nat(60_000)), {
    maxLength: 30,
  })

  test('whatever comes, however it is read: every message is right, and what was kept stays as it was', () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 12 }),
        reads,
        fc.array(fc.constantFrom(0, standardBlockBytes + 1, 20 * KiB, largest), { minLength: 1, maxLength: 6 }),
        fc.array(fc.boolean(), { minLength: 1, maxLength: 6 }),
        (messages, lengths, expected, keeping) => {
          const it = new Lab(largest, { expected, keeping })
          it.receive(Buffer.concat(messages.map(encode)), lengths)
          expect(it.heard.map(told)).toEqual(messages.map(told))
          it.check()
        },
      ),
      { seed: 3, numRuns: 300 },
    )
  })

  test('split at every single byte, with and without something before it', () => {
    const block = { type: 'piece', piece: 3, begin: 0, block: pattern(standardBlockBytes + 1, 9) } as const
    for (const before of [[], [{ type: 'have', piece: 1 } as const]]) {
      const messages: Message[] = [...before, block, { type: 'haveAll' }]
      const bytes = Buffer.concat(messages.map(encode))
      for (let cut = 1; cut < bytes.length; cut++) {
        // A byte here and there in the middle of a block is as good as any other.
        if (cut > 40 && cut < bytes.length - 40 && cut % 997 !== 0) continue
        const it = new Lab(block.block.length, { expected: [block.block.length] })
        it.receive(bytes, [cut, bytes.length])
        expect(it.heard).toEqual(messages.map(plain))
        it.check()
      }
    }
  })

  test('a block that was expected is kept without a copy, and so is the one behind a small message', () => {
    const it = new Lab(largest, { expected: [largest] })
    const block = { type: 'piece', piece: 1, begin: 0, block: pattern(largest, 1) } as const
    const bytes = Buffer.concat([encode(block), encode(block), encode({ type: 'have', piece: 4 }), encode(block)])
    it.receive(bytes, Array(20).fill(largest * 2))
    expect(it.kept).toHaveLength(3)
    it.check()
  })

  test('no more than one buffer is lent, and it goes back when nothing is expected any more', () => {
    const it = new Lab(largest, { expected: [largest, largest, 0], keeping: [false] })
    const block = { type: 'piece', piece: 1, begin: 0, block: pattern(largest, 1) } as const
    it.receive(Buffer.concat([block, block, block, block].map(encode)), Array(1000).fill(300))
    expect(it.pool.mostOut).toBe(1)
    it.expectNothing()
    expect([it.decoder.into(), it.pool.out]).toEqual([undefined, 0])
  })

  test.each([0x7fffffff, 0x80000000, 0xffffffff])('a frame of %i bytes is refused at its fifth byte', length => {
    const it = new Lab(largest, { expected: [largest] })
    it.receive(uint32(length), [1, 3])
    expect(() => it.receive(Buffer.of(id.piece), [1])).toThrow(WireError)
  })

  test('a frame that does not fit there is read all the same', () => {
    const many = 50_000 * 8
    const it = new Lab(1 * KiB, { expected: [1 * KiB], pieces: many })
    const bitfield = { type: 'bitfield', bytes: pattern(many / 8, 5) } as const
    it.receive(encode(bitfield), Array(100).fill(700))
    expect(it.heard).toEqual([plain(bitfield)])
  })

  test('stopped, it lends nothing and gives nothing back: a socket may still read', () => {
    const it = new Lab(largest, { expected: [largest] })
    it.receive(encode({ type: 'piece', piece: 0, begin: 0, block: pattern(largest, 1) }).subarray(0, 100), [100])
    it.decoder.stop()
    it.decoder.arrived(5)
    expect([it.decoder.into(), it.heard, it.pool.out]).toEqual([undefined, [], 1])
  })
})

test('stopped in the middle of a chunk, it hands on nothing more', () => {
  let seen = 0
  const decoder = new FrameDecoder(pieces, () => {
    seen++
    decoder.stop()
  })
  decoder.push(Buffer.concat([frame(id.choke, 1), frame(id.choke, 1), frame(id.choke, 1)]))
  expect(seen).toBe(1)
})

test('writing goes on in memory that was given back, and what was taken stays as it was', () => {
  const writer = new FrameWriter()
  writer.have(1)
  const first = writer.take()
  writer.have(2)
  const second = writer.take()
  expect([first, second].map(bytes => bytes.toString('hex'))).toEqual([
    '00000005' + '0400000001',
    '00000005' + '0400000002',
  ])
  writer.reuse(second)
  writer.bare('choke')
  expect(writer.take().toString('hex')).toBe('0000000100')
})

/** A pool that knows what is out, and spoils what it gets back. */
class WatchedPool extends BufferPool {
  readonly kept = new Set<ArrayBufferLike>()
  out = 0
  mostOut = 0

  override take(length?: number): Buffer {
    this.mostOut = Math.max(this.mostOut, ++this.out)
    return super.take(length)
  }

  override give(view: Uint8Array): void {
    expect(this.kept.has(view.buffer)).toBe(false)
    this.out--
    view.fill(0xee)
    super.give(view)
  }
}

/** A decoder, a socket that reads where it is told, and somebody who keeps blocks. */
class Lab {
  readonly heard: Message[] = []
  readonly kept: { block: Uint8Array; copy: Buffer }[] = []
  readonly pool: WatchedPool
  readonly decoder: FrameDecoder
  readonly #common = Buffer.alloc(50_000)
  #expected: readonly number[]
  #asked = 0

  /** @param expected, keeping What is said at the first, second… time, and then from the start again. */
  constructor(largest: number, about: { expected: readonly number[]; keeping?: readonly boolean[]; pieces?: number }) {
    const { keeping = [true] } = about
    this.#expected = about.expected
    this.pool = new WatchedPool(blockHeadBytes + largest, 4)
    const expected = () => this.#expected[Math.floor(this.#asked++ / 3) % this.#expected.length]!
    const hear = (message: Message) => {
      this.heard.push(plain(message))
      if (message.type !== 'piece' || !keeping[this.heard.length % keeping.length]) return
      if (!this.decoder.keep(message.block)) return
      this.kept.push({ block: message.block, copy: Buffer.from(message.block) })
      this.pool.kept.add(message.block.buffer)
    }
    this.decoder = new FrameDecoder(about.pieces ?? pieces, hear, { pool: this.pool, expected })
    this.decoder.allowBlocks(largest)
  }

  expectNothing(): void {
    this.#expected = [0]
  }

  /** @param lengths Of the reads, as far as there is room for them; what is left comes in one. */
  receive(bytes: Buffer, lengths: readonly number[]): void {
    const wanted = [...lengths]
    for (let at = 0; at < bytes.length; ) {
      const lent = this.decoder.into()
      const place = lent ?? this.#common
      const count = Math.min(place.length, Math.max(1, wanted.shift() ?? bytes.length), bytes.length - at)
      place.set(bytes.subarray(at, at + count))
      if (lent) this.decoder.arrived(count)
      else this.decoder.push(place.subarray(0, count))
      this.#common.fill(0xaa)
      at += count
    }
  }

  /** No two have the same memory, and nobody wrote to it. */
  check(): void {
    expect(new Set(this.kept.map(({ block }) => block.buffer)).size).toBe(this.kept.length)
    for (const { block, copy } of this.kept) expect(copy.equals(block)).toBe(true)
  }
}

/** Short, to be compared: a block by its digest. */
function told(message: Message): unknown {
  return message.type === 'piece' ? { ...message, block: hash('sha256', message.block) } : message
}

/** Bytes that are different wherever they are moved. */
function pattern(length: number, first: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, at) => first + at + (at >> 8) * 7))
}

/** Decode `chunks`, keeping copies: the views are gone after the call. */
function read(chunks: readonly Uint8Array[]): Message[] {
  const messages: Message[] = []
  const decoder = new FrameDecoder(pieces, message => messages.push(plain(message)))
  // The memory a chunk came in is used again at once, as sockets do.
  for (const chunk of chunks) {
    const memory = Uint8Array.from(chunk)
    decoder.push(memory)
    memory.fill(0xaa)
  }
  return messages
}

function plain(message: Message): Message {
  if (message.type === 'bitfield') return { ...message, bytes: Buffer.from(message.bytes) }
  if (message.type === 'extended') return { ...message, payload: Buffer.from(message.payload) }
  if (message.type === 'piece') return { ...message, block: Buffer.from(message.block) }
  return message
}

function encode(message: Message): Buffer {
  const writer = new FrameWriter()
  switch (message.type) {
    case 'keepAlive':
      writer.keepAlive()
      break
    case 'have':
      writer.have(message.piece)
      break
    case 'bitfield':
      writer.bitfield(message.bytes)
      break
    case 'request':
    case 'cancel':
    case 'reject':
      writer.block(message.type, message.piece, message.begin, message.length)
      break
    case 'extended':
      writer.extended(message.id, message.payload)
      break
    case 'piece':
      return Buffer.concat([pieceHead(message.piece, message.begin, message.block.length), message.block])
    case 'suggest':
      writer.suggest(message.piece)
      break
    case 'allowedFast':
    case 'ignored':
      throw new Error(`unreachable: we never send ${message.type}`)
    default:
      writer.bare(message.type)
  }
  return writer.take()
}

function frame(type: number, length: number): Buffer {
  return Buffer.concat([uint32(length), Buffer.of(type), Buffer.alloc(Math.max(0, length - 1))])
}

function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  let at = 0
  for (const cut of cuts) {
    chunks.push(bytes.subarray(at, at + cut))
    at = Math.min(bytes.length, at + cut)
  }
  return [...chunks, bytes.subarray(at)]
}
