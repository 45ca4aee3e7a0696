/**
 * The slice: the pieces that were dealt to this node's seat and that nobody has brought yet, and which of them are being fetched.
 * No I/O. Nothing outside it is ever asked of the origin.
 *
 *   dealt 3-9, stored 6      claim: 3-5      claim: 7-9      claim: nothing
 *   the lease is over        nothing is wanted any more: by now these pieces are dealt to somebody else
 */
import { type PieceLayout, pieceSize } from '../core/artifact.ts'
import type { Clock } from '../core/clock.ts'
import type { PieceIntake } from '../core/piece-store.ts'
import type { SeatAnswer } from './seats/protocol.ts'

/** Pieces in one go, both ends included. */
export interface Run {
  readonly first: number
  readonly last: number
}

/** The lease in force: since when (wall time, ms), and all that was dealt to it so far, fetched or not. */
export interface SeatView {
  readonly since: number
  readonly pieces: number
  readonly bytes: number
}

interface Seat {
  /** Undefined when the neighbours have elected this node: no origin has given it a lease. */
  readonly token: string | undefined
  readonly since: number
  /** Monotonic. */
  readonly until: number
  readonly dealt: ReadonlySet<number>
  /** Every piece that was dealt to this lease. */
  readonly ever: Set<number>
  /** How many pieces were new when any were new last. */
  readonly lastRun: number
}

export class Slice {
  readonly #layout: PieceLayout
  readonly #store: Pick<PieceIntake, 'have'>
  readonly #clock: Pick<Clock, 'now' | 'monotonic'>
  readonly #claimed = new Set<number>()
  #seat: Seat | undefined

  /** @param store What the node has stored, from any side. */
  constructor(layout: PieceLayout, store: Pick<PieceIntake, 'have'>, clock: Pick<Clock, 'now' | 'monotonic'>) {
    this.#layout = layout
    this.#store = store
    this.#clock = clock
  }

  /** What the origin says now replaces what it said before. Runs that are being fetched stay claimed until they are released. */
  deal({ seat: token, pieces, leaseMs }: Pick<SeatAnswer, 'seat' | 'pieces' | 'leaseMs'>): void {
    if (token === null) this.revoke()
    else this.#lease(token, pieces, leaseMs)
  }

  /** Nobody deals, and the neighbours have elected this node to fetch these pieces, for so long. */
  elect(pieces: readonly number[], leaseMs: number): void {
    this.#lease(
      undefined,
      pieces.filter(piece => !this.#store.have.has(piece)),
      leaseMs,
    )
  }

  #lease(token: string | undefined, pieces: readonly number[], leaseMs: number): void {
    const now = { since: this.#clock.now(), ever: new Set<number>(), lastRun: 0 }
    const { since, ever, lastRun } = this.#seat && this.#seat.token === token ? this.#seat : now
    const fresh = pieces.filter(piece => !ever.has(piece))
    for (const piece of fresh) ever.add(piece)
    const until = this.#clock.monotonic() + leaseMs
    this.#seat = { token, since, until, dealt: new Set(pieces), ever, lastRun: fresh.length || lastRun }
  }

  /** There is no seat any more. */
  revoke(): void {
    this.#seat = undefined
  }

  /** To show with requests, and to renew: the origin decides whether a lease that we think is over can be. */
  get token(): string | undefined {
    return this.#seat?.token
  }

  seat(): SeatView | null {
    const seat = this.#leased()
    if (!seat) return null
    let bytes = 0
    for (const piece of seat.ever) bytes += pieceSize(this.#layout, piece)
    return { since: seat.since, pieces: seat.ever.size, bytes }
  }

  /** May this piece be fetched, and is it still missing? */
  wants(piece: number): boolean {
    return this.#leased()?.dealt.has(piece) === true && !this.#store.have.has(piece)
  }

  /** How many pieces are still to come, those under way included. */
  left(): number {
    let left = 0
    for (const piece of this.#leased()?.dealt ?? []) if (!this.#store.have.has(piece)) left++
    return left
  }

  /** Whether it is time to ask for the next run: the origin gives it out when less than half of the last is left, or one piece. */
  runsLow(): boolean {
    const left = this.left()
    return left <= 1 || left * 2 < (this.#seat?.lastRun ?? 0)
  }

  /** Is there a run to claim? */
  hasRun(): boolean {
    return this.#firstFree() !== undefined
  }

  /**
   * The first run of pieces that are wanted and that nobody is fetching, as long as it gets; now it is being fetched.
   *
   * @param begun Is a part of this piece here already? A run begins with such a piece, or ends in front of it: in the middle it would be
   *   fetched from its first byte. Default: nothing is.
   */
  claim(begun: (piece: number) => boolean = () => false): Run | undefined {
    const first = this.#firstFree()
    if (first === undefined) return undefined
    let last = first
    while (this.#isFree(last + 1) && !begun(last + 1)) last++
    for (let piece = first; piece <= last; piece++) this.#claimed.add(piece)
    return { first, last }
  }

  /** The run is over, complete or not: what it left missing can be claimed again. */
  release({ first, last }: Run): void {
    for (let piece = first; piece <= last; piece++) this.#claimed.delete(piece)
  }

  #firstFree(): number | undefined {
    for (const piece of this.#leased()?.dealt ?? []) if (this.#isFree(piece)) return piece
    return undefined
  }

  #isFree(piece: number): boolean {
    return this.wants(piece) && !this.#claimed.has(piece)
  }

  #leased() {
    return this.#seat && this.#clock.monotonic() < this.#seat.until ? this.#seat : undefined
  }
}
