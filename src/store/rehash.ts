/**
 * What is on the disk, hashed again: the disk is trusted no more than a peer is. Memory is one chunk, and the event loop is held for
 * the hash of one chunk (about a millisecond) at a time, however large the artifact.
 */
import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { type PieceLayout, pieceCount, pieceSize } from '../core/artifact.ts'
import { Bitfield } from '../core/bitfield.ts'
import type { Sha256 } from '../core/digest.ts'
import { readBuffer } from '../core/read-buffer.ts'
import { MiB } from '../core/units.ts'
import { readAt } from './file-bytes.ts'

const chunkBytes = MiB

/** The 32 bytes that piece `index` must hash to. */
export function pieceHash(pieceHashes: Uint8Array, index: number): Uint8Array {
  return pieceHashes.subarray(index * 32, index * 32 + 32)
}

/**
 * The whole file's SHA-256, when it has exactly `length` bytes; undefined when it has more or fewer.
 * An aborted `signal` rejects with its reason.
 */
export async function hashFile(handle: FileHandle, length: number, signal?: AbortSignal): Promise<Sha256 | undefined> {
  if ((await handle.stat()).size !== length) return undefined
  const digest = await hashRange(handle, 0, length, readBuffer(Math.min(chunkBytes, length)), signal)
  return digest?.toString('hex') as Sha256 | undefined
}

/**
 * Which of `candidates` the file really holds.
 *
 * @param pieceHashes 32 bytes a piece.
 * @param candidates Indexes; whatever is no piece is passed over.
 */
export async function findGoodPieces(
  handle: FileHandle,
  layout: PieceLayout,
  pieceHashes: Uint8Array,
  candidates: Iterable<number>,
  signal?: AbortSignal,
): Promise<Bitfield> {
  const good = new Bitfield(pieceCount(layout))
  const chunk = readBuffer(Math.min(chunkBytes, layout.pieceLength))
  for (const index of candidates) {
    if (index >= good.length) continue
    const digest = await hashRange(handle, index * layout.pieceLength, pieceSize(layout, index), chunk, signal)
    if (digest?.equals(pieceHash(pieceHashes, index))) good.set(index)
  }
  return good
}

/** @returns undefined where the file ends too early. */
async function hashRange(
  handle: FileHandle,
  start: number,
  length: number,
  chunk: Buffer,
  signal: AbortSignal | undefined,
): Promise<Buffer | undefined> {
  const digest = createHash('sha256')
  for (let at = 0; at < length; at += chunk.length) {
    signal?.throwIfAborted()
    const part = chunk.subarray(0, Math.min(chunk.length, length - at))
    if ((await readAt(handle, part, start + at)) < part.length) return undefined
    digest.update(part)
  }
  return digest.digest()
}
