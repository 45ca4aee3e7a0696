/**
 * Bencoding (BEP 3), canonical only: dictionary keys strictly ascending by bytes, integers and lengths without leading zeros,
 * nothing after the value. So a value has exactly one encoding, and `encode(decode(bytes))` is `bytes`.
 *
 *   d4:infod6:lengthi5ee5:peers6:......e
 *
 * Our own, because what it reads comes from strangers and the usual package is not made for that: on a negative string length
 * (`l-4:`) it runs backwards and fills the memory until the process dies, and deep nesting overflows its stack.
 */

/** Strings are bytes; keys are latin1 text, one character a byte, so that no key is lost or doubled by decoding. */
export type Bencoded = number | Uint8Array | readonly Bencoded[] | BencodedDict
export type BencodedDict = ReadonlyMap<string, Bencoded>

/** Deeper than anything a torrent or a tracker says. */
const deepest = 8

/**
 * @param bytes As large as the caller lets it be: limit it first. Strings in the result share its memory.
 * @throws SyntaxError when it is not one canonical value; never anything else.
 */
export function decode(bytes: Uint8Array): Bencoded {
  const reader = new Reader(bytes)
  const value = reader.value(0)
  if (reader.at !== bytes.length) throw new SyntaxError(`bencode: ${bytes.length - reader.at} bytes after the end`)
  return value
}

/** @throws RangeError when a number is not a safe integer. */
export function encode(value: Bencoded): Buffer {
  const parts: Uint8Array[] = []
  write(value, parts)
  return Buffer.concat(parts)
}

export function isDict(value: Bencoded | undefined): value is BencodedDict {
  return value instanceof Map
}

class Reader {
  at = 0
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  value(depth: number): Bencoded {
    if (depth > deepest) throw new SyntaxError(`bencode: nested deeper than ${deepest}`)
    switch (this.#bytes[this.at]) {
      case 0x69: // i
        this.at++
        return this.#integer('e', true)
      case 0x6c: // l
        this.at++
        return this.#list(depth)
      case 0x64: // d
        this.at++
        return this.#dict(depth)
      default:
        return this.#string()
    }
  }

  #list(depth: number): Bencoded[] {
    const list: Bencoded[] = []
    while (!this.#ends()) list.push(this.value(depth + 1))
    return list
  }

  #dict(depth: number): Map<string, Bencoded> {
    const dict = new Map<string, Bencoded>()
    let last: string | undefined
    while (!this.#ends()) {
      const key = Buffer.from(this.#string()).toString('latin1')
      // Ascending also means that no key comes twice, so no two readers can see different values.
      if (last !== undefined && key <= last) throw new SyntaxError(`bencode: keys out of order at byte ${this.at}`)
      dict.set(key, this.value(depth + 1))
      last = key
    }
    return dict
  }

  #string(): Uint8Array {
    const length = this.#integer(':', false)
    if (length > this.#bytes.length - this.at) throw new SyntaxError(`bencode: a string ends after the data`)
    this.at += length
    return this.#bytes.subarray(this.at - length, this.at)
  }

  /** An integer up to `end`, which is passed over. */
  #integer(end: 'e' | ':', signed: boolean): number {
    const start = this.at
    // 17 bytes hold the sign and the 16 digits of the largest safe integer.
    const stop = this.#bytes.subarray(start, start + 18).indexOf(end.charCodeAt(0))
    const digits = stop < 0 ? '' : Buffer.from(this.#bytes.subarray(start, start + stop)).toString('latin1')
    const value = Number(digits)
    if (!/^(0|-?[1-9][0-9]*)$/.test(digits) || !Number.isSafeInteger(value) || (value < 0 && !signed)) {
      throw new SyntaxError(`bencode: no number at byte ${start}`)
    }
    this.at = start + stop + 1
    return value
  }

  #ends(): boolean {
    if (this.at >= this.#bytes.length) throw new SyntaxError('bencode: the data ends too early')
    if (this.#bytes[this.at] !== 0x65) return false
    this.at++
    return true
  }
}

function write(value: Bencoded, parts: Uint8Array[]): void {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new RangeError(`bencode: ${value} is not a safe integer`)
    parts.push(Buffer.from(`i${value}e`))
  } else if (value instanceof Uint8Array) {
    parts.push(Buffer.from(`${value.length}:`), value)
  } else if (isDict(value)) {
    parts.push(Buffer.from('d'))
    for (const [key, item] of [...value].sort(([a], [b]) => (a < b ? -1 : 1))) {
      write(Buffer.from(key, 'latin1'), parts)
      write(item, parts)
    }
    parts.push(Buffer.from('e'))
  } else {
    parts.push(Buffer.from('l'))
    for (const item of value) write(item, parts)
    parts.push(Buffer.from('e'))
  }
}
