import { hash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Artifact } from '../../src/core/artifact.ts'
import { piecesRoot, sha256, sha256Bytes } from '../../src/core/digest.ts'
import { ContentError } from '../../src/core/errors.ts'
import { KiB } from '../../src/core/units.ts'
import { type Bencoded, encode } from '../../src/swarm/bencode.ts'
import { artifactName, makeMetainfo, metainfoLimitBytes, readMetainfo } from '../../src/swarm/metainfo.ts'
import { randomBytes } from '../support/artifact.ts'

const pieceLength = 16 * KiB
const content = randomBytes(3 * pieceLength + 5, 1)
const cut = [0, 1, 2, 3].map(piece => content.subarray(piece * pieceLength, (piece + 1) * pieceLength))
const sha1s = Buffer.concat(cut.map(bytes => hash('sha1', bytes, 'buffer')))
const sha256s = Buffer.concat(cut.map(sha256Bytes))
const name = artifactName('clamav', 42)
const parts = { name, length: content.length, pieceLength, sha1s, sha256s }
const { bytes: torrent, infohash } = makeMetainfo(parts)
const piecesRootOfIt = piecesRoot(sha256s)
const artifact: Artifact = {
  sha256: sha256(content),
  length: content.length,
  pieceLength,
  piecesRoot: piecesRootOfIt,
  infohash,
}

test('a torrent is literally what BEP 3 says, and carries the SHA-256s beside it', () => {
  const info = Buffer.concat([
    Buffer.from(`d6:lengthi${content.length}e4:name14:clamav-42.pack12:piece lengthi16384e6:pieces80:`),
    sha1s,
    Buffer.from('7:privatei1ee'),
  ])
  const whole = Buffer.concat([
    Buffer.from('d4:info'),
    info,
    Buffer.from('13:pieces sha256128:'),
    sha256s,
    Buffer.from('e'),
  ])
  expect(torrent).toEqual(whole)
  expect(infohash).toBe(hash('sha1', info, 'hex'))
  expect(makeMetainfo(parts).bytes).toEqual(torrent)
})

test('what was made is read', () => {
  const read = readMetainfo(torrent, artifact, name)
  expect(Buffer.from(read.pieceHashes)).toEqual(sha256s)
  expect(Buffer.from(read.sha1s)).toEqual(sha1s)
  expect(hash('sha1', read.infoBytes, 'hex')).toBe(infohash)
})

test.each([
  ['a name of another grammar', { ...parts, name: '../clamav-1.pack' }],
  ['a SHA-1 short', { ...parts, sha1s: sha1s.subarray(20) }],
  ['a SHA-256 too many', { ...parts, sha256s: Buffer.concat([sha256s, sha256s.subarray(32)]) }],
  ['no piece', { ...parts, length: 0, sha1s: Buffer.of(), sha256s: Buffer.of() }],
])('%s: no torrent is made', (_, wrong) => {
  expect(() => makeMetainfo(wrong)).toThrow(TypeError)
})

