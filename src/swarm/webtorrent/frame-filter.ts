/**
 * What of a peer's bytes webtorrent gets to see: well-formed messages of the kinds it needs, and nothing else. Pure: bytes in, bytes out.
 *
 *   handshake    whole, for an artifact that is joined; of the reserved bits only fast (BEP 6) and extensions (BEP 10)
 *   messages     0-7 of BEP 3 and 8 cancel, 14-17 of BEP 6: exact length, piece and block inside the artifact
 *   extended     only its handshake, rewritten to what webtorrent uses of it (`reqq`)
 *   the rest     port, suggest, extensions, unknown: passed over
 *
 * Behind this stands a parser that waits for 2 GiB if told to, takes a length of 2^31 for a keep-alive, grows its bitfield to whatever
 * index is named, and dies of `{"m": {"x": {"toString": 1}}}` in an extended handshake.
 */
import { type PieceLayout, pieceCount, pieceSize } from '../../core/artifact.ts'
import { KiB } from '../../core/units.ts'
import { type Bencoded, decode, isDict } from '../bencode.ts'

const magic = Buffer.from('\x13BitTorrent protocol', 'latin1')
const handshakeBytes = 68
const blockBytes = 16 * KiB
/** More than this in one request, and BEP 3 says to hang up. */
const largestRequestBytes = 128 * KiB
const extendedLimitBytes = 16 * KiB

const id = {
  have: 4,
  bitfield: 5,
  request: 6,
  piece: 7,
  cancel: 8,
  haveAll: 14,
  haveNone: 15,
  reject: 16,
  allowedFast: 17,
  extended: 20,
} as const

/** The peer broke the protocol; the connection ends. */
export class FrameError extends Error {}

export interface FrameSink {
  /** @returns The layout of the artifact, undefined when it is not joined. */
  layoutOf(infohash: string): PieceLayout | undefined
  /** What may go on to webtorrent, whole messages. */
  pass(bytes: Uint8Array): void
  /** A request, or the withdrawal of one; both whole messages, not passed otherwise. */
  request(message: Buffer): void
  cancel(message: Buffer): void
  /** What the peer calls itself, raw. */
  client(name: Uint8Array): void
}

export class FrameFilter {
  readonly #sink: FrameSink
  #inbox: Buffer = Buffer.alloc(0)
  #layout: PieceLayout | undefined

  constructor(sink: FrameSink) {
    this.#sink = sink
  }

  /** Past the peer's handshake. */
  get greeted(): boolean {
    return this.#layout !== undefined
  }

  /** @throws FrameError when the peer breaks the protocol; do not feed it again. */
  feed(chunk: Buffer): void {
    const inbox = this.#inbox.length === 0 ? chunk : Buffer.concat([this.#inbox, chunk])
    const start = this.#layout ? 0 : this.#handshake(inbox)
    this.#inbox = Buffer.from(this.#layout ? inbox.subarray(this.#messages(inbox, start, this.#layout)) : inbox)
  }

  /** @returns Bytes used. */
  #handshake(inbox: Buffer): number {
    const seen = Math.min(inbox.length, magic.length)
    if (!inbox.subarray(0, seen).equals(magic.subarray(0, seen))) throw new FrameError('it does not speak BitTorrent')
    if (inbox.length < handshakeBytes) return 0
    this.#layout = this.#sink.layoutOf(inbox.toString('hex', 28, 48))
    if (!this.#layout) throw new FrameError('it asks for an artifact that is not joined')
    const handshake = Buffer.from(inbox.subarray(0, handshakeBytes))
    handshake.fill(0, magic.length, magic.length + 8)
    handshake[magic.length + 5] = inbox[magic.length + 5]! & 0x10
    handshake[magic.length + 7] = inbox[magic.length + 7]! & 0x04
    this.#sink.pass(handshake)
    return handshakeBytes
  }

