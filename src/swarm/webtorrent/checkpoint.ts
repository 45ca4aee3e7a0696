/**
 * The checkpoint of one connection: two streams between the socket and webtorrent's wire. webtorrent builds each connection as
 *
 *   socket ▶ throttle (down) ▶ wire ▶ throttle (up) ▶ socket
 *
 * and the checkpoint stands where the throttles would. Inwards it passes only what FrameFilter passes, and hands on requests no faster
 * than their answers leave: webtorrent answers whatever is asked at once, and keeps in memory what the peer does not read.
 */
import type { Socket } from 'node:net'
import { Transform } from 'node:stream'
import type { Wire } from 'webtorrent'
import type { PieceStore } from '../../core/piece-store.ts'
import { KiB, MiB } from '../../core/units.ts'
import type { LanLimits } from '../engine.ts'
import { onTheLine } from '../limits/limiter.ts'
import { FrameError, FrameFilter } from './frame-filter.ts'

/** Answers that may wait for the socket before the next request is looked at. */
const answersAheadBytes = 256 * KiB
const answersAhead = 16
/** What else a peer that does not read may make us keep (haves, rejects) before it is hung up on. */
const backlogLimitBytes = 2 * MiB
/** We announce 500; who exceeds that twice over is not a client. */
const queueLimit = 1000

export interface CheckpointRules {
  /** The socket is known: may this connection be? */
  admit(checkpoint: Checkpoint, socket: Socket): boolean
  /** What is joined under this name; undefined when nothing is. */
  joined(infohash: string): Joined | undefined
}

/** An artifact, as far as its connections go. */
export interface Joined {
  readonly store: PieceStore
  readonly limits: LanLimits
}

export class Checkpoint {
  readonly inbound: Transform
  readonly outbound: Transform
  /** What the peer calls itself, raw, at most 100 bytes; empty when it does not say. */
  client = Buffer.alloc(0)
  #wire: Wire | undefined
  #joined: Joined | undefined
  readonly #filter: FrameFilter
  #requests: Buffer[] = []
  #handingOn = false
  readonly #over = new AbortController()

  constructor({ admit, joined }: CheckpointRules) {
    this.#filter = new FrameFilter({
      layoutOf: infohash => {
        this.#joined = joined(infohash)
        return this.#joined?.store.layout
      },
      pass: bytes => this.inbound.push(bytes),
      request: message => this.#enqueue(message),
      cancel: message => this.#withdraw(message),
      client: name => {
        this.client = Buffer.from(name.subarray(0, 100))
      },
    })
    this.inbound = new Transform({
      transform: (chunk, _encoding, done) => {
        const refused = refusal(() => this.#filter.feed(chunk))
        if (refused) done(refused)
        else this.#passes('lan_down', chunk, done)
      },
    })
    this.outbound = new Transform({
      transform: (chunk, _encoding, done) => {
        this.#passes('lan_up', chunk, () => {
          done(null, chunk)
          this.#handOnSoon()
        })
      },
    })
    this.inbound.once('close', () => this.#over.abort(new Error('the connection is closed')))
    this.inbound.on('pipe', source => {
      const socket = source as Socket // the `pipe` event does not say more than Readable
      if (!admit(this, socket)) socket.destroy()
    })
  }

  get greeted(): boolean {
    return this.#filter.greeted
  }

  /** The wire behind it is known and welcome: from now on its requests are handed on. */
  attach(wire: Wire): void {
    this.#wire = wire
    this.#handOnSoon()
  }

  /** Calls `done` when the limit lets the chunk through: until then the next one waits in the socket. Not when the connection closes. */
  #passes(limit: keyof LanLimits, chunk: Buffer, done: () => void): void {
    const limiter = this.#joined?.limits[limit]
    if (!limiter || limiter.take(onTheLine(chunk.length))) done()
    else limiter.pass(onTheLine(chunk.length), this.#over.signal).then(done, () => {})
  }

  #enqueue(message: Buffer): void {
    // Nobody was told of that piece. webtorrent would keep the request without an answer, and a later one like it as well.
    if (!this.#joined?.store.have.has(message.readUInt32BE(5))) return
    if (this.#requests.length >= queueLimit) throw new FrameError(`it has ${queueLimit} requests open`)
    this.#requests.push(message)
    this.#handOnSoon()
  }

  #withdraw(message: Buffer): void {
    const body = message.subarray(5)
    const at = this.#requests.findIndex(request => request.subarray(5).equals(body))
    if (at >= 0) this.#requests.splice(at, 1)
    else this.inbound.push(message)
  }

  /** Once a turn of the event loop: only then does the wire count what was handed on before. */
  #handOnSoon(): void {
    if (this.#handingOn || !this.#wire) return
    this.#handingOn = true
    setImmediate(() => {
      this.#handingOn = false
      this.#handOn()
    })
  }

  #handOn(): void {
    if (!this.#wire || this.inbound.destroyed) return
    const backlog = this.#wire._readableState.buffered
    if (backlog > backlogLimitBytes) {
      this.inbound.destroy(new FrameError('it does not read what it asks for'))
      return
    }
    const room = backlog < answersAheadBytes ? Math.max(0, answersAhead - this.#wire.peerRequests.length) : 0
    for (const request of this.#requests.splice(0, room)) this.inbound.push(request)
  }
}

/** @returns The reason to end the connection, null when there is none. */
function refusal(step: () => void): Error | null {
  try {
    step()
    return null
  } catch (error) {
    if (error instanceof FrameError) return error
    throw error
  }
}
