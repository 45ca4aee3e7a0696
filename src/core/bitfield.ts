/**
 * Which pieces: one bit a piece, in BitTorrent's order (BEP 3: the high bit of the first byte is piece 0; spare bits
 * at the end are zero). A plain value: copy it with `new Bitfield(length, other.bytes)`.
 */
export class Bitfield {
  readonly length: number
  readonly bytes: Uint8Array
  #count = 0

  /**
   * @param length Number of pieces, 0 to 2^31 - 1.
   * @param bytes Copied. Default: no piece.
   * @throws RangeError when `bytes` has another size than `length` needs, or a spare bit is set.
   */
  constructor(length: number, bytes?: Uint8Array) {
    const size = Math.ceil(length / 8)
    if (bytes && bytes.length !== size) throw new RangeError(`a bitfield of ${length} pieces has ${size} bytes`)
    this.length = length
    this.bytes = bytes ? Uint8Array.from(bytes) : new Uint8Array(size)
    const spare = size * 8 - length
    if (spare > 0 && (this.bytes[size - 1]! & ((1 << spare) - 1)) !== 0) throw new RangeError('a spare bit is set')
    for (let at = 0; at < size; at++) this.#count += bitsOf[this.bytes[at]!]!
  }

  static full(length: number): Bitfield {
    const bytes = new Uint8Array(Math.ceil(length / 8)).fill(0xff)
    const spare = bytes.length * 8 - length
    if (spare > 0) bytes[bytes.length - 1] = 0xff << spare
    return new Bitfield(length, bytes)
  }

  /** Base64 of the bytes, as it travels in seat requests. */
  static parse(length: number, base64: string): Bitfield {
    return new Bitfield(length, Buffer.from(base64, 'base64'))
  }

  toString(): string {
    return Buffer.from(this.bytes).toString('base64')
  }

  /** How many bits are set. Constant time. */
  get count(): number {
    return this.#count
  }

  get complete(): boolean {
    return this.#count === this.length
  }

  /** How many of these pieces `other`, of the same length, lacks. */
  countBeyond(other: Pick<Bitfield, 'bytes'>): number {
    let count = 0
    for (let at = 0; at < this.bytes.length; at++) count += bitsOf[this.bytes[at]! & ~other.bytes[at]!]!
    return count
  }

  has(piece: number): boolean {
    return piece >= 0 && piece < this.length && (this.bytes[piece >> 3]! & (0x80 >> (piece & 7))) !== 0
  }

  set(piece: number): void {
    if (!Number.isInteger(piece) || piece < 0 || piece >= this.length) throw new RangeError(`no piece ${piece}`)
    if (this.has(piece)) return
    this.bytes[piece >> 3]! |= 0x80 >> (piece & 7)
    this.#count++
  }

  clear(piece: number): void {
    if (!this.has(piece)) return
    this.bytes[piece >> 3]! &= ~(0x80 >> (piece & 7))
    this.#count--
  }

  /** The set pieces, ascending. */
  *pieces(): Generator<number> {
    for (let at = 0; at < this.bytes.length; at++)
      if (this.bytes[at] !== 0) for (let piece = at * 8; piece < at * 8 + 8; piece++) if (this.has(piece)) yield piece
  }
}

/** Set bits of each byte. */
const bitsOf = new Uint8Array(256)
for (let byte = 1; byte < 256; byte++) bitsOf[byte] = bitsOf[byte >> 1]! + (byte & 1)
