import { describe, expect, test } from 'vitest'
import { asInfohash, asSha256 } from '../../src/core/digest.ts'
import { parseRelease, type Release, releaseCustom, targetPath } from '../../src/core/release.ts'

const digest = (digit: string) => asSha256(digit.repeat(64))

const release: Release = {
  channel: 'clamav',
  sequence: 42,
  published: '2026-11-22T12:00:00Z',
  label: 'daily 27810',
  content: digest('0'),
  files: 3,
  unpacked: 61_000_000,
  full: {
    sha256: digest('a'),
    length: 25_165_824,
    pieceLength: 262_144,
    piecesRoot: digest('c'),
    infohash: asInfohash('e'.repeat(40)),
  },
}
const target = { length: release.full.length, sha256: release.full.sha256, custom: releaseCustom(release) }
const path = targetPath('clamav', 42)

test('a release comes back from its target as it was', () => {
  expect(parseRelease('clamav', path, target)).toEqual(release)
})

test('an emergency comes back as one, and no other priority does', () => {
  const emergency: Release = { ...release, priority: 'emergency' }
  const custom = releaseCustom(emergency)
  expect(parseRelease('clamav', path, { ...target, custom })).toEqual(emergency)
  for (const priority of ['high', '', 1, true, null]) {
    const other = { sigmesh: { ...custom.sigmesh, priority } }
    expect(() => parseRelease('clamav', path, { ...target, custom: other })).toThrowError(/not a release/)
  }
})

test.each([
  ['no custom', undefined],
  ['a custom of somebody else', { other: 1 }],
  ['a custom that is a list', []],
  ['an inherited name', Object.create({ sigmesh: {} })],
])("a stranger's target, with %s, is passed over", (_, custom) => {
  expect(parseRelease('clamav', path, { ...target, custom })).toBeUndefined()
})

describe('what claims to be a release and is none is release_malformed', () => {
  const ours = target.custom.sigmesh
  test.each<[string, unknown, Partial<typeof target>?, string?]>([
    ['an unknown format', { ...ours, format: 2 }],
    ['a key too many', { ...ours, command: ['rm'] }],
    ['a key too few', { ...ours, content: undefined }],
    ['sequence 0', { ...ours, sequence: 0 }],
    ['a fraction for a sequence', { ...ours, sequence: 41.5 }],
    ['a piece length that is no power of two', { ...ours, pieceLength: 262_145 }],
    ['a piece length of 8 KiB', { ...ours, pieceLength: 8192 }],
    ['a hash in capitals', { ...ours, content: 'A'.repeat(64) }],
    ['a label of 201 characters', { ...ours, label: 'x'.repeat(201) }],
    ['a time of its own style', { ...ours, published: '2026-11-22 12:00:00' }],
    ['more than 65,536 pieces', { ...ours, pieceLength: 16_384 }, { length: 65_536 * 16_384 + 1 }],
    ['no byte at all', ours, { length: 0 }],
    ['the path of another sequence', ours, {}, targetPath('clamav', 41)],
    ['the path of another channel', ours, {}, targetPath('yara', 42)],
  ])('%s', (_, sigmesh, change = {}, at = path) => {
    const malformed = { ...target, ...change, custom: { sigmesh } }
    expect(() => parseRelease('clamav', at, malformed)).toThrowError(
      expect.objectContaining({ code: 'release_malformed' }),
    )
  })
})
