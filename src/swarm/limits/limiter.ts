/**
 * The one rate limit: for what comes over the WAN, what goes out to neighbours and what comes from them, in the node, in the origin and
 * in the benches. Bytes let through become a debt that time pays off; who is not in debt may pass, whatever its size.
 *
 *   1000 bytes a second     pass 500     debt 500      the next waits for half a second
 *   idle                    debt -50     saved up for 50 ms: what a late timer cost is made up for, and no more
 *
 * Rules
 *  - over any span the bytes let through are at most the rate, plus what was saved, plus the last one's own size
 *  - first come, first served: who asks for little at a time, in turn with others, gets a fair share
 *  - a new rate holds at once, also for who waits already
 */
import { second } from '../../core/units.ts'

const defaultSavedMs = 50

export interface LimiterOptions {
  /** For how long an idle limit saves up. Default 50 ms. */
  readonly savedMs?: number
  /** Milliseconds that never go back. Default the machine's. */
  readonly now?: () => number
}

export class Limiter {
  readonly #savedMs: number
  readonly #now: () => number
  #bytesPerSecond: number
  /** Bytes let through and not yet paid for; below zero: saved. As it was at `#at`. */
  #debt = 0
  #at: number
  /** Whoever waits, in the order in which they came. */
  readonly #waiting = new Set<() => void>()
  #timer: NodeJS.Timeout | undefined
  #serving = false

  /** @param bytesPerSecond `Infinity`, the default: no limit. 0: nothing passes. */
  constructor(
    bytesPerSecond = Number.POSITIVE_INFINITY,
    { savedMs = defaultSavedMs, now = () => performance.now() }: LimiterOptions = {},
  ) {
    this.#bytesPerSecond = bytesPerSecond
    this.#savedMs = savedMs
    this.#now = now
    this.#at = now()
  }

  get bytesPerSecond(): number {
    return this.#bytesPerSecond
  }

  /** What has passed already is paid for at the new rate. */
  setRate(bytesPerSecond: number): void {
    if (bytesPerSecond === this.#bytesPerSecond) return
    this.#settle()
    this.#bytesPerSecond = bytesPerSecond
    if (bytesPerSecond === Number.POSITIVE_INFINITY) this.#debt = 0
    this.#serve()
  }

  /** Let `bytes` through if nothing is owed. @param bytes 0 asks without taking. */
  take(bytes: number): boolean {
    if (this.#bytesPerSecond === Number.POSITIVE_INFINITY) return true
    this.#settle()
    if (this.#debt > 0 || this.#bytesPerSecond === 0) return false
    this.#debt += bytes
    return true
  }

  /** Resolves when `bytes` may pass, after all who came before. An aborted `signal` rejects with its reason, and nothing has passed. */
  async pass(bytes: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (this.#waiting.size === 0 && this.take(bytes)) return
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const cancel = this.ready(() => {
      this.take(bytes)
      resolve()
    })
    const abort = () => {
      cancel()
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', abort, { once: true })
    try {
      await promise
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /**
   * Call `go` once, when `take` says yes again and all who came before have had their turn; never before this returns.
   *
   * @param go Takes what it wants: the next one is served as long as there is something left.
   * @returns Takes the wish back.
   */
  ready(go: () => void): () => void {
    const turn = () => go() // a key of its own, also when the same function waits twice
    this.#waiting.add(turn)
    if (!this.#serving) this.#arm()
    return () => {
      this.#waiting.delete(turn)
      if (this.#waiting.size === 0) clearTimeout(this.#timer)
    }
  }

  #serve(): void {
    if (this.#serving) return // by somebody whose turn it is: the loop below goes on when it is over
    this.#serving = true
    try {
      for (const turn of this.#waiting) {
        if (!this.take(0)) break
        this.#waiting.delete(turn)
        turn()
      }
    } finally {
      this.#serving = false
    }
    this.#arm()
  }

  #arm(): void {
    clearTimeout(this.#timer)
    if (this.#waiting.size === 0 || this.#bytesPerSecond === 0) return
    this.#settle()
    const waitMs = Math.max(0, (this.#debt * second) / this.#bytesPerSecond)
    this.#timer = setTimeout(() => this.#serve(), Math.ceil(waitMs))
  }

  #settle(): void {
    const now = this.#now()
    const elapsedMs = now - this.#at
    this.#at = now
    if (this.#bytesPerSecond === Number.POSITIVE_INFINITY) return
    const paid = (elapsedMs * this.#bytesPerSecond) / second
    this.#debt = Math.max(this.#debt - paid, -(this.#savedMs * this.#bytesPerSecond) / second)
  }
}

/** Ethernet, IPv4 and TCP with timestamps; a full frame carries so much payload. */
const frameHeaderBytes = 66
export const framePayloadBytes = 1448

/** What `payload` bytes of a long TCP stream cost the line, frame headers included: limits count what an admin sees at the router. */
export function onTheLine(payload: number): number {
  return (payload * (framePayloadBytes + frameHeaderBytes)) / framePayloadBytes
}
