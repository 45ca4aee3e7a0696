import { createHash, hash } from 'node:crypto'

/** 64 lower-case hex digits. */
export type Sha256 = string & { readonly __sha256: unique symbol }

/** 40 lower-case hex digits: the v1 BitTorrent name of an artifact. A name, never a proof. */
export type Infohash = string & { readonly __infohash: unique symbol }

/** @throws TypeError when `text` is not 64 lower-case hex digits. */
export function asSha256(text: string): Sha256 {
  if (!/^[0-9a-f]{64}$/.test(text)) throw new TypeError(`not a SHA-256: ${text.slice(0, 80)}`)
  return text as Sha256
}

/** @throws TypeError when `text` is not 40 lower-case hex digits. */
export function asInfohash(text: string): Infohash {
  if (!/^[0-9a-f]{40}$/.test(text)) throw new TypeError(`not an infohash: ${text.slice(0, 80)}`)
  return text as Infohash
}

export function sha256(bytes: Uint8Array): Sha256 {
  return hash('sha256', bytes, 'hex') as Sha256
}

export function sha256Bytes(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer')
}

/**
 * The Merkle root of an artifact's piece hashes: a binary SHA-256 tree whose leaves are the SHA-256 of each piece, padded with
 * 32 zero bytes to a power of two (the upper part of BEP 52's tree; its lower part, 16 KiB blocks, is not needed because a piece
 * is checked whole). The signed length and piece length fix the number of leaves, so no inner node can pass for a leaf.
 *
 * @param pieceHashes n hashes of 32 bytes, concatenated, n >= 1.
 */
export function piecesRoot(pieceHashes: Uint8Array): Sha256 {
  if (pieceHashes.length === 0 || pieceHashes.length % 32 !== 0)
    throw new TypeError('piece hashes are n times 32 bytes')
  const leaves = pieceHashes.length / 32
  const width = 2 ** Math.ceil(Math.log2(leaves))
  let level = Buffer.alloc(width * 32)
  level.set(pieceHashes)
  while (level.length > 32) {
    const parents = Buffer.alloc(level.length / 2)
    for (let at = 0; at < parents.length; at += 32) {
      parents.set(
        createHash('sha256')
          .update(level.subarray(at * 2, at * 2 + 64))
          .digest(),
        at,
      )
    }
    level = parents
  }
  return level.toString('hex') as Sha256
}
