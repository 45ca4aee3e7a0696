/**
 * One connected peer: what it has, what it wants, what it owes us. It turns messages into calls of the swarm's parts and keeps the
 * protocol's state; the decisions are the parts' (picker, pipeline, trust, uploads, choker).
 */
import { type PieceLayout, pieceCount, pieceSize } from '../../core/artifact.ts'
import { Bitfield } from '../../core/bitfield.ts'
import { KiB, second } from '../../core/units.ts'
import type { PeerAddress, PeerView } from '../engine.ts'
import type { BufferPool } from './buffer-pool.ts'
import type { Customer } from './choker.ts'
import { Connection } from './connection.ts'
import {
  clientOf,
  decodeExtensionHandshake,
  decodeReceipt,
  defaultRequestQueue,
  encodeReceipt,
  extensionHandshakeId,
  receiptId,
} from './extension.ts'
import type { Handshake } from './handshake.ts'
import { Interest } from './interest.ts'
import type { LineWindow } from './line-window.ts'
import { largestBlockBytes, type Message, parseInventory, standardBlockBytes, WireError } from './message.ts'
import type { Block, PartialPiece } from './partial-piece.ts'
import type { Asker } from './picker.ts'
import { Pipeline } from './pipeline.ts'
import { Receipts } from './receipts.ts'
import type { Taker } from './suggester.ts'
import type { Standing } from './trust.ts'
import type { Tuning } from './tuning.ts'
import type { Requester, ServedBlock } from './upload.ts'
import type { Wire } from './wire.ts'

/** After a bad piece, by strikes. */
const restMs = second

/** Asked at least of a peer that is slow, and one of ours. */
const mostAskedAhead = 512 * KiB

/** Of its hints the latest count. */
const suggestedKept = 16

/** What a peer tells the swarm. Calls come in the middle of a chunk, `onTurn` after it. */
export interface PeerEvents {
  onInventory(peer: Peer): void
  onHave(peer: Peer, piece: number): void
  /** It gives receipts, from its first block on. */
  onReceipts(peer: Peer): void
  /** @param total Bytes of blocks that have arrived there, modulo 2^32. @throws WireError when that cannot be. */
  onReceipt(peer: Peer, total: number): void
  onBlock(peer: Peer, piece: number, begin: number, block: Uint8Array): void
  onReject(peer: Peer, block: Block): void
  onChoke(peer: Peer): void
  onInterest(peer: Peer): void
  onRequest(peer: Peer, block: Block): void
  onCancel(peer: Peer, block: Block): void
  onTurn(peer: Peer): void
  onDrain(peer: Peer): void
  onClose(peer: Peer, reason: string): void
}

export interface PeerParts {
  readonly wire: Wire
  readonly handshake: Handshake
  readonly address: PeerAddress
  readonly direction: 'in' | 'out'
  readonly layout: PieceLayout
  readonly tuning: Tuning
  /** For frames of large blocks. */
  readonly frames: BufferPool
  readonly now: () => number
  /** What is asked of all peers together. */
  readonly line: LineWindow
  readonly strikes: (host: string) => number
  readonly events: PeerEvents
}

export class Peer implements Asker, Customer, Requester, Standing, Taker {
  readonly address: PeerAddress
  readonly direction: 'in' | 'out'
  readonly id: string
  readonly fast: boolean
  readonly extended: boolean
  readonly pipeline: Pipeline
  readonly connection: Connection
  readonly connectedAt: number
  readonly #layout: PieceLayout
  readonly #now: () => number
  readonly #events: PeerEvents
  readonly #strikes: (host: string) => number
  /** Where it says that it listens. */
  listenPort: number | undefined
  #client: string
  #has: Bitfield
  #inventoried = false
  #blockBytes = standardBlockBytes
  readonly #receipts: Receipts
  /** Its pieces are counted one by one in the rarity order: it did not have everything from the start. */
  counted = true
  /** Pieces it has that we lack. */
  wanted = 0
  readonly #interest: Interest
  /** It chokes us. */
  choking = true
  /** It wants something of us; we choke it; since when. */
  interested = false
  choked = true
  since: number
  /** How much of the log of our new pieces it has been told. */
  told = 0
  /** Up to here none of it mattered to the peer. */
  weighed = 0
  current: PartialPiece | undefined
  held = 0
  barren = -1
  /** Pieces that it would rather send than others; the latest last. */
  readonly suggested: number[] = []
  undoubledAt = Number.NEGATIVE_INFINITY
  good = 0
  bytesIn = 0
  bytesOut = 0
  /** Not asked for anything until then. */
  #restUntil = 0
  /** Payload it sent without being asked. */
  unasked = 0
  /** When payload last moved in either direction. */
  usefulAt: number

