/**
 * The pieces of one artifact in one sparse file, each at its own place. The hot path is `put`: one hash, one write at a place, no copy.
 * What a restart needs to know goes to the journal; whether a piece is really there, only its hash says.
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { type Artifact, type PieceLayout, pieceSize } from '../core/artifact.ts'
import type { Bitfield } from '../core/bitfield.ts'
import { sha256Bytes } from '../core/digest.ts'
import { ContentError, StoreError } from '../core/errors.ts'
import type { PieceStore } from '../core/piece-store.ts'
import { readBuffer } from '../core/read-buffer.ts'
import { onDisk } from './disk-error.ts'
import { readAt, writeAt } from './file-bytes.ts'
import type { PieceJournal } from './piece-journal.ts'
import { findGoodPieces, pieceHash } from './rehash.ts'

/**
 * Open the data file of an artifact for reading and writing; it is made, and has the artifact's length, when this resolves.
 *
 * @throws StoreError `disk_failed` when something else than a regular file waits there: a link is not followed.
 */
export async function openDataFile(path: string, length: number): Promise<FileHandle> {
  return onDisk(path, async () => {
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
    try {
      const stat = await handle.stat()
      if (!stat.isFile()) throw new StoreError('disk_failed', `${path} is not a regular file`, { path })
      if (stat.size !== length) await handle.truncate(length)
      return handle
    } catch (error) {
      await handle.close()
      throw error
    }
  })
}

export interface PieceFileParts {
  readonly artifact: Artifact
  /** For messages only: the file may be renamed while it is open. */
  readonly path: string
  readonly handle: FileHandle
  /** 32 bytes a piece. */
  readonly pieceHashes: Uint8Array
  /** The pieces that were found good. */
  readonly have: Bitfield
  /** Where new pieces are noted; undefined for a finished artifact. */
  readonly journal: PieceJournal | undefined
}

export class PieceFile implements PieceStore {
  readonly layout: PieceLayout
  readonly pieces: number
  readonly #path: string
  readonly #handle: FileHandle
  readonly #pieceHashes: Uint8Array
  readonly #have: Bitfield
  readonly #writing = new Map<number, Promise<void>>()
  readonly #listeners = new Set<(index: number) => void>()
  #journal: PieceJournal | undefined

  constructor({ artifact, path, handle, pieceHashes, have, journal }: PieceFileParts) {
    this.layout = artifact
    this.pieces = have.length
    this.#path = path
    this.#handle = handle
    this.#pieceHashes = pieceHashes
    this.#have = have
    this.#journal = journal
  }

  get have(): PieceStore['have'] {
    return this.#have
  }

  /** Bytes of the artifact that are not stored yet. */
  get missingBytes(): number {
    return Math.max(0, this.layout.length - this.#have.count * this.layout.pieceLength)
  }

  async put(index: number, bytes: Uint8Array): Promise<'stored' | 'known'> {
    const size = pieceSize(this.layout, index)
    if (this.#have.has(index)) return 'known'
    const already = this.#writing.get(index)
    if (already) return already.then(() => 'known')
    if (bytes.length !== size || !sha256Bytes(bytes).equals(pieceHash(this.#pieceHashes, index)))
      throw new ContentError('piece_mismatch', `piece ${index} is not the signed one; it was thrown away`, { index })
    const writing = this.#store(index, bytes)
    this.#writing.set(index, writing)
    try {
      await writing
      return 'stored'
    } finally {
      this.#writing.delete(index)
    }
  }

  async read(index: number, offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    const size = pieceSize(this.layout, index)
    if (!isWithin(offset, length, size)) throw new RangeError(`no bytes ${offset}+${length} in a piece of ${size}`)
    if (!this.#have.has(index)) throw new StoreError('piece_absent', `piece ${index} is not stored`, { index })
    const bytes = into?.subarray(0, length) ?? readBuffer(length)
    const position = index * this.layout.pieceLength + offset
    if ((await onDisk(this.#path, () => readAt(this.#handle, bytes, position))) < length)
      throw new StoreError('disk_failed', `${this.#path} became shorter while it was in use`, { path: this.#path })
    return bytes
  }

  onPiece(listener: (index: number) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * The whole does not have its digest: find the pieces to blame and forget them. When each piece is the signed one, the whole is to
   * blame, and all are forgotten. What somebody added behind the last piece is cut off.
   *
   * @param startJournal Makes the journal of the pieces that are left, instead of the old one.
   * @returns How many pieces were forgotten.
   */
  async forgetBadPieces(startJournal: (good: Bitfield) => Promise<PieceJournal>): Promise<number> {
    await onDisk(this.#path, () => this.#handle.truncate(this.layout.length))
    const good = await findGoodPieces(this.#handle, this.layout, this.#pieceHashes, this.#have.pieces())
    const before = this.#have.count
    const bad = [...this.#have.pieces()].filter(index => good.count === before || !good.has(index))
    for (const index of bad) this.#have.clear(index)
    await this.endJournal()
    this.#journal = await startJournal(this.#have)
    return bad.length
  }

  /** Every piece is here to stay: the journal is of no more use. */
  async endJournal(): Promise<void> {
    const journal = this.#journal
    this.#journal = undefined
    await journal?.close()
  }

  /** Resolves when what was put survives a power cut. @throws StoreError. */
  async sync(): Promise<void> {
    await onDisk(this.#path, () => this.#handle.sync())
  }

  /** Waits for writes under way. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#writing.values())
    await this.endJournal()
    await this.#handle.close()
  }

  async #store(index: number, bytes: Uint8Array): Promise<void> {
    if (!this.#journal) throw new Error(`${this.#path} takes no pieces: it is finished or closed`)
    const position = index * this.layout.pieceLength
    await onDisk(this.#path, () => writeAt(this.#handle, bytes, position), bytes.length)
    await this.#journal.add(index)
    this.#have.set(index)
    for (const listener of this.#listeners) listener(index)
  }
}

function isWithin(offset: number, length: number, size: number): boolean {
  return Number.isInteger(offset) && Number.isInteger(length) && offset >= 0 && length >= 0 && offset + length <= size
}
