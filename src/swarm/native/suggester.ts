/**
 * Which pieces a seed hints at to whom (BEP 6, suggest piece), so that each leaves it once before any leaves it twice. Pure.
 *
 * Peers that fetch at the same time do not know what the others have under way: each picks by chance among the pieces that nobody has
 * yet, and where the seed's line is the bottleneck, every piece sent twice is lost time for all. So each gets a few pieces of its own.
 * It is a hint: a peer asks for what it likes.
 */
import { Bitfield } from '../../core/bitfield.ts'
import { MiB } from '../../core/units.ts'

/** Not yet asked for, by peer: enough to fill its pipeline, and not more, because what waits for one is not hinted at to others. */
const aheadBytes = MiB
const fewestAhead = 2

export interface Taker {
  readonly fast: boolean
  readonly interested: boolean
  suggest(piece: number): void
}

export interface SuggesterParts {
  readonly pieces: number
  readonly pieceLength: number
  /** Peers that have the piece, apart from seeds. */
  readonly availability: (piece: number) => number
  /** 0 <= random() < 1. */
  readonly random: () => number
}

export class Suggester {
  readonly #parts: SuggesterParts
  readonly #ahead: number
  /** Several seeds begin at different places; from there on in order, which disks like. */
  readonly #start: number
  #looked = 0
  readonly #given: Bitfield
  readonly #open = new Map<Taker, Set<number>>()

  constructor(parts: SuggesterParts) {
    this.#parts = parts
    this.#ahead = Math.max(fewestAhead, Math.ceil(aheadBytes / parts.pieceLength))
    this.#start = Math.floor(parts.random() * parts.pieces)
    this.#given = new Bitfield(parts.pieces)
  }

  /** Hint, if the peer has few hints left. O(1) a hint in the long run. */
  tend(peer: Taker): void {
    if (!peer.fast || !peer.interested) return
    const open = this.#open.get(peer) ?? new Set()
    this.#open.set(peer, open)
    while (open.size < this.#ahead) {
      const piece = this.#next()
      if (piece === undefined) return
      this.#given.set(piece)
      open.add(piece)
      peer.suggest(piece)
    }
  }

  /** The peer asks for the piece, or has it. */
  taken(peer: Taker, piece: number): void {
    this.#given.set(piece)
    this.#open.get(peer)?.delete(piece)
  }

  /** What the peer has not asked for is hinted at to others. */
  gone(peer: Taker): void {
    for (const piece of this.#open.get(peer) ?? []) this.#given.clear(piece)
    if (this.#open.delete(peer)) this.#looked = 0
  }

  #next(): number | undefined {
    const { pieces, availability } = this.#parts
    while (this.#looked < pieces) {
      const piece = (this.#start + this.#looked++) % pieces
      if (!this.#given.has(piece) && availability(piece) === 0) return piece
    }
    return undefined
  }
}
