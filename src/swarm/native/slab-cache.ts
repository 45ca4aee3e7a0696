/**
 * What was read from the store a moment ago: peers of a swarm ask for the same pieces at about the same time, and the disk should be
 * read once for all of them. Kept in slabs, parts of a piece that are read in one go; a bounded number, the least recently used
 * leaves first. Their memory is used again as soon as no socket sends from it: a fresh quarter of a megabyte a read had V8 collect
 * garbage forty times a second.
 */
import { pieceSize } from '../../core/artifact.ts'
import type { PieceStore } from '../../core/piece-store.ts'
import { KiB, MiB } from '../../core/units.ts'
import { BufferPool } from './buffer-pool.ts'

export const slabBytes = 256 * KiB
const capacityBytes = 8 * MiB

export interface Slab {
  readonly bytes: Uint8Array
  /** Ours from the pool, or what the store made up itself. */
  readonly pooled: boolean
  /** Sockets that send from it. */
  users: number
  cached: boolean
}

/** Bytes that stay as they are until they are given back. */
export interface Loan {
  /** One view, or two where the span crosses slabs. */
  readonly bytes: readonly Uint8Array[]
  readonly slabs: readonly Slab[]
}

export class SlabCache {
  readonly #store: Pick<PieceStore, 'layout' | 'read'>
  readonly #slabsPerPiece: number
  readonly #capacity: number
  readonly #pool: BufferPool
  /** The least recently used first. */
  readonly #slabs = new Map<number, Slab>()
  readonly #loading = new Map<number, Promise<void>>()

  /** @param capacity Slabs. */
  constructor(store: Pick<PieceStore, 'layout' | 'read'>, capacity = Math.floor(capacityBytes / slabBytes)) {
    this.#store = store
    this.#slabsPerPiece = Math.ceil(store.layout.pieceLength / slabBytes)
    this.#capacity = capacity
    this.#pool = new BufferPool(Math.min(slabBytes, store.layout.pieceLength), capacity)
  }

  /**
   * @param length At most a slab; `begin` and it lie inside the piece.
   * @returns The bytes, to be given back by `giveBack`; undefined when not all of them are in memory.
   */
  borrow(piece: number, begin: number, length: number): Loan | undefined {
    const first = this.#slab(piece, begin)
    const last = this.#slab(piece, begin + length - 1)
    const at = begin % slabBytes
    const head = this.#touch(first)
    const tail = first === last ? head : this.#touch(last)
    if (!head || !tail) return undefined
    head.users++
    if (head === tail) return { bytes: [head.bytes.subarray(at, at + length)], slabs: [head] }
    tail.users++
    return { bytes: [head.bytes.subarray(at), tail.bytes.subarray(0, at + length - slabBytes)], slabs: [head, tail] }
  }

  giveBack(slabs: Iterable<Slab>): void {
    for (const slab of slabs) {
      slab.users--
      this.#recycle(slab)
    }
  }

  /**
   * Read what of the span is not in memory yet. Joins a read that is under way.
   * @throws StoreError as `PieceStore.read` does.
   */
  async load(piece: number, begin: number, length: number): Promise<void> {
    const first = this.#slab(piece, begin)
    const last = this.#slab(piece, begin + length - 1)
    for (let slab = first; slab <= last; slab++) {
      if (this.#slabs.has(slab)) continue
      let loading = this.#loading.get(slab)
      if (!loading) {
        loading = this.#read(piece, slab).finally(() => this.#loading.delete(slab))
        this.#loading.set(slab, loading)
      }
      await loading
    }
  }

  async #read(piece: number, slab: number): Promise<void> {
    const begin = (slab % this.#slabsPerPiece) * slabBytes
    const length = Math.min(slabBytes, pieceSize(this.#store.layout, piece) - begin)
    const memory = this.#pool.take(length)
    const bytes = await this.#store.read(piece, begin, length, memory)
    this.#slabs.set(slab, { bytes, pooled: bytes.buffer === memory.buffer, users: 0, cached: true })
    for (const [oldest, evicted] of this.#slabs) {
      if (this.#slabs.size <= this.#capacity) return
      this.#slabs.delete(oldest)
      evicted.cached = false
      this.#recycle(evicted)
    }
  }

  #recycle(slab: Slab): void {
    if (slab.pooled && !slab.cached && slab.users === 0) this.#pool.give(slab.bytes)
  }

  /** A Map keeps the order of insertion: what is used moves to its end. */
  #touch(slab: number): Slab | undefined {
    const found = this.#slabs.get(slab)
    if (!found) return undefined
    this.#slabs.delete(slab)
    this.#slabs.set(slab, found)
    return found
  }

  #slab(piece: number, begin: number): number {
    return piece * this.#slabsPerPiece + Math.floor(begin / slabBytes)
  }
}
