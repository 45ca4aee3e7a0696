import fc from 'fast-check'
import { expect, test } from 'vitest'
import { KiB } from '../../../src/core/units.ts'
import {
  clientOf,
  decodeExtensionHandshake,
  decodeReceipt,
  encodeExtensionHandshake,
  encodeReceipt,
} from '../../../src/swarm/native/extension.ts'

const silent = { requestQueue: 250, blockBytes: 16 * KiB, client: '' }

test('what one node says the other hears', () => {
  const said = { port: 46_001, requestQueue: 500, blockBytes: 128 * KiB, receiptId: 1, client: 'sigmesh 0.1' }
  expect(decodeExtensionHandshake(encodeExtensionHandshake(said))).toEqual(said)
})

test('a stock client: standard blocks, its own queue', () => {
  const said = decodeExtensionHandshake(
    Buffer.from('d1:md11:ut_metadatai3ee1:pi51413e4:reqqi512e1:v17:Transmission 3.00e'),
  )
  expect(said).toEqual({ port: 51_413, requestQueue: 500, blockBytes: 16 * KiB, client: 'Transmission 3.00' })
})

test.each([
  ['nothing', ''],
  ['no bencoding', 'hello'],
  ['a list', 'le'],
  ['a negative length', 'd-1:xe'],
  ['nesting without end', 'd'.repeat(4000)],
  ['wrong types', 'd1:p1:x4:reqql2:vvee'],
  ['numbers outside', 'd1:pi70000e7:sigmeshi3ee'],
])('%s: as if nothing had been said', (_, text) => {
  expect(decodeExtensionHandshake(Buffer.from(text))).toEqual(silent)
})

test.each([
  [0, 16],
  [-5, 16],
  [16 * KiB - 1, 16],
  [32 * KiB, 32],
  [100 * KiB, 64],
  [128 * KiB, 128],
  [256 * KiB, 256],
  [1e12, 256],
])('a block of %i bytes becomes %i KiB: a power of two between the limits', (block, kib) => {
  const said = decodeExtensionHandshake(Buffer.from(`d7:sigmeshd5:blocki${block}eee`))
  expect(said.blockBytes).toBe(kib * KiB)
})

test('whatever is said, every field is in bounds', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), noise => {
      for (const bytes of [noise, Buffer.concat([Buffer.from('d1:v'), noise])]) {
        const said = decodeExtensionHandshake(bytes)
        expect(said.client).toMatch(/^[\x20-\x7e]{0,40}$/)
        expect(said.requestQueue).toBeGreaterThanOrEqual(1)
      }
    }),
    { seed: 4 },
  )
})

test.each([
  ['-TR3000-abcdefghijkl', 'TR3000'],
  ['A2-1-36-0-abcdefghij', 'A2-1-36-'],
  ['\x00\x1b[31mxxxxxxxxxxxxxxxx', '[31mxx'],
])('the client behind peer id %j', (peerId, client) => {
  expect(clientOf(peerId)).toBe(client)
})

test.each([0, 1, 2 ** 32 - 1])('a receipt for %i bytes is read as it was written', bytes => {
  expect(decodeReceipt(encodeReceipt(bytes))).toBe(bytes)
})

test.each([0, 3, 5])('a receipt of %i bytes is none', length => {
  expect(() => decodeReceipt(Buffer.alloc(length))).toThrow('another length')
})

test.each([0, -1, 256])('receipts under the id %i are not wanted', id => {
  expect(decodeExtensionHandshake(Buffer.from(`d1:md10:sm_receipti${id}eee`)).receiptId).toBeUndefined()
})
