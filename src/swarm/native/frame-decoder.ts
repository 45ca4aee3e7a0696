/**
 * Bytes of a connection in, whole messages out. Pure.
 *
 * A frame that lies whole in the chunk is read where it lies; one that straddles chunks is collected in a buffer that never grows
 * past the longest frame its type allows, because the length is judged as soon as it and the id are there. So a peer that announces
 * 2 GiB is found out at its fifth byte, and one that trickles makes us hold one frame.
 *
 * A large block that was asked for need not be copied: while one is expected, `into` lends the socket memory of just its frame, so that
 * the frame mostly ends where a read does, and who gets the block may `keep` that memory. What else comes there is decoded as ever, and
 * the begun frame behind it moves to the front. Nothing is ever taken back from a socket: it is asked after each read where the next one
 * goes, and only what a read has filled changes hands.
 */
import type { BufferPool } from './buffer-pool.ts'
import { type FrameLimits, frameLimits, id, type Message, standardBlockBytes, WireError } from './message.ts'

const headBytes = 5
/** What stands before a block: length, id, piece, begin. */
export const blockHeadBytes = 13
const smallFrameBytes = blockHeadBytes + standardBlockBytes

/** Memory for the frames of large blocks. */
export interface FrameMemory {
  /** Of the longest such frame; nothing longer is put there. */
  readonly pool: BufferPool
  /** Length of the block that is likely to come next; 0 when none was asked for that is worth it. */
  expected(): number
}

export class FrameDecoder {
  readonly #pieces: number
  readonly #onMessage: (message: Message) => void
  readonly #memory: FrameMemory | undefined
  #limits: FrameLimits
  /** For small frames; grown on demand, kept for the next one. */
  #own: Buffer = Buffer.alloc(headBytes)
  /** From the pool, for a large one. One at the most, and none while nothing large is expected. */
  #lent: Buffer | undefined
  /** Where the begun frame is, from its length on: one of these two, or a large one that nobody expected. */
  #frame: Buffer = this.#own
  #held = 0
  #stopped = false

  /** @param onMessage The bytes of a message are a view that is gone when the call returns: copy what is to stay, or `keep` it. */
  constructor(pieces: number, onMessage: (message: Message) => void, memory?: FrameMemory) {
    this.#pieces = pieces
    this.#onMessage = onMessage
    this.#memory = memory
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

  /** Hand on no further message, not even of the chunk in hand. A socket may still be reading into what was lent: it is not used again. */
  stop(): void {
    this.#stopped = true
    this.#lent = undefined
  }

  /** @returns Where to read the next bytes to, never empty: then call `arrived`. `undefined`: anywhere else, then call `push`. */
  into(): Uint8Array | undefined {
    if (this.#held === 0) {
      const lent = this.#lend()
      if (lent && this.#expected > 0) return lent.subarray(0, blockHeadBytes + this.#expected)
      this.#giveBack()
      return undefined
    }
    if (this.#frame !== this.#lent) return undefined
    return this.#lent.subarray(this.#held, this.#held < headBytes ? undefined : 4 + uint32(this.#lent, 0))
  }

  /** `count` bytes were read to where `into` said. @throws WireError as `push` does. */
  arrived(count: number): void {
    const lent = this.#lent
    if (!lent) return // stopped
    const bytes = lent.subarray(0, this.#held + count)
    this.#held = 0
    const at = this.#parse(bytes, 0)
    if (this.#stopped || at === bytes.length) return
    const isWhereItWas = at === 0 && this.#lent === lent
    if (isWhereItWas && (bytes.length < headBytes || 4 + uint32(bytes, 0) <= lent.length)) {
      this.#frame = lent
      this.#held = bytes.length
    } else this.#hold(bytes, at, bytes.length)
  }

  /** @throws WireError when a frame is longer or shorter than its type allows; this decoder is of no more use then. */
  push(chunk: Uint8Array): void {
    const at = this.#parse(chunk, this.#held > 0 ? this.#resume(chunk) : 0)
    if (!this.#stopped && at < chunk.length) this.#hold(chunk, at, chunk.length)
  }

  /**
   * The memory of a block becomes the caller's, and is not written to again. To be called while its message is handed on.
   * @returns False when it cannot: then copy it.
   */
  keep(block: Uint8Array): boolean {
    if (block.buffer !== this.#lent?.buffer) return false
    this.#lent = undefined
    return true
  }

  /** Hand on the whole frames from `at` on. @returns Where the first one starts that is not whole. */
  #parse(chunk: Uint8Array, start: number): number {
    let at = start
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
    return at
  }

  /** Complete the begun frame. @returns Where the next frame starts in `chunk`. */
  #resume(chunk: Uint8Array): number {
    let at = this.#hold(chunk, 0, 4 - this.#held)
    if (this.#held < 4) return at
    const length = uint32(this.#frame, 0)
    if (length > 0) {
      at = this.#hold(chunk, at, at + headBytes - this.#held)
      if (this.#held < headBytes) return at
      this.#judge(length, this.#frame[4]!)
      at = this.#hold(chunk, at, at + 4 + length - this.#held)
      if (this.#held < 4 + length) return at
    }
    this.#held = 0
    this.#onMessage(length === 0 ? { type: 'keepAlive' } : parse(this.#frame, 4, 4 + length))
    return at
  }

  /** Keep `chunk[from..to)`, as far as it is there, behind what is held. @returns The end of what was kept. */
  #hold(chunk: Uint8Array, from: number, to: number): number {
    const end = Math.max(from, Math.min(to, chunk.length))
    const needed = this.#held + end - from
    if (this.#held === 0) this.#frame = this.#own
    // Only a head that is here was judged: then there is room for all of the frame at once, before that for a head.
    let whole = headBytes
    if (this.#held >= headBytes) whole = 4 + uint32(this.#frame, 0)
    else if (this.#held === 0 && needed >= headBytes) whole = 4 + uint32(chunk, from)
    if (whole > this.#frame.length) {
      const room = this.#room(whole)
      room.set(this.#frame.subarray(0, this.#held))
      this.#frame = room
    }
    this.#frame.set(chunk.subarray(from, end), this.#held)
    this.#held = needed
    return end
  }

  #room(bytes: number): Buffer {
    if (bytes <= smallFrameBytes) {
      this.#own = Buffer.allocUnsafeSlow(bytes)
      return this.#own
    }
    const lent = this.#lend()
    return lent && bytes <= lent.length ? lent : Buffer.allocUnsafeSlow(bytes)
  }

  get #expected(): number {
    return this.#stopped ? 0 : (this.#memory?.expected() ?? 0)
  }

  #lend(): Buffer | undefined {
    if (this.#expected > 0) this.#lent ??= this.#memory?.pool.take()
    return this.#lent
  }

  #giveBack(): void {
    if (this.#lent) this.#memory?.pool.give(this.#lent)
    this.#lent = undefined
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
