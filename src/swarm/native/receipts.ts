/**
 * Tells a peer how much of what it sends has arrived (`sm_receipt`, extension.ts). Its uplink may have a long queue that no socket
 * knows of; by receipts it keeps that short.
 */
import { KiB, MiB, second } from '../../core/units.ts'

/** A receipt goes along with whatever is said; on its own after so many bytes, or so long. */
const receiptBytes = 64 * KiB
const receiptMs = 100
/**
 * Where a peer brings so much in a second, receipts gather for so long: one for each block would be most of what is said to it. When less than that
 * comes meanwhile, the peer was waiting to hear of it (who holds us to be late sends 128 KiB ahead): for a while it hears at once again.
 */
const fastBytesPerSecond = 16 * MiB
const gatheringMs = 25
const promptMs = second

export interface ReceiptsParts {
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** @param id Under which the peer wants it. @param total Bytes of all blocks so far, modulo 2^32. */
  readonly say: (id: number, total: number) => void
}

export class Receipts {
  /** Under which id the peer wants them; undefined: it wants none. */
  wantedAs: number | undefined
  readonly #parts: ReceiptsParts
  #arrived = 0
  #receipted = 0
  #receiptedAt = Number.NEGATIVE_INFINITY
  #gathering: NodeJS.Timeout | undefined
  #promptUntil = Number.NEGATIVE_INFINITY

  constructor(parts: ReceiptsParts) {
    this.#parts = parts
  }

  /** A block has come, wanted or not. */
  arrived(bytes: number): void {
    this.#arrived += bytes
  }

  /**
   * Say what is to be said now. To be called when blocks have come, and now and then.
   *
   * @param cheap Something is said anyway, or nothing more is on its way that could bring the next one.
   * @param rate Bytes a second that the peer brings; undefined: not known.
   */
  tend(cheap: boolean, rate: () => number | undefined): void {
    const fresh = this.#arrived - this.#receipted
    if (this.wantedAs === undefined || fresh === 0) return
    const now = this.#parts.now()
    const pauseMs = now - this.#receiptedAt
    if (cheap || pauseMs >= receiptMs) this.#say(this.wantedAs)
    else if (fresh < receiptBytes) return
    else if (pauseMs >= gatheringMs || now < this.#promptUntil || (rate() ?? 0) < fastBytesPerSecond)
      this.#say(this.wantedAs)
    else this.#gathering ??= setTimeout(() => this.#gathered(), gatheringMs - pauseMs)
  }

  /** The peer is gone: nothing more is said. */
  stop(): void {
    clearTimeout(this.#gathering)
    this.wantedAs = undefined
  }

  #gathered(): void {
    this.#gathering = undefined
    if (this.wantedAs === undefined) return
    const enough = (fastBytesPerSecond * gatheringMs) / second
    if (this.#arrived - this.#receipted < enough) this.#promptUntil = this.#parts.now() + promptMs
    this.#say(this.wantedAs)
  }

  #say(id: number): void {
    clearTimeout(this.#gathering)
    this.#gathering = undefined
    this.#receipted = this.#arrived
    this.#receiptedAt = this.#parts.now()
    this.#parts.say(id, this.#arrived >>> 0)
  }
}
