/**
 * The torrent of an artifact. A v1 torrent that any BitTorrent client reads, private and without a tracker, and beside `info`
 * the SHA-256 of each piece, which such clients pass over:
 *
 *   d
 *     4:info d 6:length i…e  4:name 14:clamav-42.pack  12:piece length i…e  6:pieces <20 bytes a piece>  7:private i1e e
 *     13:pieces sha256 <32 bytes a piece>
 *   e
 *
 * Nothing in it is believed. It is taken when every value equals what the signed manifest says of the artifact: `info` by its
 * infohash and by its values, the SHA-256s by their Merkle root. So it may come from anybody, and can name no path and no host.
 */
import { hash } from 'node:crypto'
import { type Artifact, mostPieces, pieceCount } from '../core/artifact.ts'
import { asInfohash, type Infohash, piecesRoot } from '../core/digest.ts'
import { ContentError } from '../core/errors.ts'
import { channelName } from '../core/schema.ts'
import { type Bencoded, decode, encode, isDict } from './bencode.ts'

const sha1Bytes = 20
const sha256Bytes = 32
/** Room for everything but the hashes: the keys, two numbers and the longest name take under 200 bytes. */
const frameBytes = 1024

/** What the torrent calls the artifact. Clients make a file of that name. */
export function artifactName(channel: string, sequence: number): string {
  return `${channel}-${sequence}.pack`
}

/** The largest torrent that `artifact` can have; whoever fetches one stops there. */
export function metainfoLimitBytes(artifact: Pick<Artifact, 'length' | 'pieceLength'>): number {
  return frameBytes + pieceCount(artifact) * (sha1Bytes + sha256Bytes)
}

export interface MetainfoParts {
  /** `artifactName(...)`. */
  readonly name: string
  readonly length: number
  readonly pieceLength: number
  /** SHA-1 of each piece, 20 bytes each, concatenated. */
  readonly sha1s: Uint8Array
  /** SHA-256 of each piece, 32 bytes each, concatenated. */
  readonly sha256s: Uint8Array
}

/**
 * Make the torrent. The same parts give the same bytes.
 *
 * @throws TypeError when the name is not an artifact's, or the hashes are not as many as the pieces.
 */
export function makeMetainfo(parts: MetainfoParts): { bytes: Buffer; infohash: Infohash } {
  const pieces = pieceCount(parts)
  if (!isArtifactName(parts.name)) throw new TypeError(`not the name of an artifact: ${parts.name}`)
  if (pieces < 1 || pieces > mostPieces) throw new TypeError(`a torrent has 1 to ${mostPieces} pieces, not ${pieces}`)
  if (parts.sha1s.length !== pieces * sha1Bytes || parts.sha256s.length !== pieces * sha256Bytes) {
    throw new TypeError(`expected a SHA-1 and a SHA-256 for each of ${pieces} pieces`)
  }
  const info = new Map<string, Bencoded>([
    ['length', parts.length],
    ['name', Buffer.from(parts.name)],
    ['piece length', parts.pieceLength],
    ['pieces', parts.sha1s],
    ['private', 1],
  ])
  const top = new Map<string, Bencoded>([
    ['info', info],
    ['pieces sha256', parts.sha256s],
  ])
  return { bytes: encode(top), infohash: asInfohash(hash('sha1', encode(info), 'hex')) }
}

export interface Metainfo {
  /** SHA-256 of each piece, 32 bytes each: what a piece store checks against. Proven by the signed root. */
  readonly pieceHashes: Uint8Array
  /** SHA-1 of each piece, 20 bytes each. Names, never a proof. */
  readonly sha1s: Uint8Array
  /** The bencoded `info` dictionary, whose SHA-1 is the infohash. */
  readonly infoBytes: Uint8Array
}

/**
 * Check a torrent from anywhere against the signed artifact.
 *
 * @param name What the torrent has to call the artifact. Default: any name of an artifact.
 * @throws ContentError `pieces_mismatch` for everything that is not this artifact's torrent, however malformed; nothing else.
 */
export function readMetainfo(bytes: Uint8Array, artifact: Artifact, name?: string): Metainfo {
  // Before parsing: a torrent of the wrong size is not worth a look.
  if (bytes.length > metainfoLimitBytes(artifact)) throw mismatch(`it has ${bytes.length} bytes`)
  const pieces = pieceCount(artifact)
  const top = exactKeys(parse(bytes), ['info', 'pieces sha256'])
  const info = exactKeys(top.get('info'), ['length', 'name', 'piece length', 'pieces', 'private'])
  const called = Buffer.from(bytesOf(info.get('name'), 'name')).toString('latin1')
  if (name === undefined ? !isArtifactName(called) : called !== name) throw mismatch('it has another name')
  if (info.get('length') !== artifact.length) throw mismatch('it has another length')
  if (info.get('piece length') !== artifact.pieceLength) throw mismatch('it has another piece length')
  if (info.get('private') !== 1) throw mismatch('it is not private')
  const sha1s = bytesOf(info.get('pieces'), 'pieces', pieces * sha1Bytes)
  const infoBytes = encode(info)
  if (hash('sha1', infoBytes, 'hex') !== artifact.infohash) throw mismatch('it has another infohash')
  const pieceHashes = bytesOf(top.get('pieces sha256'), 'pieces sha256', pieces * sha256Bytes)
  if (piecesRoot(pieceHashes) !== artifact.piecesRoot) throw mismatch('the root of its SHA-256s is another')
  return { pieceHashes, sha1s, infoBytes }
}

/** `<channel>-<sequence>.pack`: lower-case letters, digits and dashes, so nothing that a file system reads its own way. */
function isArtifactName(name: string): boolean {
  const parts = /^(.+)-([1-9][0-9]{0,15})\.pack$/.exec(name)
  return parts !== null && channelName.safeParse(parts[1]).success
}

function parse(bytes: Uint8Array): Bencoded {
  try {
    return decode(bytes)
  } catch (error) {
    if (error instanceof SyntaxError) throw mismatch(error.message)
    throw error
  }
}

function exactKeys(value: Bencoded | undefined, keys: readonly string[]): ReadonlyMap<string, Bencoded> {
  if (isDict(value) && value.size === keys.length && keys.every(key => value.has(key))) return value
  throw mismatch(`it does not have the keys ${keys.join(', ')} and no others`)
}

function bytesOf(value: Bencoded | undefined, key: string, length?: number): Uint8Array {
  if (value instanceof Uint8Array && (length === undefined || value.length === length)) return value
  throw mismatch(`its ${key} are not ${length ?? 'some'} bytes`)
}

function mismatch(detail: string): ContentError {
  return new ContentError('pieces_mismatch', `the torrent is not the one of the signed artifact: ${detail}`)
}
