/**
 * One wire that speaks frames: bytes in to the decoder, small messages out in one write a turn, blocks out without a copy. It knows
 * nothing of pieces. Every fault of the other side (a broken frame, a reset, answers that it does not read) ends in `onClose`, once.
 */
import { KiB, MiB } from '../../core/units.ts'
import { FrameDecoder, type FrameMemory } from './frame-decoder.ts'
import { FrameWriter, pieceHead } from './frame-writer.ts'
import type { Message } from './message.ts'
import type { ServedBlock } from './upload.ts'
import type { Wire } from './wire.ts'

/** Blocks wait in their queue, not in the socket, while this much is unsent. */
const readyBelowBytes = 256 * KiB
/**
 * Answers to small messages that the other side does not read: beyond this it is not worth another byte. Well above what is ready for
 * the socket plus one turn of blocks, which is no fault of the other side.
 */
const backlogLimitBytes = MiB

export interface ConnectionEvents {
  /** @throws WireError when the message is out of place: the connection closes. */
  onMessage(message: Message): void
  /** All messages of a chunk were handed on, one at least that is more than a keep-alive; what is said now leaves with the answers. */
  onTurn(): void
  /** The socket takes blocks again. */
  onDrain(): void
  onClose(reason: string): void
}

export class Connection {
  readonly #wire: Wire
  readonly #events: ConnectionEvents
  readonly #decoder: FrameDecoder
  readonly #writer = new FrameWriter()
  readonly #now: () => number
  #flushing: NodeJS.Immediate | undefined
  #inTurn = false
  /** Messages were handed on in this turn. */
  #heard = false
  #closed = false
  #backlogSince: number | undefined
  /** Monotonic milliseconds of the last byte in, and of the last write out. */
  heardAt: number
  saidAt: number

  /** @param pieces Of the artifact: it decides the length of a bitfield. */
  constructor(wire: Wire, pieces: number, memory: FrameMemory, now: () => number, events: ConnectionEvents) {
    this.#wire = wire
    this.#events = events
    this.#now = now
    this.heardAt = this.saidAt = now()
    this.#decoder = new FrameDecoder(pieces, message => this.#hand(message), memory)
    wire.onBytes = chunk => this.receive(chunk)
    wire.into = () => this.#decoder.into()
    wire.onArrived = count => this.#turn(() => this.#decoder.arrived(count))
    wire.onEnd = reason => this.close(reason)
    wire.socket.on('drain', () => {
      this.#backlogSince = undefined
      if (!this.#closed) events.onDrain()
    })
  }

  /** Where small messages are written; they leave at the end of the turn. */
  get out(): FrameWriter {
    if (!this.#inTurn) this.#flushing ??= setImmediate(() => this.flush())
    return this.#writer
  }

  get ready(): boolean {
    return !this.#closed && this.#wire.socket.writableLength < readyBelowBytes
  }

  /** Something is about to be said anyway. */
  get talking(): boolean {
    return this.#writer.length > 0
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Since when the other side has taken nothing of what waits for it. */
  get backlogSince(): number | undefined {
    return this.#backlogSince
  }

  /** From now on blocks of up to `bytes` may arrive. */
  allowBlocks(bytes: number): void {
    this.#decoder.allowBlocks(bytes)
  }

  /** @param block Of the message that is being handed on. @returns Whether its memory is the caller's now; if not, it has to be copied. */
  keep(block: Uint8Array): boolean {
    return this.#decoder.keep(block)
  }

  receive(chunk: Uint8Array): void {
    this.#turn(() => this.#decoder.push(chunk))
  }

  /** @param onWritten Called once, when the socket does not need the bytes any more. */
  sendBlocks(blocks: readonly ServedBlock[], onWritten: () => void): void {
    const { socket } = this.#wire
    const last = blocks.at(-1)?.bytes.at(-1)
    socket.cork()
    this.flush()
    for (const { piece, begin, length, bytes } of blocks) {
      this.#write(pieceHead(piece, begin, length))
      for (const part of bytes) this.#write(part, part === last ? onWritten : undefined)
    }
    socket.uncork()
    this.#watch()
  }

  flush(): void {
    clearImmediate(this.#flushing)
    this.#flushing = undefined
    if (this.#closed || this.#writer.length === 0) return
    const taken = this.#writer.take()
    this.#write(taken)
    // Written through to the kernel already, as nearly always: the memory is ours again.
    if (this.#wire.socket.writableLength === 0) this.#writer.reuse(taken)
    this.#watch()
  }

  close(reason: string): void {
    if (this.#closed) return
    this.#closed = true
    clearImmediate(this.#flushing)
    this.#decoder.stop()
    this.#wire.onBytes = () => {}
    this.#wire.destroy()
    this.#events.onClose(reason)
  }

  #turn(decode: () => void): void {
    if (this.#closed) return
    this.heardAt = this.#now()
    this.#inTurn = true
    this.#heard = false
    try {
      decode()
      // A part of a block changes nothing, and most of what a busy cable brings is one.
      if (this.#heard && !this.#closed) this.#events.onTurn()
    } catch (error) {
      // Not only WireError: whatever a stranger's bytes bring about ends this connection, never the process.
      this.close(String(error))
    } finally {
      this.#inTurn = false
    }
    this.flush()
  }

  #hand(message: Message): void {
    if (message.type !== 'keepAlive') this.#heard = true
    this.#events.onMessage(message)
  }

  #write(bytes: Uint8Array, onWritten?: () => void): void {
    this.#wire.socket.write(bytes, onWritten)
    this.saidAt = this.#now()
  }

  #watch(): void {
    const backlog = this.#wire.socket.writableLength
    if (backlog > backlogLimitBytes) this.close('does not read what it asked for')
    else if (this.#wire.socket.writableNeedDrain) this.#backlogSince ??= this.#now()
  }
}
