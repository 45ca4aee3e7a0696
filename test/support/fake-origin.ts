/**
 * An origin of one artifact and one seat at a time, over real HTTP: deals runs of a few pieces, keeps to the deal, and does wrong
 * what a test tells it to. It remembers every byte range that it was asked for.
 */
import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import { pieceCount } from '../../src/core/artifact.ts'
import { Bitfield } from '../../src/core/bitfield.ts'
import { type SeatAnswer, seatRequest } from '../../src/swarm/seats/protocol.ts'
import type { ArtifactFixture } from './artifact.ts'
import { askedRange, RawHttpServer, type RawRequest, reply } from './raw-http-server.ts'

export interface Heard {
  readonly want: boolean
  readonly have: Bitfield
  readonly seat?: string | undefined
  readonly lan?: string | undefined
}

export class FakeOrigin {
  readonly server: RawHttpServer
  readonly heard: Heard[] = []
  /** Half-open byte ranges, in the order they were asked for. */
  readonly ranges: [start: number, end: number][] = []
  /** Every piece that was ever dealt. */
  readonly dealt = new Set<number>()
  /** What a request touched that was not dealt at the time. */
  readonly strays: number[] = []
  /** Pieces a run; 0 deals nothing. */
  runLength = 3
  /** Pieces that are never dealt. */
  readonly kept = new Set<number>()
  leaseMs = 60_000
  /** Ranges are for everybody, as where a CDN stands in front. */
  openPayloads = false
  /** By the clock of the node. */
  nextMs = 1000
  /** Answer seat requests like this instead. */
  onSeats: ((socket: Socket, request: RawRequest) => boolean) | undefined
  /** Answer a range like this instead. Returns false to have it answered honestly after all. */
  onRange: ((socket: Socket, start: number, end: number) => boolean) | undefined
  readonly #fixture: ArtifactFixture
  #token: string | undefined
  #open: number[] = []

  private constructor(fixture: ArtifactFixture, server: RawHttpServer) {
    this.#fixture = fixture
    this.server = server
  }

  static async start(fixture: ArtifactFixture): Promise<FakeOrigin> {
    const server = await RawHttpServer.start((socket, request) => origin.#answer(socket, request))
    const origin = new FakeOrigin(fixture, server)
    return origin
  }

  /** Pieces dealt and not yet reported. */
  get open(): readonly number[] {
    return this.#open
  }

  /** Take the seat away; nothing is dealt until somebody asks again. */
  evict(): void {
    this.#token = undefined
    this.#open = []
  }

  stop(): Promise<void> {
    return this.server.stop()
  }

  /** An honest answer to a range. */
  send(socket: Socket, start: number, end: number, content: Buffer = this.#fixture.content): void {
    const headers = { 'content-range': `bytes ${start}-${end - 1}/${content.length}` }
    reply(socket, 206, content.subarray(start, end), headers)
  }

  #answer(socket: Socket, request: RawRequest): void {
    if (request.method === 'POST') this.#seats(socket, request)
    else this.#range(socket, request)
  }

  #seats(socket: Socket, request: RawRequest): void {
    const { artifact } = this.#fixture
    const { have: base64, want, seat, lan } = seatRequest.parse(JSON.parse(request.body))
    const have = Bitfield.parse(pieceCount(artifact), base64)
    this.heard.push({ want, have, seat, lan })
    if (this.onSeats?.(socket, request)) return
    this.#open = this.#open.filter(piece => !have.has(piece))
    if (want && this.#open.length <= 1) this.#deal(have)
    if (!want) this.evict()
    const answer: SeatAnswer = {
      seat: this.#token ?? null,
      pieces: this.#open,
      leaseMs: this.leaseMs,
      nextMs: this.nextMs,
      siteHolds: have.count,
    }
    reply(socket, 200, JSON.stringify(answer))
  }

  #deal(have: Bitfield): void {
    const missing = [...Array(have.length).keys()].filter(
      piece => !have.has(piece) && !this.kept.has(piece) && !this.#open.includes(piece),
    )
    this.#open = [...this.#open, ...missing.slice(0, this.runLength)].sort((a, b) => a - b)
    for (const piece of this.#open) this.dealt.add(piece)
    if (this.#open.length > 0) this.#token ??= randomUUID()
  }

  #range(socket: Socket, request: RawRequest): void {
    const [start, end] = askedRange(request)
    const { pieceLength } = this.#fixture.artifact
    for (let piece = Math.floor(start / pieceLength); piece * pieceLength < end; piece++) {
      if (!this.dealt.has(piece)) this.strays.push(piece)
    }
    const seated = this.#token !== undefined && request.headers.get('x-sigmesh-seat') === this.#token
    if (!seated && !this.openPayloads) {
      reply(socket, 403, '{"error":{"code":"seat_required"}}', { 'retry-after': '1' })
      return
    }
    this.ranges.push([start, end])
    if (!this.onRange?.(socket, start, end)) this.send(socket, start, end)
  }
}
