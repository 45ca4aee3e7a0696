/**
 * Bytes from strangers against all that reads them before anything else does: the frame decoder, the handshake, the extension
 * handshake. Conversations of a corpus are mangled and cut anywhere.
 *
 *   npm run fuzz                        ten minutes, other bytes each time
 *   FUZZ_SECONDS=60 npm run fuzz        as long as that
 *   FUZZ_SEED=7 FUZZ_SECONDS=60 ...     the bytes of a run that failed
 *
 * In the suite: a few thousand conversations, always the same.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { minute, second } from '../../../src/core/units.ts'
import { decodeExtensionHandshake } from '../../../src/swarm/native/extension.ts'
import { FrameDecoder } from '../../../src/swarm/native/frame-decoder.ts'
import { HandshakeReader, handshakeBytes } from '../../../src/swarm/native/handshake.ts'
import { largestBlockBytes, type Message, standardBlockBytes, WireError } from '../../../src/swarm/native/message.ts'
import { queueLimit } from '../../../src/swarm/native/upload.ts'
import { uint32 } from '../../support/raw-peer.ts'
import { handshakes, openings } from './fuzz-corpus.ts'

const seconds = process.env.FUZZ_SECONDS === undefined ? undefined : Number(process.env.FUZZ_SECONDS)
const seed = Number(process.env.FUZZ_SEED ?? (seconds === undefined ? 1 : Math.floor(Math.random() * 2 ** 31)))
/** Of the time: the frames have most to go wrong. */
const shares = { frames: 0.6, handshakes: 0.2, extensions: 0.2 }

function fuzz<T>(what: keyof typeof shares, property: fc.IProperty<T>): void {
  if (seconds === undefined) {
    fc.assert(property, { seed, numRuns: 3000 })
    return
  }
  const options = {
    seed,
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * shares[what] * second,
    markInterruptAsFailure: false,
  }
  const details = fc.check(property, options)
  console.log(`${what}: ${details.numRuns} conversations, seed ${seed}`)
  if (details.failed) throw new Error(fc.defaultReportMessage(details))
}

const limit = { timeout: (seconds ?? 0) * second + 2 * minute }

/** Artifacts of so many pieces: their bitfields have other lengths. */
const pieceCounts = [1, 8, 19, 1000]
const anyId = fc.nat(255)

/** What was begun well and goes on badly: some of its bytes changed, left out, doubled or put in. */
function mangled(corpus: readonly Buffer[]): fc.Arbitrary<Buffer> {
  const change = fc.record({
    at: fc.nat(),
    how: fc.constantFrom('flip', 'cut', 'double', 'insert', 'length'),
    value: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 13, 0x7fffffff, 0x80000000, 0xffffffff)),
  })
  return fc
    .tuple(fc.array(fc.constantFrom(...corpus), { maxLength: 6 }), fc.array(change, { maxLength: 6 }))
    .map(([parts, changes]) => changes.reduce(applied, Buffer.concat(parts)))
}

function applied(bytes: Buffer, { at, how, value }: { at: number; how: string; value: number }): Buffer {
  const place = at % (bytes.length + 1)
  const [head, tail] = [bytes.subarray(0, place), bytes.subarray(place)]
  if (how === 'cut') return Buffer.concat([head, tail.subarray((value % 40) + 1)])
  if (how === 'double') return Buffer.concat([head, tail, tail.subarray(0, 500)])
  if (how === 'insert') return Buffer.concat([head, Buffer.alloc(value % 20, value), tail])
  const other = Buffer.from(bytes)
  if (how === 'length' && place + 4 <= other.length) other.writeUInt32BE(value, place)
  else if (place < other.length) other[place]! ^= value & 0xff || 1
  return other
}

const noise = fc.uint8Array({ maxLength: 80 }).map(bytes => Buffer.from(bytes))
const frame = fc
  .tuple(fc.oneof(fc.nat(200), fc.constantFrom(0, 9 + standardBlockBytes, 2 ** 31)), anyId, noise)
  .map(([length, id, body]) => Buffer.concat([uint32(length), Buffer.of(id), body]))
