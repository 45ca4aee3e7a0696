/**
 * What was read from the store a moment ago: peers of a swarm ask for the same pieces at about the same time, and the disk should be
 * read once for all of them. Kept in slabs, parts of a piece that are read in one go; a bounded number of bytes, the least
 * recently used leave first. Slabs that sockets still send from stay in memory on top of that, bounded by the sockets' backlog.
 */

import { pieceSize } from '../../core/artifact.ts'
import type { PieceStore } from '../../core/piece-store.ts'
import { KiB, MiB } from '../../core/units.ts'

export const slabBytes = 256 * KiB
const capacityBytes = 8 * MiB

export class SlabCache {
  readonly #store: Pick<PieceStore, 'layout' | 'read'>
  readonly #slabsPerPiece: number
  readonly #slabs = new Map<number, Uint8Array>()
  readonly #loading = new Map<number, Promise<void>>()
  readonly #capacity: number

  constructor(store: Pick<PieceStore, 'layout' | 'read'>, capacity = Math.floor(capacityBytes / slabBytes)) {
    this.#store = store
    this.#slabsPerPiece = Math.ceil(store.layout.pieceLength / slabBytes)
    this.#capacity = capacity
  }

  /**
   * @param begin,length A span inside the piece, no longer than a slab.
   * @returns The bytes, when all of them are in memory: one view, or two where the span crosses slabs.
   */
  get(piece: number, begin: number, length: number): Uint8Array[] | undefined {
    const first = this.#slab(piece, begin)
    const last = this.#slab(piece, begin + length - 1)
    const at = begin % slabBytes
    const head = this.#touch(first)
    if (!head) return undefined
    if (first === last) return [head.subarray(at, at + length)]
    const tail = this.#touch(last)
    return tail && [head.subarray(at), tail.subarray(0, at + length - slabBytes)]
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
    this.#slabs.set(slab, await this.#store.read(piece, begin, length))
    for (const oldest of this.#slabs.keys()) {
      if (this.#slabs.size <= this.#capacity) return
      this.#slabs.delete(oldest)
    }
  }

  /** A Map keeps the order of insertion: what is used moves to its end. */
  #touch(slab: number): Uint8Array | undefined {
    const bytes = this.#slabs.get(slab)
    if (!bytes) return undefined
    this.#slabs.delete(slab)
    this.#slabs.set(slab, bytes)
    return bytes
  }

  #slab(piece: number, begin: number): number {
    return piece * this.#slabsPerPiece + Math.floor(begin / slabBytes)
  }
}
