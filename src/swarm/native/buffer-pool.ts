/** Memory for pieces under way, all of one size and used again: a piece is not worth an allocation of a megabyte and its collection. */
export class BufferPool {
  readonly #size: number
  readonly #most: number
  readonly #free: Buffer[] = []

  /** @param most Buffers that are kept while nobody uses them. */
  constructor(size: number, most: number) {
    this.#size = size
    this.#most = most
  }

  /** @returns `length` bytes of anything, at most the pool's size. */
  take(length: number): Buffer {
    return (this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#size)).subarray(0, length)
  }

  /** @param buffer One that `take` gave and that nobody reads or writes any more. */
  give(buffer: Uint8Array): void {
    if (this.#free.length < this.#most) this.#free.push(Buffer.from(buffer.buffer as ArrayBuffer))
  }

  /** Let all idle memory go. */
  clear(): void {
    this.#free.length = 0
  }
}
