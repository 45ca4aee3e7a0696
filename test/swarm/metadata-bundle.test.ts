import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bundleLimitBytes, readBundle, writeBundle } from '../../src/swarm/metadata-bundle.ts'

const none = new Map<string, Uint8Array>()
const file = (name: string, bytes: string | Uint8Array): ReadonlyMap<string, Uint8Array> =>
  new Map([[name, Buffer.from(bytes as string)]])
const timestamp = file('timestamp.json', '{"signed":{}}')
/** A bundle of nothing but such a file has so many bytes more than the file. */
const frame = '{"timestamp.json":""}'.length

test('what is written is read, byte for byte, whatever is in the files', () => {
  const text = fc.string({ unit: 'binary', maxLength: 300 })
  fc.assert(
    fc.property(text, fc.dictionary(fc.string({ minLength: 1 }), text, { noNullPrototype: true }), (first, rest) => {
      const others = new Map(Object.entries(rest).map(([name, each]) => [`o${name}`, Buffer.from(each)]))
      const bundle = writeBundle(file('timestamp.json', first), others)!
      expect(readBundle(bundle)).toEqual(new Map([['timestamp.json', Buffer.from(first)], ...others]))
    }),
  )
})

describe('what does not fit', () => {
  test.each([
    ['fills it', bundleLimitBytes - frame, true],
    ['is a byte too long', bundleLimitBytes - frame + 1, false],
  ])('a needed file that %s', (_, length, fits) => {
    const bundle = writeBundle(file('timestamp.json', 'x'.repeat(length)), none)
    expect(bundle?.length).toBe(fits ? bundleLimitBytes : undefined)
  })

  test('another file is left out, and those behind it stay', () => {
    const others = new Map([
      ...file('long', 'x'.repeat(bundleLimitBytes)),
      ...file('binary', Uint8Array.of(0xff)),
      ...file('short', '{}'),
    ])
    expect([...readBundle(writeBundle(timestamp, others)!)!.keys()]).toEqual(['timestamp.json', 'short'])
  })

  test('a needed file is no text', () => {
    expect(writeBundle(new Map([...timestamp, ...file('2.root.json', Uint8Array.of(0xc3))]), none)).toBeUndefined()
  })
})

test.each([
  ['nothing', ''],
  ['a page', '<!doctype html><p>Not here'],
  ['a timestamp in its place', '{"signatures":[],"signed":{}}'],
  ['a list', '["timestamp.json"]'],
  ['null', 'null'],
  ['a file that is no text', '{"timestamp.json":"","2.root.json":{}}'],
  ['cut off', '{"timestamp.json":""'],
])('%s is no bundle', (_, text) => {
  expect(readBundle(Buffer.from(text))).toBeUndefined()
})
