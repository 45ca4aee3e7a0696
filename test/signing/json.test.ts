/** JSON that two readers could read differently, and JSON that is no metadata: refused with one code, never a crash. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TrustError } from '../../src/core/errors.ts'
import { canonicalJson } from '../../src/signing/canonical-json.ts'
import { deepestJson, type JsonValue, parseJson } from '../../src/signing/json.ts'
import { type Kind, readMetadata } from '../../src/signing/metadata.ts'
import { mostSignatures, ourRules, tufRules } from '../../src/signing/rules.ts'
import { TrustRepository } from '../support/trust-repository.ts'

const parse = (text: string | Uint8Array) => parseJson(typeof text === 'string' ? Buffer.from(text) : text)
const codeOf = (action: () => unknown): unknown => {
  try {
    return action()
  } catch (error) {
    if (error instanceof TrustError) return error.code
    throw error
  }
}
const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)

describe('22: ambiguous JSON', () => {
  test.each([
    ['a key twice', '{"a":1,"a":1}'],
    ['a key twice, once escaped', '{"a":1,"\\u0061":2}'],
    ['__proto__ twice', '{"__proto__":1,"__proto__":1}'],
    ['a float', '1.0'],
    ['an exponent', '1e3'],
    ['2^53', '9007199254740992'],
    ['-2^53', '-9007199254740992'],
    ['a number of thirty digits', '1'.repeat(30)],
    ['minus zero', '-0'],
    ['a leading zero', '01'],
    ['a plus', '+1'],
    ['a dot alone', '.5'],
    ['hexadecimal', '0x10'],
    ['NaN', 'NaN'],
    ['Infinity', '-Infinity'],
    ['a lone high surrogate', '"\\ud800"'],
    ['a lone low surrogate', '"\\udc00"'],
    ['surrogates the wrong way round', '"\\udc00\\ud800"'],
    ['a surrogate as a key', '{"\\ud800":1}'],
    ['a surrogate in raw UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    ['overlong UTF-8', Buffer.from([0x22, 0xc0, 0xaf, 0x22])],
    ['UTF-16', Buffer.from('{}', 'utf16le')],
    ['a byte order mark', '\ufeff{}'],
    ['a raw control character', '"\n"'],
    ['a raw NUL', '"\0"'],
    ['an unknown escape', '"\\x41"'],
    ['half an escape', '"\\u00"'],
    ['a comma at the end of an object', '{"a":1,}'],
    ['a comma at the end of an array', '[1,]'],
    ['a comment', '{}//'],
    ['single quotes', "{'a':1}"],
    ['a key without quotes', '{a:1}'],
    ['two values', '{}{}'],
    ['NUL after the end', '{}\0'],
    ['a no-break space', '\u00a0{}'],
    ['nothing', ''],
    ['white space only', ' \n'],
    ['an end in the middle', '{"a":[1'],
    ['one level too deep', nested(deepestJson + 1)],
    ['a hundred thousand levels', '['.repeat(100_000)],
    ['a string of megabytes', `"${'a'.repeat(4_000_000)}"`],
    ['a string of megabytes of escapes', `"${'\\n'.repeat(2_000_000)}"`],
  ])('%s', (_, text) => {
    expect(codeOf(() => parse(text))).toBe('metadata_malformed')
  })

  test.each([
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    ['-9007199254740991', Number.MIN_SAFE_INTEGER],
    ['0', 0],
    [' [ ] ', []],
    ['"\\ud83d\\ude00\\u0000\\/"', '😀\0/'],
    ['"\u007f\u2028"', '\u007f\u2028'],
    ['[null,true,false,"",-1]', [null, true, false, '', -1]],
  ])('%s is read', (text, value) => {
    expect(parse(text)).toEqual(value)
  })

  test('the deepest nesting that is allowed is read', () => {
    expect(JSON.stringify(parse(nested(deepestJson)))).toBe(nested(deepestJson))
  })

  test('names of the prototype are keys like any other', () => {
    const value = parse('{"__proto__":{"a":1},"constructor":2}') as Record<string, JsonValue>
    expect(Object.keys(value)).toEqual(['__proto__', 'constructor'])
    expect('a' in value).toBe(false)
    expect('toString' in value).toBe(false)
  })

  test('bytes of any kind: a value that JSON.parse reads too, or the one code', () => {
    const bytes = fc.oneof(
      fc.uint8Array(),
      fc.json().map(text => Buffer.from(text)),
      fc.string().map(text => Buffer.from(text)),
    )
    fc.assert(
      fc.property(bytes, input => {
        const value = codeOf(() => parse(input))
        if (value === 'metadata_malformed') return
        expect(JSON.stringify(value)).toBe(JSON.stringify(JSON.parse(Buffer.from(input).toString())))
      }),
      { seed: 22, numRuns: 500 },
    )
  })
})

describe('canonical JSON', () => {
  test.each([
    [{ b: 1, a: [true, null, -7] }, '{"a":[true,null,-7],"b":1}'],
    ['"\\\n/é😀', '"\\"\\\\\n/é😀"'],
    // In UTF-16 order the second key would come first.
    [{ '\u{1f600}': 1, '\uff5e': 2 }, '{"\uff5e":2,"\u{1f600}":1}'],
    [{ a: 1, A: 2, '': 3, aa: 4 }, '{"":3,"A":2,"a":1,"aa":4}'],
  ])('%j', (value, text) => {
    expect(Buffer.from(canonicalJson(value)).toString()).toBe(text)
  })

  test('has no floats and no numbers that some readers would round', () => {
    for (const number of [1.5, Number.NaN, Infinity, 2 ** 53]) expect(() => canonicalJson([number])).toThrow(TypeError)
  })

  test('the order of keys in a file does not change what is signed', () => {
    const object = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.oneof(fc.integer(), fc.string()))
    fc.assert(
      fc.property(object, value => {
        const backwards = Object.fromEntries(Object.entries(value).reverse())
        expect(canonicalJson(backwards)).toEqual(canonicalJson(value))
      }),
      { seed: 5, numRuns: 100 },
    )
  })
})

describe('21: valid JSON that is not our metadata', () => {
  const kinds: Kind[] = ['root', 'timestamp', 'snapshot', 'targets']
  const read = (kind: Kind, value: unknown, rules = ourRules) =>
    codeOf(() => readMetadata(kind, 'x.json', Buffer.from(JSON.stringify(value)), rules) && 'read')

  test('any JSON at all, as an envelope and inside one', () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.constantFrom(...kinds),
        fc.constantFrom(ourRules, tufRules),
        (value, kind, rules) => {
          expect(read(kind, value, rules)).toBe('metadata_malformed')
          expect(read(kind, { signatures: [], signed: value }, rules)).toBe('metadata_malformed')
          expect(read(kind, { signatures: value, signed: {} }, rules)).toBe('metadata_malformed')
        },
      ),
      { seed: 21, numRuns: 100 },
    )
  })

  test('good metadata with any one of its values replaced: read, or the one code', () => {
    const repository = new TrustRepository()
    const files: [Kind, string][] = [
      ['root', '1.root.json'],
      ['timestamp', 'timestamp.json'],
      ['snapshot', '1.snapshot.json'],
      ['targets', '1.targets.json'],
    ]
    const evil = fc.oneof(
      fc.constantFrom(null, -1, 0, '', '__proto__', [], {}, [[]], 2 ** 53 - 1, true),
      fc.jsonValue(),
    )
    fc.assert(
      fc.property(fc.constantFrom(...files), fc.nat(), evil, ([kind, name], at, value) => {
        const text = Buffer.from(repository.files.get(name)!).toString()
        const places = [...text.matchAll(/(?<=: )("[^"]*"|\d+|true|\{(?=\n))/g)]
        const place = places[at % places.length]!
        if (place[0] === '{') return
        const changed = text.slice(0, place.index) + JSON.stringify(value) + text.slice(place.index + place[0].length)
        expect(['read', 'metadata_malformed']).toContain(
          codeOf(() => readMetadata(kind, name, Buffer.from(changed)) && 'read'),
        )
      }),
      { seed: 7, numRuns: 300 },
    )
  })

  test('metadata of one kind does not pass for another', () => {
    const repository = new TrustRepository()
    for (const kind of kinds) {
      for (const name of ['1.root.json', 'timestamp.json', '1.snapshot.json', '1.targets.json']) {
        const outcome = codeOf(() => readMetadata(kind, name, repository.files.get(name)!) && 'read')
        expect(outcome).toBe(name.includes(kind) ? 'read' : 'metadata_malformed')
      }
    }
  })

  test.each(['1.0', '1.0.0', '1.0.34'])('specification %s is known', spec_version => {
    const signed = { ...new TrustRepository().signed('timestamp.json'), spec_version }
    expect(read('timestamp', { signatures: [], signed })).toBe('read')
  })

  test.each(['1', '1.1', '1.1.0', '2.0.0', '1.0.', '1.0.0.0', '01.0', '1.0-rc', '', 1])(
    'specification %j is not',
    spec_version => {
      const signed = { ...new TrustRepository().signed('timestamp.json'), spec_version }
      expect(read('timestamp', { signatures: [], signed })).toBe('metadata_malformed')
    },
  )

  test.each([
    [mostSignatures, 'read'],
    [mostSignatures + 1, 'metadata_malformed'],
    [10_000, 'metadata_malformed'],
  ])('16: %d signatures', (count, outcome) => {
    const signatures = Array.from({ length: count }, (_, at) => ({ keyid: at.toString(16).padStart(64, '0'), sig: '' }))
    const signed = new TrustRepository().signed('timestamp.json')
    expect(read('timestamp', { signatures, signed })).toBe(outcome)
  })
})

test('bytes that were read before and changed in place are read anew', () => {
  const repository = new TrustRepository()
  repository.publish([1])
  const bytes = Buffer.from(repository.files.get('timestamp.json')!)
  const before = readMetadata('timestamp', 'timestamp.json', bytes)
  expect(readMetadata('timestamp', 'timestamp.json', bytes)).toBe(before)
  expect(codeOf(() => readMetadata('snapshot', 'snapshot.json', bytes))).toBe('metadata_malformed')
  bytes[bytes.indexOf('2026')]! += 1
  expect(readMetadata('timestamp', 'timestamp.json', bytes).payload).not.toEqual(before.payload)
})