  constructor(parts: PeerParts) {
    const { handshake, address, layout, now, events } = parts
    this.address = address
    this.direction = parts.direction
    this.id = handshake.peerId
    this.fast = handshake.fast
    this.extended = handshake.extended
    this.#client = clientOf(handshake.peerId)
    this.#layout = layout
    this.#interest = new Interest(parts.tuning.interestMs)
    this.#now = now
    this.#events = events
    this.#strikes = parts.strikes
    this.connectedAt = this.since = this.usefulAt = now()
    this.#has = new Bitfield(pieceCount(layout))
    this.rest()
    this.pipeline = new Pipeline(now(), parts.tuning.requestMs, defaultRequestQueue, standardBlockBytes, parts.line)
    const expected = () => (this.pipeline.expected > standardBlockBytes ? this.pipeline.expected : 0)
    this.connection = new Connection(parts.wire, pieceCount(layout), { pool: parts.frames, expected }, now, {
      onMessage: message => this.#hear(message),
      onTurn: () => events.onTurn(this),
      onDrain: () => events.onDrain(this),
      onClose: reason => {
        this.#receipts.stop()
        events.onClose(this, reason)
      },
    })
    this.#receipts = new Receipts({ now, say: (id, total) => this.connection.out.extended(id, encodeReceipt(total)) })
  }

  get host(): string {
    return this.address.host
  }

  get has(): Bitfield {
    return this.#has
  }

  get strikes(): number {
    return this.#strikes(this.host)
  }

  get resting(): boolean {
    return this.#now() < this.#restUntil
  }

  get ready(): boolean {
    return this.connection.ready
  }

  /** It has brought a bad piece: others first. */
  rest(): void {
    this.#restUntil = this.#now() + restMs * this.strikes
  }

  get answerMs(): number {
    return this.pipeline.answerMs
  }

  asked(piece: number, unit: number): boolean {
    return this.pipeline.asked(piece, unit)
  }

