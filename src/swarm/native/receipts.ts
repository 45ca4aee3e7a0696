/**
 * Tells a peer how much of what it sends has arrived (`sm_receipt`, extension.ts). Its uplink may have a long queue that no socket
 * knows of; by receipts it keeps that short.
 */
import { KiB, MiB } from '../../core/units.ts'

/** A receipt goes along with whatever is said; on its own after so many bytes, or so long. */
const receiptBytes = 64 * KiB
const receiptMs = 100
/**
 * Where a peer brings so much in a second, it waits for those of the last so long: one for each block would be most of what is said to it. Slower,
 * and the peer may be one that sends no more until it hears how much has arrived.
 */
const fastBytesPerSecond = 16 * MiB
const gatheringMs = 25

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
  tend(cheap: boolean, rate: number | undefined): void {
    const fresh = this.#arrived - this.#receipted
    if (this.wantedAs === undefined || fresh === 0) return
    const pauseMs = this.#parts.now() - this.#receiptedAt
    if (cheap || pauseMs >= receiptMs) this.#say(this.wantedAs)
    else if (fresh < receiptBytes) return
    else if ((rate ?? 0) < fastBytesPerSecond || pauseMs >= gatheringMs) this.#say(this.wantedAs)
    else this.#gathering ??= setTimeout(() => this.tend(true, rate), gatheringMs - pauseMs)
  }

  /** The peer is gone. */
  stop(): void {
    clearTimeout(this.#gathering)
  }

  #say(id: number): void {
    clearTimeout(this.#gathering)
    this.#gathering = undefined
    this.#receipted = this.#arrived
    this.#receiptedAt = this.#parts.now()
    this.#parts.say(id, this.#arrived >>> 0)
  }
}