const cuts = fc.array(fc.oneof(fc.nat(6), fc.nat(20_000)), { maxLength: 30 })

test(
  'frames: messages or a WireError, the same however the bytes are cut, and never more than a frame held',
  limit,
  () => {
    const frames = fc.oneof(
      mangled(openings(19)),
      fc.array(fc.oneof(frame, noise), { maxLength: 10 }).map(Buffer.concat),
    )
    fuzz(
      'frames',
      fc.property(frames, cuts, fc.constantFrom(...pieceCounts), fc.boolean(), (bytes, at, pieces, large) => {
        const blockBytes = large ? largestBlockBytes : standardBlockBytes
        const whole = hear([bytes], pieces, blockBytes)
        expect(hear(split(bytes, at), pieces, blockBytes)).toEqual(whole)
        if (bytes.length < 400)
          expect(hear(split(bytes, Array(bytes.length).fill(1)), pieces, blockBytes)).toEqual(whole)
      }),
    )
  },
)

test('handshakes: one, a WireError, or patience for 68 bytes and no more', limit, () => {
  const bytes = fc.oneof(mangled(handshakes), noise)
  fuzz(
    'handshakes',
    fc.property(bytes, cuts, (said, at) => {
      expect(greet(split(said, at))).toEqual(greet([said]))
    }),
  )
})

test('extension handshakes: every field in bounds, whatever is said', limit, () => {
  const payloads = openings(19)
    .filter(bytes => bytes[4] === 20)
    .map(bytes => bytes.subarray(6))
  fuzz(
    'extensions',
    fc.property(fc.oneof(mangled(payloads), noise), payload => {
      const said = decodeExtensionHandshake(payload)
      expect(said.client).toMatch(/^[\x20-\x7e]{0,40}$/)
      expect(said.requestQueue).toSatisfy(n => Number.isInteger(n) && n >= 1 && n <= queueLimit)
      expect([16, 32, 64, 128, 256].map(kib => kib * 1024)).toContain(said.blockBytes)
      if ('port' in said) expect(said.port).toSatisfy(n => Number.isInteger(n) && n >= 1 && n <= 65_535)
    }),
  )
})

/** What a decoder makes of the chunks: the messages, and whether it ended in a WireError. Anything else that it throws comes out. */
function hear(chunks: readonly Buffer[], pieces: number, blockBytes: number) {
  const heard: string[] = []
  const decoder = new FrameDecoder(pieces, message => heard.push(described(message)))
  if (blockBytes > standardBlockBytes) decoder.allowBlocks(blockBytes)
  const longest = 4 + Math.max(9 + blockBytes, 1 + Math.ceil(pieces / 8))
  try {
    for (const chunk of chunks) {
      // The memory a chunk came in is used again at once, as sockets do.
      const memory = Uint8Array.from(chunk)
      decoder.push(memory)
      memory.fill(0xaa)
      if (decoder.held >= longest) throw new Error(`it holds ${decoder.held} bytes`)
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    heard.push('refused')
  }
  return heard
}

function described(message: Message): string {
  const fields = Object.values(message).map(value =>
    value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
  )
  return fields.join(' ')
}

function greet(chunks: readonly Buffer[]) {
  const reader = new HandshakeReader()
  let fed = 0
  try {
    for (const chunk of chunks) {
      const read = reader.push(chunk)
      if (read) return { handshake: read.handshake, ends: fed + read.consumed }
      fed += chunk.length
      if (fed >= handshakeBytes) throw new Error('it waits for more than a handshake')
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    return 'refused'
  }
  return 'waits'
}

/** @param at Lengths of the chunks; the rest is the last one. */
function split(bytes: Buffer, at: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  let from = 0
  for (const length of at) {
    chunks.push(bytes.subarray(from, from + length))
    from = Math.min(bytes.length, from + length)
  }
  return [...chunks, bytes.subarray(from)]
}