  view(): PeerView {
    const { address, direction, bytesIn, bytesOut } = this
    return { address, client: this.#client, direction, pieces: this.has.count, bytesIn, bytesOut }
  }

  request(partial: PartialPiece, block: Block, now: number): void {
    this.pipeline.add(partial, block, now)
    this.connection.out.block('request', block.piece, block.begin, block.length)
  }

  cancel(block: Block): void {
    this.connection.out.block('cancel', block.piece, block.begin, block.length)
  }

  /** Say that we want something of it, when that is news. */
  declareInterest(): void {
    if (this.#interest.begins(this.wanted, this.#now())) this.connection.out.bare('interested')
  }

  /** As `Interest.ends`. */
  settleInterest(now: number, forGood: boolean): void {
    if (this.#interest.ends(this.wanted, now, forGood)) this.connection.out.bare('notInterested')
  }

  /** Tell it what has arrived of what it sends, when it is time. */
  acknowledge(): void {
    const { connection, pipeline } = this
    this.#receipts.tend(connection.talking || pipeline.idle, () => pipeline.rate.at(this.#now()))
  }

  setChoked(choked: boolean, now: number): void {
    this.choked = choked
    this.since = now
    this.connection.out.bare(choked ? 'choke' : 'unchoke')
  }

  sendBlocks(blocks: readonly ServedBlock[], onWritten: () => void): void {
    for (const { length } of blocks) this.bytesOut += length
    this.connection.sendBlocks(blocks, onWritten)
    this.usefulAt = this.connection.saidAt
  }

  suggest(piece: number): void {
    this.connection.out.suggest(piece)
  }

  refuse({ piece, begin, length }: Block): void {
    if (this.fast) this.connection.out.block('reject', piece, begin, length)
  }

  #hear(message: Message): void {
    const events = this.#events
    if (!this.fast && needsFast.has(message.type)) throw new WireError('a fast message without the fast extension')
    switch (message.type) {
      case 'piece':
        this.#receipts.arrived(message.block.length)
        events.onBlock(this, message.piece, message.begin, message.block)
        break
      case 'request':
        events.onRequest(this, this.#inside(message))
        break
      case 'cancel':
        events.onCancel(this, message)
        break
      case 'reject':
        events.onReject(this, message)
        break
      case 'have':
        this.#have(message.piece)
        break
      case 'suggest':
        this.suggested.push(message.piece)
        if (this.suggested.length > suggestedKept) this.suggested.shift()
        break
      case 'bitfield':
        this.#inventory(parseInventory(this.has.length, message.bytes))
        break
      case 'haveAll':
        this.#inventory(Bitfield.full(this.has.length))
        break
      case 'haveNone':
        this.#inventory(new Bitfield(this.has.length))
        break
      case 'choke':
        this.choking = true
        events.onChoke(this)
        break
      case 'unchoke':
        this.choking = false
        break
      case 'interested':
      case 'notInterested':
        this.interested = message.type === 'interested'
        events.onInterest(this)
        break
      case 'extended':
        this.#extended(message.id, message.payload)
        break
      default: // keep-alive, what is allowed while choked, and what nobody has agreed on
    }
  }

  #have(piece: number): void {
    if (piece >= this.has.length) throw new WireError('a piece that does not exist')
    this.#inventoried = true
    if (this.has.has(piece)) return
    this.has.set(piece)
    this.#events.onHave(this, piece)
  }

  #inventory(said: Bitfield): void {
    if (!this.#inventoried) {
      this.#inventoried = true
      this.#has = said
      this.#events.onInventory(this)
      return
    }
    // aria2 sends its bitfield again where that is shorter than many haves. What is not new costs a look at each byte.
    for (const [at, byte] of said.bytes.entries())
      if (byte !== this.has.bytes[at])
        for (let piece = at * 8; piece < at * 8 + 8; piece++) if (said.has(piece)) this.#have(piece)
  }

  #extended(id: number, payload: Uint8Array): void {
    if (id === receiptId) this.#events.onReceipt(this, decodeReceipt(payload))
    if (id === extensionHandshakeId) this.#introduced(payload)
  }

  #introduced(payload: Uint8Array): void {
    const { client, port, requestQueue, blockBytes, receiptId: theirs } = decodeExtensionHandshake(payload)
    if (client !== '') this.#client = client
    this.listenPort = port
    this.pipeline.requestLimit = requestQueue
    this.pipeline.blockLimit = Math.min(blockBytes, this.#layout.pieceLength)
    // Never back: answers to larger requests may be on their way.
    this.#blockBytes = Math.max(this.#blockBytes, this.pipeline.blockLimit)
    this.connection.allowBlocks(this.#blockBytes)
    if (theirs === undefined) return
    this.#receipts.wantedAs = theirs
    // It serves what is wanted most first: what waits there holds nothing up, and to ask for a whole piece spares round trips.
    this.pipeline.leastWindowBytes = Math.min(this.#layout.pieceLength, mostAskedAhead)
    this.#events.onReceipts(this)
  }

  /** @throws WireError when the block is not inside a piece, empty, or larger than we ever offer. */
  #inside(block: Block): Block {
    const { piece, begin, length } = block
    if (piece >= this.has.length || length < 1 || length > largestBlockBytes) throw new WireError('no such block')
    if (begin + length > pieceSize(this.#layout, piece)) throw new WireError('a block beyond the piece')
    return block
  }
}

const needsFast: ReadonlySet<Message['type']> = new Set(['haveAll', 'haveNone', 'reject'])
