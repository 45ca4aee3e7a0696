/**
 * Bytes of a connection in, whole messages out. Pure.
 *
 * A frame that lies whole in the chunk is read where it lies; one that straddles chunks is collected in a buffer that never grows
 * past the longest frame its type allows, because the length is judged as soon as it and the id are there. So a peer that announces
 * 2 GiB is found out at its fifth byte, and one that trickles makes us hold one frame.
 */
import { type FrameLimits, frameLimits, id, type Message, standardBlockBytes, WireError } from './message.ts'

const headBytes = 5

export class FrameDecoder {
  readonly #pieces: number
  readonly #onMessage: (message: Message) => void
  #limits: FrameLimits
  /** The begun frame, from its length on; grown on demand, kept for the next one. */
  #partial = Buffer.alloc(headBytes)
  #held = 0
  #stopped = false

  /** @param onMessage The bytes of a message are a view that is gone when the call returns: copy what is to stay. */
  constructor(pieces: number, onMessage: (message: Message) => void) {
    this.#pieces = pieces
    this.#onMessage = onMessage
    this.#limits = frameLimits(pieces, standardBlockBytes)
  }

  /** From now on blocks of up to `bytes` may arrive. */
  allowBlocks(bytes: number): void {
    this.#limits = frameLimits(this.#pieces, bytes)
  }

  /** Bytes of a begun frame that are waiting for the rest. */
  get held(): number {
    return this.#held
  }

  /** Hand on no further message, not even of the chunk in hand. */
  stop(): void {
    this.#stopped = true
  }

  /** @throws WireError when a frame is longer or shorter than its type allows; this decoder is of no more use then. */
  push(chunk: Uint8Array): void {
    let at = this.#held > 0 ? this.#resume(chunk) : 0
    while (!this.#stopped && chunk.length - at >= 4) {
      const length = uint32(chunk, at)
      if (length === 0) {
        this.#onMessage({ type: 'keepAlive' })
        at += 4
        continue
      }
      if (chunk.length - at < headBytes) break
      this.#judge(length, chunk[at + 4]!)
      if (chunk.length - at < 4 + length) break
      this.#onMessage(parse(chunk, at + 4, at + 4 + length))
      at += 4 + length
    }
    if (!this.#stopped && at < chunk.length) this.#hold(chunk, at, chunk.length)
  }

  /** Complete the begun frame. @returns Where the next frame starts in `chunk`. */
  #resume(chunk: Uint8Array): number {
    let at = this.#hold(chunk, 0, 4 - this.#held)
    if (this.#held < 4) return at
    const length = uint32(this.#partial, 0)
    if (length > 0) {
      at = this.#hold(chunk, at, at + headBytes - this.#held)
      if (this.#held < headBytes) return at
      this.#judge(length, this.#partial[4]!)
      at = this.#hold(chunk, at, at + 4 + length - this.#held)
      if (this.#held < 4 + length) return at
    }
    this.#held = 0
    this.#onMessage(length === 0 ? { type: 'keepAlive' } : parse(this.#partial, 4, 4 + length))
    return at
  }

  /** Keep `chunk[from..to)`, as far as it is there. @returns The end of what was kept. */
  #hold(chunk: Uint8Array, from: number, to: number): number {
    const end = Math.max(from, Math.min(to, chunk.length))
    const needed = this.#held + end - from
    if (needed > this.#partial.length) {
      // The frame's length is known and allowed here: make room for all of it at once.
      const length = this.#held >= headBytes ? uint32(this.#partial, 0) : needed >= 4 ? uint32(chunk, from) : 0
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, 4 + length))
      grown.set(this.#partial.subarray(0, this.#held))
      this.#partial = grown
    }
    this.#partial.set(chunk.subarray(from, end), this.#held)
    this.#held = needed
    return end
  }

  #judge(length: number, type: number): void {
    if (length > this.#limits.longest[type]! || length < this.#limits.shortest[type]!)
      throw new WireError(`a message of type ${type} with ${length} bytes`)
  }
}

/** @param start Where the id stands. */
function parse(bytes: Uint8Array, start: number, end: number): Message {
  const type = bytes[start]!
  switch (type) {
    case id.piece:
      return {
        type: 'piece',
        piece: uint32(bytes, start + 1),
        begin: uint32(bytes, start + 5),
        block: bytes.subarray(start + 9, end),
      }
    case id.request:
    case id.cancel:
    case id.reject:
      return {
        type: type === id.request ? 'request' : type === id.cancel ? 'cancel' : 'reject',
        piece: uint32(bytes, start + 1),
        begin: uint32(bytes, start + 5),
        length: uint32(bytes, start + 9),
      }
    case id.have:
      return { type: 'have', piece: uint32(bytes, start + 1) }
    case id.suggest:
      return { type: 'suggest', piece: uint32(bytes, start + 1) }
    case id.allowedFast:
      return { type: 'allowedFast', piece: uint32(bytes, start + 1) }
    case id.bitfield:
      return { type: 'bitfield', bytes: bytes.subarray(start + 1, end) }
    case id.extended:
      return { type: 'extended', id: bytes[start + 1]!, payload: bytes.subarray(start + 2, end) }
    default:
      return bare.get(type) ?? { type: 'ignored', id: type }
  }
}

const bare: ReadonlyMap<number, Message> = new Map([
  [id.choke, { type: 'choke' }],
  [id.unchoke, { type: 'unchoke' }],
  [id.interested, { type: 'interested' }],
  [id.notInterested, { type: 'notInterested' }],
  [id.haveAll, { type: 'haveAll' }],
  [id.haveNone, { type: 'haveNone' }],
])

function uint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}
