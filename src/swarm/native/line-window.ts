/**
 * How many bytes may be under way at a time in one direction of this machine's cable, with all peers of a swarm together. Pure.
 *
 *   nothing known     `leastBytes`, and twice what has arrived since: on a LAN that doubles with each round trip
 *   at a rate         what arrives in `spanMs`, at least `leastBytes`
 *
 * A pipeline covers one peer's round trip. Twenty of them filled a cable of 1 Mbit/s with a minute of blocks, and whatever else a
 * neighbour had to say (a request for a piece that only this node has, a cancel) came behind that.
 *
 * Bytes count for `staleMs` only: whoever asks and does not read, or promises and does not send, must not hold up the others.
 */
import { second } from '../../core/units.ts'
import { Rate } from './rate.ts'

export interface LineWindowParts {
  readonly leastBytes: number
  readonly spanMs: number
  readonly staleMs: number
}

const buckets = 4

export class LineWindow {
  readonly #leastBytes: number
  readonly #spanMs: number
  readonly #bucketMs: number
  readonly #rate: Rate
  /** Bytes that began in each of the latest spans of `#bucketMs` and are still under way; by number of the span, modulo. */
  readonly #young = new Float64Array(buckets)
  #latest = 0
  #arrived = 0

  /** @param now Monotonic milliseconds, here and below. */
  constructor({ leastBytes, spanMs, staleMs }: LineWindowParts, now: number) {
    this.#leastBytes = leastBytes
    this.#spanMs = spanMs
    this.#bucketMs = staleMs / buckets
    this.#rate = new Rate(now)
  }

  /** Bytes that may be begun now; 0 or less: none. @param share Of the window: for what can wait, to leave room for what cannot. */
  room(now: number, share = 1): number {
    return this.#allowed(now) * share - this.underWay(now)
  }

  /** Bytes that were begun and have neither arrived nor become stale. */
  underWay(now: number): number {
    this.#turn(now)
    return this.#young.reduce((sum, bytes) => sum + bytes, 0)
  }

  begin(bytes: number, now: number): void {
    this.#young[this.#turn(now) % buckets]! += bytes
  }

  /** Bytes that were begun at `since` are no longer under way: they have arrived, or will not come. */
  end(bytes: number, since: number): void {
    const bucket = Math.floor(since / this.#bucketMs)
    if (bucket > this.#latest - buckets) this.#young[bucket % buckets]! -= bytes
  }

  arrived(bytes: number, now: number): void {
    this.#arrived += bytes
    this.#rate.add(bytes, now)
  }

  #allowed(now: number): number {
    const rate = this.#rate.at(now)
    if (rate === undefined) return this.#leastBytes + 2 * this.#arrived
    return Math.max(this.#leastBytes, (rate * this.#spanMs) / second)
  }

  /** Forget what is stale. @returns The number of the span that `now` is in. */
  #turn(now: number): number {
    const current = Math.floor(now / this.#bucketMs)
    const stale = Math.min(current - this.#latest, buckets)
    for (let step = 0; step < stale; step++) this.#young[(current - step) % buckets] = 0
    this.#latest = Math.max(this.#latest, current)
    return current
  }
}
