import fc from 'fast-check'
import { expect, test } from 'vitest'
import { asInfohash } from '../../../src/core/digest.ts'
import {
  encodeHandshake,
  type Handshake,
  HandshakeReader,
  handshakeBytes,
} from '../../../src/swarm/native/handshake.ts'
import { WireError } from '../../../src/swarm/native/message.ts'

const handshake: Handshake = {
  infohash: asInfohash('0123456789abcdef0123456789abcdef01234567'),
  peerId: '-SM0100-abc\xff\x00\x01defghi',
  extended: true,
  fast: false,
}

test('what is written is read, split at every byte, and what follows is left alone', () => {
  const bytes = Buffer.concat([encodeHandshake(handshake), Buffer.from('rest')])
  for (let cut = 0; cut <= bytes.length; cut++) {
    const reader = new HandshakeReader()
    const first = reader.push(bytes.subarray(0, cut))
    const read = first ?? reader.push(bytes.subarray(cut))!
    const behind = bytes.subarray((first ? 0 : cut) + read.consumed)
    expect(read.handshake).toEqual(handshake)
    expect(behind.toString()).toBe('rest')
  }
})

test('each promise has its own bit', () => {
  for (const extended of [true, false])
    for (const fast of [true, false]) {
      const read = new HandshakeReader().push(encodeHandshake({ ...handshake, extended, fast }))
      expect(read?.handshake).toMatchObject({ extended, fast })
    }
})

test('another protocol is refused at its first wrong byte, not when 68 are there', () => {
  const magic = encodeHandshake(handshake).subarray(0, 20)
  for (let at = 0; at < magic.length; at++) {
    const reader = new HandshakeReader()
    expect(reader.push(magic.subarray(0, at))).toBeUndefined()
    expect(() => reader.push(Buffer.of(magic[at]! ^ 0x20))).toThrow(WireError)
  }
})

test('any bytes: a WireError, a handshake, or patience', () => {
  const start = fc.constantFrom(Buffer.alloc(0), encodeHandshake(handshake).subarray(0, 30))
  fc.assert(
    fc.property(start, fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 6 }), (head, chunks) => {
      const reader = new HandshakeReader()
      let fed = 0
      try {
        for (const chunk of [head, ...chunks]) {
          fed += chunk.length
          if (reader.push(chunk)) break
          expect(fed).toBeLessThan(handshakeBytes)
        }
      } catch (error) {
        expect(error).toBeInstanceOf(WireError)
      }
    }),
    { seed: 3, numRuns: 2000 },
  )
})
