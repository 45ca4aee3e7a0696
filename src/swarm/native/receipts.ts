/**
 * When a peer is told how much of what it sends has arrived (`sm_receipt`, extension.ts). Its uplink may have a long queue that no socket
 * knows of; by receipts it keeps that short. Pure.
 */
import { KiB } from '../../core/units.ts'

/** A receipt goes along with whatever is said; on its own after so many bytes, or so long. */
const receiptBytes = 64 * KiB
const receiptMs = 100

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
   * @param now Monotonic milliseconds.
   * @returns What to say now: bytes of all blocks so far, modulo 2^32.
   */
  due(cheap: boolean, now: number): { readonly id: number; readonly total: number } | undefined {
    const fresh = this.#arrived - this.#receipted
    if (this.wantedAs === undefined || fresh === 0) return undefined
    if (!cheap && fresh < receiptBytes && now - this.#receiptedAt < receiptMs) return undefined
    this.#receipted = this.#arrived
    this.#receiptedAt = now
    return { id: this.wantedAs, total: this.#arrived >>> 0 }
  }
}
