import type { SiteNode } from './roster.ts'

/** How fast old speed is forgotten. */
const memoryMs = 10_000

/**
 * A seat in use: the pieces dealt to one node that it has not reported yet, and how fast it brings them.
 *
 * Speed is counted from pieces reported, not from bytes sent: the kernel takes a whole run into its buffers long before a
 * thin line has carried it. Time without work is not counted.
 */
export class Lease {
  readonly token: string
  readonly node: SiteNode
  readonly slot: number
  /** Piece -> when it was dealt to this seat, in the order of the deal: the first is the one most likely under way. */
  readonly unfinished = new Map<number, number>()
  /** Pieces in the last run dealt. */
  lastRun = 0
  /** The piece after the last run; -1 before the first. */
  next = -1
  /** All that it has brought. */
  broughtBytes = 0
  #bytes = 0
  #busyMs = 0
  /** Since when it works without having brought a piece. */
  #workingSince: number

  constructor(token: string, node: SiteNode, slot: number, now: number) {
    this.token = token
    this.node = node
    this.slot = slot
    this.#workingSince = now
  }

  /** @param run Pieces in the order of the file, not empty. */
  take(run: readonly number[], now: number): void {
    if (this.unfinished.size === 0) this.#workingSince = now
    for (const piece of run) this.unfinished.set(piece, now)
    this.lastRun = run.length
    this.next = run.at(-1)! + 1
  }

  /** Bytes of dealt pieces that the node has just reported, all of one word. */
  brought(bytes: number, now: number): void {
    this.broughtBytes += bytes
    const elapsed = Math.max(1, now - this.#workingSince)
    const kept = Math.exp(-elapsed / memoryMs)
    this.#bytes = this.#bytes * kept + bytes
    this.#busyMs = this.#busyMs * kept + memoryMs * (1 - kept)
    this.#workingSince = now
  }

  /** Less than half of the last run is left, or one piece. */
  get runsLow(): boolean {
    return this.unfinished.size <= 1 || this.unfinished.size * 2 < this.lastRun
  }

  /** Bytes a millisecond over the last seconds of work; 0 until it has brought a piece. */
  get rate(): number {
    return this.#busyMs > 0 ? this.#bytes / this.#busyMs : 0
  }

  /** Milliseconds without a piece, while it has some to bring. */
  silenceMs(now: number): number {
    return this.unfinished.size > 0 ? now - this.#workingSince : 0
  }

  /** What one piece has taken it of late, in ms; 0 when that is not known. */
  usualPieceMs(pieceLength: number): number {
    return this.rate > 0 ? pieceLength / this.rate : 0
  }

  /** What one piece takes it at present, in ms: never less than the present silence. */
  pieceMs(pieceLength: number, now: number): number {
    return Math.max(this.usualPieceMs(pieceLength), this.silenceMs(now))
  }
}
