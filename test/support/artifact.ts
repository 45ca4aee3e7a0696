/** An artifact for tests of the swarm: content that follows from a seed, and the torrent of it. */
import { createCipheriv, hash } from 'node:crypto'
import { type Artifact, pieceCount, pieceSize } from '../../src/core/artifact.ts'
import { piecesRoot, sha256, sha256Bytes } from '../../src/core/digest.ts'
import { KiB } from '../../src/core/units.ts'
import { artifactName, makeMetainfo } from '../../src/swarm/metainfo.ts'

const name = artifactName('contract', 1)

export interface ArtifactFixture {
  readonly artifact: Artifact
  readonly content: Buffer
  /** What stock clients call the file. */
  readonly name: string
  /** As the origin serves it. */
  readonly metainfo: Buffer
  /** SHA-256 of each piece, 32 bytes each. */
  readonly pieceHashes: Buffer
}

export interface ArtifactShape {
  /** Bytes. Default: ten pieces and a bit. */
  readonly length?: number
  readonly pieceLength?: number
  /** Other seed, other content, other infohash. */
  readonly seed?: number
}

export function makeArtifact(shape: ArtifactShape = {}): ArtifactFixture {
  const { pieceLength = 32 * KiB, seed = 1 } = shape
  return artifactOf(randomBytes(shape.length ?? pieceLength * 10 + 777, seed), pieceLength)
}

export function artifactOf(content: Buffer, pieceLength: number): ArtifactFixture {
  const layout = { length: content.length, pieceLength }
  const sha1s: Buffer[] = []
  const sha256s: Buffer[] = []
  for (let piece = 0; piece < pieceCount(layout); piece++) {
    const bytes = content.subarray(piece * pieceLength, piece * pieceLength + pieceSize(layout, piece))
    sha1s.push(hash('sha1', bytes, 'buffer'))
    sha256s.push(sha256Bytes(bytes))
  }
  const pieceHashes = Buffer.concat(sha256s)
  const { bytes, infohash } = makeMetainfo({ ...layout, name, sha1s: Buffer.concat(sha1s), sha256s: pieceHashes })
  return {
    artifact: { ...layout, sha256: sha256(content), piecesRoot: piecesRoot(pieceHashes), infohash },
    name,
    content,
    metainfo: bytes,
    pieceHashes,
  }
}

/** The torrent with an announce URL, for clients that find their peers by tracker. */
export function withAnnounce({ metainfo }: ArtifactFixture, url: string): Buffer {
  return Buffer.concat([Buffer.from(`d8:announce${url.length}:${url}`), metainfo.subarray(1)])
}

/** Bytes that do not compress, the same for the same seed. */
export function randomBytes(length: number, seed: number): Buffer {
  const key = sha256Bytes(Buffer.from(`seed ${seed}`)).subarray(0, 16)
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length))
}
