/**
 * Encodes small messages one behind the other into one buffer, so that what a peer is to hear after one turn of the event loop
 * leaves in one write. Blocks do not pass through here: only their 13 byte heads do.
 */
import { KiB } from '../../core/units.ts'
import { id } from './message.ts'

const firstBytes = 512
const mostReused = 16 * KiB

export class FrameWriter {
  #bytes: Buffer = Buffer.allocUnsafeSlow(firstBytes)
  #length = 0

  get length(): number {
    return this.#length
  }

  /** Everything written since the last call. The buffer is the caller's; hand it back with `reuse` when nobody reads it any more. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length)
    this.#bytes = empty
    this.#length = 0
    return taken
  }

  /** Spare an allocation: write into this one next, unless it is larger than everyday ones. */
  reuse(buffer: Buffer): void {
    if (this.#length === 0 && buffer.buffer.byteLength <= mostReused) this.#bytes = Buffer.from(buffer.buffer)
  }

  bare(type: 'choke' | 'unchoke' | 'interested' | 'notInterested' | 'haveAll' | 'haveNone'): void {
    this.#frame(id[type], 0)
  }

  keepAlive(): void {
    const at = this.#grow(4)
    this.#bytes.writeUInt32BE(0, at)
  }

  have(piece: number): void {
    this.#piece(id.have, piece)
  }

  suggest(piece: number): void {
    this.#piece(id.suggest, piece)
  }

  bitfield(bytes: Uint8Array): void {
    const at = this.#frame(id.bitfield, bytes.length)
    this.#bytes.set(bytes, at)
  }

  block(type: 'request' | 'cancel' | 'reject', piece: number, begin: number, length: number): void {
    const at = this.#frame(id[type], 12)
    this.#bytes.writeUInt32BE(piece, at)
    this.#bytes.writeUInt32BE(begin, at + 4)
    this.#bytes.writeUInt32BE(length, at + 8)
  }

  extended(extension: number, payload: Uint8Array): void {
    const at = this.#frame(id.extended, 1 + payload.length)
    this.#bytes[at] = extension
    this.#bytes.set(payload, at + 1)
  }

  #piece(type: number, piece: number): void {
    const at = this.#frame(type, 4)
    this.#bytes.writeUInt32BE(piece, at)
  }

  /** @returns Where the body of `bodyBytes` goes. */
  #frame(type: number, bodyBytes: number): number {
    const at = this.#grow(5 + bodyBytes)
    this.#bytes.writeUInt32BE(1 + bodyBytes, at)
    this.#bytes[at + 4] = type
    return at + 5
  }

  #grow(bytes: number): number {
    const at = this.#length
    this.#length += bytes
    if (this.#length > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(firstBytes, this.#bytes.length * 2, this.#length))
      grown.set(this.#bytes.subarray(0, at))
      this.#bytes = grown
    }
    return at
  }
}

const empty = Buffer.alloc(0)

/** The head of a piece message; the block itself follows it. */
export function pieceHead(piece: number, begin: number, blockBytes: number): Buffer {
  const head = Buffer.allocUnsafe(13)
  head.writeUInt32BE(9 + blockBytes, 0)
  head[4] = id.piece
  head.writeUInt32BE(piece, 5)
  head.writeUInt32BE(begin, 9)
  return head
}
