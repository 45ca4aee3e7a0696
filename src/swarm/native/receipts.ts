/**
 * When a peer is told how much of what it sends has arrived (`sm_receipt`, extension.ts). Its uplink may have a long queue that no socket
 * knows of; by receipts it keeps that short. Pure.
 */
import { KiB, MiB } from '../../core/units.ts'

/** A receipt goes along with whatever is said; on its own after so long, or so many bytes. */
const receiptMs = 100
const leastBytes = 64 * KiB
/**
 * From a fast peer it is more: this part of what it brings in a second, since that is what it may have under way. A receipt for each block would
 * be most of what we say to it. Not more than a few blocks: when what it may have under way is less, having known the cable as a slower one, it waits for us.
 */
const shareOfSecond = 1 / 16
const mostBytes = MiB

export class Receipts {
  /** Under which id the peer wants them; undefined: it wants none. */
  wantedAs: number | undefined
  #arrived = 0
  #receipted = 0
  #receiptedAt = Number.NEGATIVE_INFINITY

  /** A block has come, wanted or not. */
  arrived(bytes: number): void {
    this.#arrived += bytes
  }

  /**
   * @param cheap Something is said anyway, or nothing more is on its way that could bring the next one.
   * @param rate Bytes a second that the peer brings; undefined: not known.
   * @param now Monotonic milliseconds.
   * @returns What to say now: bytes of all blocks so far, modulo 2^32.
   */
  due(
    cheap: boolean,
    rate: number | undefined,
    now: number,
  ): { readonly id: number; readonly total: number } | undefined {
    const fresh = this.#arrived - this.#receipted
    if (this.wantedAs === undefined || fresh === 0) return undefined
    const enough = Math.max(leastBytes, Math.min((rate ?? 0) * shareOfSecond, mostBytes))
    if (!cheap && fresh < enough && now - this.#receiptedAt < receiptMs) return undefined
    this.#receipted = this.#arrived
    this.#receiptedAt = now
    return { id: this.wantedAs, total: this.#arrived >>> 0 }
  }
}
