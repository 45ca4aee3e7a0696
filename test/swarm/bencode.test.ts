import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Bencoded, decode, encode } from '../../src/swarm/bencode.ts'

const value: fc.Arbitrary<Bencoded> = fc.letrec<{ value: Bencoded }>(tie => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.maxSafeInteger(),
    fc.uint8Array({ maxLength: 40 }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc
      .array(fc.tuple(fc.uint8Array({ maxLength: 6 }), tie('value')), { maxLength: 4 })
      .map(entries => new Map(entries.map(([key, item]) => [Buffer.from(key).toString('latin1'), item]))),
  ),
})).value

test('what was encoded is decoded, and encoded to the same bytes again', () => {
  fc.assert(
    fc.property(value, original => {
      const bytes = encode(original)
      expect(encode(decode(bytes))).toEqual(bytes)
    }),
    { seed: 1, numRuns: 300 },
  )
})

test('the examples of BEP 3', () => {
  expect(decode(Buffer.from('i-3e'))).toBe(-3)
  expect(decode(Buffer.from('l4:spam4:eggse'))).toEqual([Buffer.from('spam'), Buffer.from('eggs')])
  expect(decode(Buffer.from('d3:cow3:moo4:spam4:eggse'))).toEqual(
    new Map([
      ['cow', Buffer.from('moo')],
      ['spam', Buffer.from('eggs')],
    ]),
  )
})

describe('refused with a SyntaxError', () => {
  test.each([
    ['nothing', ''],
    ['a negative string length, which runs the usual decoder backwards for ever', 'l-4:'],
    ['a string longer than the data', '5:abc'],
    ['a string length beyond any number', '99999999999999999999:a'],
    ['a number without end', 'i1'],
    ['a number without digits', 'ie'],
    ['minus zero', 'i-0e'],
    ['a leading zero', 'i01e'],
    ['a leading zero in a length', '01:a'],
    ['a plus', 'i+1e'],
    ['a fraction', 'i1.5e'],
    ['a number past 2^53', 'i9007199254740993e'],
    ['a list without end', 'l1:a'],
    ['a dictionary without end', 'd1:a1:b'],
    ['a key without value', 'd1:ae'],
    ['a number as key', 'di1e1:ae'],
    ['keys out of order', 'd1:bi1e1:ai1ee'],
    ['a key twice', 'd1:ai1e1:ai2ee'],
    ['something after the end', 'i1ei2e'],
    ['a letter that starts nothing', 'x'],
  ])('%s', (_, text) => {
    expect(() => decode(Buffer.from(text))).toThrow(SyntaxError)
  })

  test('a hundred thousand lists in each other, without overflowing the stack', () => {
    expect(() => decode(Buffer.from('l'.repeat(100_000)))).toThrow(SyntaxError)
  })

  test('whatever else is no bencoding', () => {
    const grammar = fc.string({
      unit: fc.constantFrom('d', 'l', 'i', 'e', ':', '-', '0', '1', '3', 'a'),
      maxLength: 30,
    })
    fc.assert(
      fc.property(grammar, text => {
        try {
          expect(encode(decode(Buffer.from(text))).toString()).toBe(text)
        } catch (error) {
          expect(error).toBeInstanceOf(SyntaxError)
        }
      }),
      { seed: 2, numRuns: 2000 },
    )
  })
})

test('keys named like properties of every object are just keys', () => {
  const dict = decode(Buffer.from('d9:__proto__i2e11:constructori1ee'))
  expect(dict).toEqual(
    new Map([
      ['__proto__', 2],
      ['constructor', 1],
    ]),
  )
})

test('a number that is not safe is not written', () => {
  expect(() => encode(2 ** 53)).toThrow(RangeError)
  expect(() => encode(1.5)).toThrow(RangeError)
})