  /** Take every whole message from `at` on. @returns Where the first incomplete one begins. */
  #messages(inbox: Buffer, start: number, layout: PieceLayout): number {
    let at = start
    let passing = start // messages that follow each other pass as one
    while (inbox.length - at >= 4) {
      const end = at + 4 + inbox.readUInt32BE(at)
      // From the length alone, before anything is kept.
      if (end - at > 4 + limitBytes(layout)) throw new FrameError(`it announces a message of ${end - at - 4} bytes`)
      if (end > inbox.length) break
      const message = inbox.subarray(at, end)
      if (!this.#passes(message, layout)) {
        if (at > passing) this.#sink.pass(inbox.subarray(passing, at))
        passing = end
        this.#divert(message)
      }
      at = end
    }
    if (at > passing) this.#sink.pass(inbox.subarray(passing, at))
    return at
  }

  #passes(message: Buffer, layout: PieceLayout): boolean {
    if (message.length === 4) return true // keep-alive
    check(message, layout)
    const kind = message[4]!
    return kind < id.request || kind === id.piece || (kind >= id.haveAll && kind <= id.allowedFast)
  }

  #divert(message: Buffer): void {
    switch (message[4]) {
      case id.request:
        this.#sink.request(Buffer.from(message))
        break
      case id.cancel:
        this.#sink.cancel(Buffer.from(message))
        break
      case id.extended:
        if (message[5] === 0) this.#extendedHandshake(message.subarray(6))
    }
  }

  #extendedHandshake(payload: Buffer): void {
    const said = parse(payload)
    const name = said('v')
    if (name instanceof Uint8Array) this.#sink.client(name)
    const queue = said('reqq')
    const reqq = typeof queue === 'number' && queue >= 1 ? Math.min(queue, 500) : 250
    const body = Buffer.from(`\0d4:reqqi${reqq}ee`, 'latin1')
    const frame = Buffer.alloc(5 + body.length)
    frame.writeUInt32BE(1 + body.length)
    frame[4] = id.extended
    body.copy(frame, 5)
    this.#sink.pass(frame)
  }
}

/** @throws FrameError when the message is not what its kind demands. */
function check(message: Buffer, layout: PieceLayout): void {
  const kind = message[4]!
  const body = message.subarray(5)
  if (!makesSense(kind, body, layout))
    throw new FrameError(`message ${kind} of ${body.length} bytes makes no sense for this artifact`)
}

function makesSense(kind: number, body: Buffer, layout: PieceLayout): boolean {
  if (kind < id.have || kind === id.haveAll || kind === id.haveNone) return body.length === 0
  switch (kind) {
    case id.have:
    case id.allowedFast:
      return body.length === 4 && body.readUInt32BE() < pieceCount(layout)
    case id.bitfield:
      return isBitfield(body, pieceCount(layout))
    case id.request:
    case id.cancel:
    case id.reject:
      return body.length === 12 && isBlock(body, body.readUInt32BE(8), layout)
    case id.piece:
      return body.length > 8 && isBlock(body, body.length - 8, layout)
    default:
      return true // passed over
  }
}

/** @param body Begins with piece and offset. */
function isBlock(body: Buffer, length: number, layout: PieceLayout): boolean {
  const index = body.readUInt32BE()
  const fits = length > 0 && length <= largestRequestBytes && index < pieceCount(layout)
  return fits && body.readUInt32BE(4) + length <= pieceSize(layout, index)
}

function isBitfield(body: Buffer, pieces: number): boolean {
  const spare = body.length * 8 - pieces
  return body.length === Math.ceil(pieces / 8) && (body.at(-1)! & ((1 << spare) - 1)) === 0
}

/** No message is longer, without its length prefix. */
function limitBytes(layout: PieceLayout): number {
  return Math.max(9 + blockBytes, 1 + Math.ceil(pieceCount(layout) / 8), extendedLimitBytes)
}

/** @returns A reader of the dictionary's keys; of none, when it is malformed. */
function parse(payload: Buffer): (key: string) => Bencoded | undefined {
  try {
    const said = decode(payload)
    return key => (isDict(said) ? said.get(key) : undefined)
  } catch (error) {
    if (error instanceof SyntaxError) return () => undefined
    throw error
  }
}
