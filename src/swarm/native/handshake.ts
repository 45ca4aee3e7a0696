/**
 * The first 68 bytes each side sends (BEP 3), and what the reserved bits in them promise.
 *
 *   19 "BitTorrent protocol" · 8 reserved · 20 infohash · 20 peer id
 *   reserved: 0x10 in byte 5 = extended messages (BEP 10), 0x04 in byte 7 = fast extension (BEP 6)
 */
import type { Infohash } from '../../core/digest.ts'
import { WireError } from './message.ts'

export const handshakeBytes = 68
const magic = Buffer.from('\x13BitTorrent protocol', 'latin1')

export interface Handshake {
  readonly infohash: Infohash
  /** 20 bytes as latin-1. The other side's own claim. */
  readonly peerId: string
  readonly extended: boolean
  readonly fast: boolean
}

export function encodeHandshake({ infohash, peerId, extended, fast }: Handshake): Buffer {
  const bytes = Buffer.alloc(handshakeBytes)
  magic.copy(bytes)
  if (extended) bytes[25]! |= 0x10
  if (fast) bytes[27]! |= 0x04
  bytes.write(infohash, 28, 'hex')
  bytes.write(peerId, 48, 'latin1')
  return bytes
}

/** Collects the handshake from chunks. Pure. */
export class HandshakeReader {
  readonly #bytes = Buffer.alloc(handshakeBytes)
  #held = 0

  /**
   * @returns The handshake and how many bytes of `chunk` belonged to it; `undefined` while it is not whole.
   * @throws WireError at the first byte that no BitTorrent client sends, so that garbage is not waited for.
   */
  push(chunk: Uint8Array): { handshake: Handshake; consumed: number } | undefined {
    const consumed = Math.min(handshakeBytes - this.#held, chunk.length)
    this.#bytes.set(chunk.subarray(0, consumed), this.#held)
    this.#held += consumed
    const comparable = Math.min(this.#held, magic.length)
    if (magic.compare(this.#bytes, 0, comparable, 0, comparable) !== 0)
      throw new WireError('not a BitTorrent handshake')
    if (this.#held < handshakeBytes) return undefined
    return { handshake: decode(this.#bytes), consumed }
  }
}

function decode(bytes: Buffer): Handshake {
  return {
    infohash: bytes.toString('hex', 28, 48) as Infohash,
    peerId: bytes.toString('latin1', 48, 68),
    extended: (bytes[25]! & 0x10) !== 0,
    fast: (bytes[27]! & 0x04) !== 0,
  }
}
