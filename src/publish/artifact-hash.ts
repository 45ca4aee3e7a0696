/**
 * Everything that a manifest and a torrent say about an artifact, from one pass over its bytes: the whole SHA-256, and SHA-256 and
 * SHA-1 of each piece.
 */
import { createHash } from 'node:crypto'
import { choosePieceLength } from '../core/artifact.ts'
import { piecesRoot, type Sha256 } from '../core/digest.ts'

export interface ArtifactHashes {
  readonly sha256: Sha256
  /** Bytes. */
  readonly length: number
  readonly pieceLength: number
  readonly piecesRoot: Sha256
  /** 32 bytes a piece, concatenated. */
  readonly sha256s: Uint8Array
  /** 20 bytes a piece, concatenated: what BitTorrent v1 wants. */
  readonly sha1s: Uint8Array
}

export class ArtifactHasher {
  readonly #length: number
  readonly #pieceLength: number
  readonly #whole = createHash('sha256')
  readonly #sha256s: Buffer[] = []
  readonly #sha1s: Buffer[] = []
  #sha256 = createHash('sha256')
  #sha1 = createHash('sha1')
  #inPiece = 0
  #seen = 0

  /** @param length Bytes that will come, 1 or more; the size of the pieces depends on it. */
  constructor(length: number) {
    this.#length = length
    this.#pieceLength = choosePieceLength(length)
  }

  update(bytes: Uint8Array): void {
    this.#whole.update(bytes)
    this.#seen += bytes.length
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + this.#pieceLength - this.#inPiece)
      this.#sha256.update(part)
      this.#sha1.update(part)
      this.#inPiece += part.length
      at += part.length
      if (this.#inPiece === this.#pieceLength) this.#endPiece()
    }
  }

  /** @throws Error when not exactly `length` bytes came: the pieces would be of the wrong size. */
  finish(): ArtifactHashes {
    if (this.#seen !== this.#length) throw new Error(`unreachable: ${this.#seen} of ${this.#length} bytes were hashed`)
    if (this.#inPiece > 0) this.#endPiece()
    const sha256s = Buffer.concat(this.#sha256s)
    return {
      sha256: this.#whole.digest('hex') as Sha256,
      length: this.#length,
      pieceLength: this.#pieceLength,
      piecesRoot: piecesRoot(sha256s),
      sha256s,
      sha1s: Buffer.concat(this.#sha1s),
    }
  }

  #endPiece(): void {
    this.#sha256s.push(this.#sha256.digest())
    this.#sha1s.push(this.#sha1.digest())
    this.#sha256 = createHash('sha256')
    this.#sha1 = createHash('sha1')
    this.#inPiece = 0
  }
}
