/**
 * The requests under way with one peer: how many there should be, and which have waited too long. Pure.
 *
 * As many as the peer delivers in a round trip and a bit more (the bandwidth-delay product), so that it never waits for the next
 * request; not more, because what waits at one peer cannot be asked of another. The bit more lets the rate find out that it can grow.
 *
 * A request is under way until it is answered, or it lapses: the peer was too slow, and others may be asked. A lapsed one is
 * remembered, since its answer may still come and still help.
 */
import { KiB, MiB, second } from '../../core/units.ts'
import type { LineWindow } from './line-window.ts'
import type { Block, PartialPiece } from './partial-piece.ts'
import { unitBytes } from './partial-piece.ts'
import { Rate } from './rate.ts'

export interface Request extends Block {
  readonly partial: PartialPiece
  /** When it was sent; monotonic milliseconds. */
  readonly at: number
  lapsed: boolean
  /** The peer was told that it is no longer wanted. */
  withdrawn: boolean
}

const smallestWindowBytes = 5 * unitBytes
const largestWindowBytes = 500 * unitBytes
/** A LAN's product (1 Gbit/s at 4 ms), once there is an answer; later only for peers that deliver it within a second. */
const firstWindowBytes = 512 * KiB
/** On top of the round trip: what a busy event loop at either end may take. */
const slackMs = 200
/** A block should not occupy a slow peer longer than this, or it cannot be asked for anything else. */
const blockMs = 250
const lapsedKept = 512
/** So many bytes of the latest answers tell how fast a peer serves. */
const servedMemoryBytes = 512 * KiB
/** Of the latest answer in the typical time of one. */
const freshness = 1 / 8
/** Of the window. */
const refillBelow = 0.75
const unitsPerPiece = (16 * MiB) / unitBytes

export class Pipeline {
  readonly rate: Rate
  /** Requests that the peer keeps queued for us. */
  requestLimit: number
  /** Largest block that the peer serves. */
  blockLimit: number
  /** Under way with it, however slow it is, as long as it answers. */
  leastWindowBytes = smallestWindowBytes
  /** Bytes under way. */
  outstanding = 0
  readonly #requests = new Map<number, Request>()
  readonly #timeoutMs: number
  #live = 0
  #roundTripMs = 0
  #answerMs = 0
  /** The request that was sent when no other was under way: its answer tells the round trip without a queue. */
  #probe: { readonly request: Request; readonly at: number } | undefined
  /** When the silence began: at the last answer, or at the first request after a time without any. */
  #waitingSince = 0
  #lapses = 0
  #answered = false
  /** Of the latest answers, fading; and how long each was waited for, since it was asked for or the one before it came. */
  #servedBytes = 0
  #servedMs = 0
  /** Of all peers together. */
  readonly #line: LineWindow

  constructor(now: number, timeoutMs: number, requestLimit: number, blockLimit: number, line: LineWindow) {
    this.#line = line
    this.rate = new Rate(now)
    this.#timeoutMs = timeoutMs
    this.requestLimit = requestLimit
    this.blockLimit = blockLimit
  }

  /** Lapsed once without an answer since: it is asked for little until it shows life. */
  get snubbed(): boolean {
    return this.#lapses > 0
  }

  /** Times in a row that all requests lapsed. */
  get lapses(): number {
    return this.#lapses
  }

  /** How long an answer takes with what is under way: a request that is sent now will take as long. */
  get answerMs(): number {
    return this.#answerMs
  }

  get idle(): boolean {
    return this.#live === 0
  }