describe('hostile torrents: pieces_mismatch and nothing else', () => {
  /** A torrent with some keys changed, canonical again, and with the infohash signed for it when `signed`. */
  function altered(info: Record<string, Bencoded | undefined>, top: Record<string, Bencoded | undefined> = {}) {
    const dict = (entries: Record<string, Bencoded | undefined>) =>
      new Map(Object.entries(entries).filter((entry): entry is [string, Bencoded] => entry[1] !== undefined))
    const original = {
      length: content.length,
      name: Buffer.from(name),
      'piece length': pieceLength,
      pieces: sha1s,
      private: 1,
    }
    const infoDict = dict({ ...original, ...info })
    const bytes = encode(dict({ info: infoDict, 'pieces sha256': sha256s, ...top }))
    // As if the publisher had signed it: only the values can give it away now.
    const signed = { ...artifact, infohash: hash('sha1', encode(infoDict), 'hex') as Artifact['infohash'] }
    return { bytes, signed }
  }

  test.each<[string, Record<string, Bencoded | undefined>]>([
    ['a negative length', { length: -1 }],
    ['a huge length', { length: Number.MAX_SAFE_INTEGER }],
    ['a length as text', { length: Buffer.from('49157') }],
    ['a piece length of 0', { 'piece length': 0 }],
    ['a negative piece length', { 'piece length': -16384 }],
    ['a piece length that is no power of two', { 'piece length': 16385 }],
    ['a name with NUL', { name: Buffer.from('clamav-42.pack\0') }],
    ['a name that climbs', { name: Buffer.from('../../etc/passwd') }],
    ['a reserved name', { name: Buffer.from('con') }],
    ['a name that is a list', { name: [Buffer.from(name)] }],
    ['files', { files: [], length: undefined }],
    ['files beside a length', { files: [new Map<string, Bencoded>([['length', 1]])] }],
    ['only a v2 file tree', { 'file tree': new Map(), 'meta version': 2, pieces: undefined, length: undefined }],
    ['not private', { private: 0 }],
    ['private twice as much', { private: 2 }],
    ['no pieces', { pieces: undefined }],
    ['a piece short', { pieces: sha1s.subarray(20) }],
  ])('%s', (_, info) => {
    const { bytes, signed } = altered(info)
    expect(() => readMetainfo(bytes, signed)).toThrow(pieceMismatch)
  })

  test.each<[string, Record<string, Bencoded | undefined>]>([
    ['an announce URL', { announce: Buffer.from('http://127.0.0.1/') }],
    ['a web seed', { 'url-list': [Buffer.from('http://169.254.169.254/')] }],
    ['no SHA-256s', { 'pieces sha256': undefined }],
    ['a SHA-256 short', { 'pieces sha256': sha256s.subarray(32) }],
    ['other SHA-256s', { 'pieces sha256': Buffer.alloc(sha256s.length) }],
    ['an info that is a string', { info: Buffer.from('info') }],
  ])('%s', (_, top) => {
    const { bytes, signed } = altered({}, top)
    expect(() => readMetainfo(bytes, signed)).toThrow(pieceMismatch)
  })

  test('the unaltered one is taken, so the cases above fail for their own reason', () => {
    const { bytes, signed } = altered({})
    expect(readMetainfo(bytes, signed, name).sha1s).toHaveLength(80)
  })

  test('the torrent of another release of the same content', () => {
    expect(() => readMetainfo(torrent, artifact, artifactName('clamav', 43))).toThrow(pieceMismatch)
  })

  test('a torrent of exactly the limit is parsed, one byte more is not looked at', () => {
    const limit = metainfoLimitBytes(artifact)
    expect(() => readMetainfo(Buffer.alloc(limit, 'l'), artifact)).toThrow(/nested/)
    expect(() => readMetainfo(Buffer.alloc(limit + 1, 'l'), artifact)).toThrow(/bytes/)
  })

  test('the largest artifact has a torrent within its limit', () => {
    const pieces = 65_536
    const largest = { name: artifactName('c'.repeat(64), 2 ** 53 - 1), length: pieces * pieceLength, pieceLength }
    const hashes = { sha1s: Buffer.alloc(pieces * 20), sha256s: Buffer.alloc(pieces * 32) }
    expect(makeMetainfo({ ...largest, ...hashes }).bytes.length).toBeLessThanOrEqual(metainfoLimitBytes(largest))
  })

  test('cut off, overwritten or extended anywhere', () => {
    const where = fc.nat(torrent.length - 1)
    const mutation = fc.oneof(
      where.map(at => torrent.subarray(0, at)),
      fc.tuple(where, fc.integer({ min: 1, max: 255 })).map(([at, flip]) => {
        const changed = Buffer.from(torrent)
        changed[at]! ^= flip
        return changed
      }),
      fc
        .tuple(where, fc.uint8Array({ minLength: 1, maxLength: 20 }))
        .map(([at, extra]) => Buffer.concat([torrent.subarray(0, at), extra, torrent.subarray(at)])),
    )
    fc.assert(
      fc.property(mutation, bytes => {
        // An insertion can, by chance, shift a run of equal bytes onto itself.
        fc.pre(!bytes.equals(torrent))
        expect(() => readMetainfo(bytes, artifact)).toThrow(pieceMismatch)
      }),
      { seed: 3, numRuns: 2000 },
    )
  })

  test('anything at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
        expect(() => readMetainfo(bytes, artifact)).toThrow(pieceMismatch)
      }),
      { seed: 4, numRuns: 1000 },
    )
  })
})

const pieceMismatch = expect.objectContaining({ constructor: ContentError, code: 'pieces_mismatch' })
