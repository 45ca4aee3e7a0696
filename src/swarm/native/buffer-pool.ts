/** Memory for blocks and pieces under way, all of one size and used again: a piece is not worth an allocation of a megabyte and its collection. */
import { readBuffer, wholeReadBuffer } from '../../core/read-buffer.ts'

export class BufferPool {
  readonly #size: number
  readonly #most: number
  readonly #free: Buffer[] = []
  #cleared = false

  /** @param most Buffers that are kept while nobody uses them. */
  constructor(size: number, most: number) {
    this.#size = size
    this.#most = most
  }

  /** @returns `length` bytes of anything, at most the pool's size. Default: all. */
  take(length = this.#size): Buffer {
    this.#cleared = false
    return (this.#free.pop() ?? readBuffer(this.#size)).subarray(0, length)
  }

  /** @param view Any part of what `take` gave, when nobody reads or writes any of it any more. */
  give(view: Uint8Array): void {
    if (!this.#cleared && this.#free.length < this.#most) this.#free.push(wholeReadBuffer(view))
  }

  /** Let all idle memory go, and what is still out when it comes back; until somebody takes again. */
  clear(): void {
    this.#cleared = true
    this.#free.length = 0
  }
}