  /** Length of the block that is likely to come next, since peers answer in order; 0 when no request is under way. */
  get expected(): number {
    for (const { length, lapsed } of this.#requests.values()) if (!lapsed) return length
    return 0
  }

  /** So much has been answered that it is worth asking for more. */
  hungry(now: number): boolean {
    return this.#live === 0 || this.outstanding <= this.#window(now) * refillBelow
  }

  /** Bytes that may be asked for now; 0 or less: enough is under way. */
  room(now: number): number {
    if (this.#live >= this.requestLimit) return 0
    return Math.min(this.#window(now) - this.outstanding, this.#line.room(now))
  }

  /**
   * Bytes that the next request may name: whole units. By how fast the peer serves while it is asked for something, not by how much it brings: of
   * twenty neighbours that share what a thin line lets in none brings much, and each of their answers costs both sides the same, large or small.
   * An answer that does not come tells of it, too.
   */
  blockBytes(now: number): number {
    if (this.snubbed || !this.#answered) return unitBytes
    const waitingMs = this.#live > 0 ? now - this.#waitingSince : 0
    const wanted = Math.min(this.blockLimit, (this.#servedBytes * blockMs) / (this.#servedMs + waitingMs))
    return Math.max(1, Math.floor(wanted / unitBytes)) * unitBytes
  }

  add(partial: PartialPiece, block: Block, now: number): void {
    const { piece, begin, length } = block
    const request = { piece, begin, length, partial, at: now, lapsed: false, withdrawn: false }
    if (this.#live === 0) {
      this.#waitingSince = now
      this.#probe = { request, at: now }
    }
    this.#requests.set(keyOf(block.piece, block.begin), request)
    this.#live++
    if (this.#requests.size - this.#live > lapsedKept) this.#forget()
    this.outstanding += block.length
    this.#line.begin(block.length, now)
  }

  /** A request for this unit is under way or has lapsed. */
  asked(piece: number, unit: number): boolean {
    if (this.#requests.has(keyOf(piece, unit * unitBytes))) return true
    for (const { piece: other, begin, length } of this.#requests.values())
      if (other === piece && begin <= unit * unitBytes && unit * unitBytes < begin + length) return true
    return false
  }

  /** The request that a block answers, now done; `undefined`: nobody asked for it. */
  answered(piece: number, begin: number, length: number, now: number): Request | undefined {
    const request = this.refused(piece, begin, length)
    if (!request) return undefined
    this.#line.arrived(length, now)
    this.rate.add(length, now)
    this.#served(length, now - Math.max(request.at, this.#waitingSince))
    this.#answered = true
    this.#lapses = 0
    this.#waitingSince = now
    this.#answerMs += (now - request.at - this.#answerMs) * freshness
    if (this.#probe?.request === request) this.#roundTripMs = now - this.#probe.at
    return request
  }

  #served(bytes: number, ms: number): void {
    const kept = 1 - Math.min(1, bytes / servedMemoryBytes)
    this.#servedBytes = this.#servedBytes * kept + bytes
    this.#servedMs = this.#servedMs * kept + ms
  }

  /** The request that a reject names, now done. */
  refused(piece: number, begin: number, length: number): Request | undefined {
    const key = keyOf(piece, begin)
    const request = this.#requests.get(key)
    if (!request || request.piece !== piece || request.begin !== begin || request.length !== length) return undefined
    this.#requests.delete(key)
    this.#settle(request)
    return request
  }

  /** The requests under way for `piece` that `which` says yes to: no longer waited for. */
  withdraw(piece: number, which: (block: Block) => boolean): Request[] {
    const withdrawn: Request[] = []
    for (const request of this.#requests.values()) {
      if (request.piece !== piece || request.withdrawn || !which(request)) continue
      // A lapsed one, too: the peer may still have it in its queue.
      this.#lapse(request)
      request.withdrawn = true
      withdrawn.push(request)
    }
    return withdrawn
  }

  /** Nothing was answered for too long. */
  late(now: number): boolean {
    return this.#live > 0 && now - this.#waitingSince > this.#timeoutMs
  }

  /** The peer is too slow: all requests under way lapse. @returns Them. */
  lapse(): Request[] {
    const lapsed = [...this.#requests.values()].filter(request => !request.lapsed)
    for (const request of lapsed) this.#lapse(request)
    this.#lapses++
    return lapsed
  }

  /** The peer will answer none of its requests. @returns Those that were under way. */
  clear(): Request[] {
    const live = [...this.#requests.values()].filter(request => !request.lapsed)
    this.#requests.clear()
    for (const request of live) this.#settle(request)
    return live
  }

  #window(now: number): number {
    if (this.snubbed || !this.#answered) return unitBytes
    const rate = this.rate.at(now)
    if (rate === undefined) return firstWindowBytes
    const product = (rate * (this.#roundTripMs + slackMs)) / second
    const floor = Math.max(this.leastWindowBytes, Math.min(firstWindowBytes, rate))
    return Math.max(floor, Math.min(product, largestWindowBytes))
  }

  /** The oldest lapsed request: its answer has had its time. */
  #forget(): void {
    for (const [key, { lapsed }] of this.#requests) if (lapsed) return void this.#requests.delete(key)
  }

  #lapse(request: Request): void {
    this.#settle(request)
    request.lapsed = true
  }

  #settle(request: Request): void {
    if (request.lapsed) return
    this.#live--
    this.outstanding -= request.length
    this.#line.end(request.length, request.at)
  }
}

function keyOf(piece: number, begin: number): number {
  return piece * unitsPerPiece + Math.floor(begin / unitBytes)
}
