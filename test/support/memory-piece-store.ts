/** A PieceStore in memory. It keeps the rule of every store (a piece enters by its SHA-256 only) and counts what engines do to it. */
import { type PieceLayout, pieceCount, pieceSize } from '../../src/core/artifact.ts'
import { Bitfield } from '../../src/core/bitfield.ts'
import { sha256Bytes } from '../../src/core/digest.ts'
import { ContentError, StoreError } from '../../src/core/errors.ts'
import type { PieceStore } from '../../src/core/piece-store.ts'
import type { ArtifactFixture } from './artifact.ts'

export class MemoryPieceStore implements PieceStore {
  readonly layout: PieceLayout
  readonly pieces: number
  readonly have: Bitfield
  /** What `put` was called with, by outcome. */
  readonly puts = { stored: 0, known: 0, refused: 0 }
  /** How often it was read. */
  readCalls = 0
  /** Set it to make every further `put` (or `read`) fail. */
  putFault: Error | undefined
  readFault: Error | undefined
  readonly #hashes: Buffer
  readonly #content: Buffer
  readonly #listeners = new Set<(index: number) => void>()

  constructor(layout: PieceLayout, pieceHashes: Buffer) {
    this.layout = { length: layout.length, pieceLength: layout.pieceLength }
    this.pieces = pieceCount(layout)
    this.have = new Bitfield(this.pieces)
    this.#hashes = pieceHashes
    this.#content = Buffer.alloc(layout.length)
  }

  /** @param pieces The pieces that are there from the start. Default: none. */
  static of({ artifact, content, pieceHashes }: ArtifactFixture, pieces: Iterable<number> = []): MemoryPieceStore {
    const store = new MemoryPieceStore(artifact, pieceHashes)
    for (const piece of pieces) store.#keep(piece, content.subarray(...store.#span(piece)))
    return store
  }

  static full(fixture: ArtifactFixture): MemoryPieceStore {
    return MemoryPieceStore.of(fixture, Array(pieceCount(fixture.artifact)).keys())
  }

  /** A copy of everything; absent pieces are zeros. */
  content(): Buffer {
    return Buffer.from(this.#content)
  }

  async put(index: number, bytes: Uint8Array): Promise<'stored' | 'known'> {
    const copy = Buffer.from(bytes)
    await undefined
    if (this.putFault) throw this.putFault
    if (this.have.has(index)) {
      this.puts.known++
      return 'known'
    }
    const hash = this.#hashes.subarray(index * 32, index * 32 + 32)
    if (copy.length !== pieceSize(this.layout, index) || !sha256Bytes(copy).equals(hash)) {
      this.puts.refused++
      throw new ContentError('piece_mismatch', `piece ${index} is not the signed one`, { index })
    }
    this.puts.stored++
    this.#keep(index, copy)
    for (const listener of this.#listeners) listener(index)
    return 'stored'
  }

  async read(index: number, offset: number, length: number): Promise<Uint8Array> {
    if (offset < 0 || length < 0 || offset + length > pieceSize(this.layout, index)) throw new RangeError('outside')
    this.readCalls++
    if (this.readFault) throw this.readFault
    if (!this.have.has(index)) throw new StoreError('piece_absent', `piece ${index} is not stored`, { index })
    const at = index * this.layout.pieceLength + offset
    return Buffer.from(this.#content.subarray(at, at + length))
  }

  onPiece(listener: (index: number) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  get listeners(): number {
    return this.#listeners.size
  }

  #keep(index: number, bytes: Uint8Array): void {
    this.#content.set(bytes, index * this.layout.pieceLength)
    this.have.set(index)
  }

  #span(index: number): [number, number] {
    const start = index * this.layout.pieceLength
    return [start, start + pieceSize(this.layout, index)]
  }
}
