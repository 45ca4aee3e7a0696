/**
 * The seat holder: one node's side of the deal for one artifact. It asks for a seat, fetches what is dealt to it over the WAN, and
 * puts each piece into the store, where the LAN swarm takes it from.
 *
 *   ask    POST /v1/seats, again every `nextMs`, and sooner when less than half of the last run is left. The first question needs no torrent,
 *          and neither do the first bytes: both go while the store is still being opened (store/opening-store.ts)
 *   fetch  two lanes; each takes the next run of dealt pieces and gets it as one long byte range. When one lane is about to end its run, the
 *          other begins the next, so the line never waits for a round trip
 *   elect  no answer about seats for a while: what the neighbours' ranking gives to this node is fetched without a lease, for where the
 *          payload is still to be had (seats/election.ts). The first answer ends that
 *   hold   when the store is complete, `want: false` says so, and again from time to time for as long as this node serves. At once when
 *          there is a seat to give back; else when it is time to ask anyway: all nodes of a branch become complete together
 *
 * A broken line or an absent origin is no failure: it tries for ever, since neighbours may bring the rest meanwhile; `view()` says
 * what goes wrong, and since when nothing has come. Two things do end it, by `failed`: the origin sends the same bad piece again
 * and again, or the disk fails.
 */
import type { Clock } from '../core/clock.ts'
import { ContentError, DownloadError, describeError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import { second } from '../core/units.ts'
import { Backoff } from './backoff.ts'
import { Bell } from './bell.ts'
import type { OriginClient } from './origin-client.ts'
import { type FetchParts, RunFetcher } from './run-fetcher.ts'
import { electedPieces } from './seats/election.ts'
import type { SeatRequest } from './seats/protocol.ts'
import { type SeatView, Slice } from './slice.ts'

export interface SliceParts extends FetchParts {
  readonly client: Pick<OriginClient, 'seats' | 'fetchRange'>
  readonly node: string
  readonly site: string
  /** The address that neighbours dial, as it is now. */
  lanAddress(): string
  /** The names of the neighbours that have this artifact, or are fetching it. */
  neighbours(): readonly string[]
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly log: Log
}

export interface SliceView {
  readonly seat: SeatView | null
  /** Artifact bytes that came over the WAN and were of use. */
  readonly bytesWan: number
  /** Bytes that came over the WAN in vain. Not part of the other. */
  readonly bytesWasted: number
  /** The clock's monotonic time when anything came last: a piece from anywhere, or bytes from the origin. */
  readonly stalledSince: number
  /** What goes wrong between this node and the origin now; null when nothing does. */
  readonly lastError: DownloadError | null
}

export interface SeatHolder extends Stoppable {
  view(): SliceView
  /**
   * Never resolves. Rejects when there is no point in going on: ContentError `piece_mismatch` when the origin is to blame, or the
   * StoreError of the disk. By then everything has been stopped.
   */
  readonly failed: Promise<never>
}

const lanes = 2
/** How often a lane looks whether the run under way still moves. */
const lookMs = second
/** One bad copy may be a broken proxy's; the third is what the origin has. */
const mostMismatches = 3
/** Whatever the origin says about when to speak again: never without a pause, and rarely when there is no news. */
const shortestNextMs = 50
const shortestHolderMs = 5 * second
/** Seats are not missed before: an origin that is started again takes some seconds. */
const graceMs = 10 * second
/** Nothing has come from anywhere for so long: the next in rank tries. */
const turnMs = 20 * second
/** Not known here, or another clock: who is refused has nothing to fetch, and an election would be a way around the refusal. */
const refusals: readonly string[] = ['identity_refused', 'identity_revoked', 'clock_skew', 'origin_pin']

/** Start to ask and to fetch. A store that is complete already is only announced. */
export function holdSeat(parts: SliceParts): SeatHolder {
  return new Holder(parts)
}

class Holder implements SeatHolder {
  readonly failed: Promise<never>
  readonly #parts: SliceParts
  readonly #slice: Slice
  readonly #fetcher: RunFetcher
  readonly #over = new AbortController()
  /** Rings when a piece was stored or pieces were dealt. */
  readonly #changed = new Bell()
  readonly #done: Promise<void>
  #stalledSince: number
  #askError: unknown
  /** Monotonic: since when nothing usable was heard about seats. */
  #unansweredSince: number | undefined
  #fetchError: unknown

  constructor(parts: SliceParts) {
    this.#parts = parts
    this.#slice = new Slice(parts.artifact, parts.store, parts.clock)
    this.#fetcher = new RunFetcher(parts, this.#slice)
    this.#stalledSince = parts.clock.monotonic()
    const { promise, reject } = Promise.withResolvers<never>()
    promise.catch(() => {}) // nobody has to listen
    this.failed = promise
    this.#done = this.#run(reject)
  }

  view(): SliceView {
    const { received, wasted } = this.#fetcher
    const error = this.#fetchError ?? this.#askError
    return {
      seat: this.#slice.seat(),
      bytesWan: received - wasted,
      bytesWasted: wasted,
      stalledSince: this.#stalledSince,
      lastError: error instanceof DownloadError ? error : null,
    }
  }

  async stop(): Promise<void> {
    this.#over.abort(new Error('the seat holder was stopped'))
    await this.#done
  }

  async #run(fail: (error: unknown) => void): Promise<void> {
    const stopped = this.#over.signal
    const deaf = this.#parts.store.onPiece(() => this.#pieceStored())
    const running = [this.#ask(stopped), ...Array.from({ length: lanes }, () => this.#lane(stopped))]
    await Promise.all(running).catch(async error => {
      const wasStopped = stopped.aborted
      this.#over.abort(error)
      await Promise.allSettled(running)
      deaf()
      if (!wasStopped) fail(error)
    })
  }

  #pieceStored(): void {
    this.#moved()
    this.#fetcher.reconsider()
    this.#changed.ring()
  }

  #moved(): void {
    this.#stalledSince = this.#parts.clock.monotonic()
  }

  #bytesCame(): void {
    this.#moved()
    if (!this.#fetcher.busy) this.#changed.ring()
  }

  /** The asker: goes on for ever, first as one who wants, then as one who holds. */
  async #ask(stopped: AbortSignal): Promise<void> {
    const { store, clock, random, log } = this.#parts
    const backoff = new Backoff(random)
    // Nothing is waited for but by the origin's books; and all nodes of a branch may have been given a small artifact in the same second.
    if (store.have.complete) await clock.sleep(random() * shortestHolderMs, stopped)
    for (;;) {
      const want = !store.have.complete
      try {
        const nextMs = await this.#renew(want, stopped)
        this.#askError = undefined
        this.#unansweredSince = undefined
        backoff.reset()
        // Only after some progress: towards the end the origin has nothing new to deal, however often it is asked.
        const left = this.#slice.left()
        const progressed = () => this.#slice.left() < left && this.#slice.runsLow()
        const due = () => want && this.#slice.token !== undefined && (store.have.complete || progressed())
        await this.#waitFor(due, Math.max(nextMs, want ? shortestNextMs : shortestHolderMs), stopped)
      } catch (error) {
        if (stopped.aborted || !(error instanceof DownloadError)) throw error
        this.#askError = error
        const waitMs = backoff.next()
        log.debug({ ...describeError(error), waitMs }, 'no usable answer about seats')
        if (want && !refusals.includes(error.code)) this.#elect(waitMs)
        await clock.sleep(waitMs, stopped)
      }
    }
  }

  /** Nobody deals: after a grace period, fetch what falls to this node by rank, until the next try. */
  #elect(waitMs: number): void {
    const { clock, artifact, node } = this.#parts
    const now = clock.monotonic()
    this.#unansweredSince ??= now
    if (now - this.#unansweredSince < graceMs) return
    const turn = Math.floor((now - Math.max(this.#stalledSince, this.#unansweredSince + graceMs)) / turnMs)
    const pieces = electedPieces(artifact.sha256, artifact, this.#parts.neighbours(), node, Math.max(0, turn))
    this.#slice.elect(pieces, waitMs + graceMs)
    this.#fetcher.reconsider()
    this.#changed.ring()
  }

  /** @returns When the origin wants to hear again, in milliseconds. */
  async #renew(want: boolean, stopped: AbortSignal): Promise<number> {
    const answer = await this.#parts.client.seats(this.#question(want), this.#parts.artifact, stopped)
    this.#slice.deal(answer)
    this.#fetcher.share.setRate(answer.pace ?? Number.POSITIVE_INFINITY)
    this.#fetcher.reconsider()
    this.#changed.ring()
    return answer.nextMs
  }

  #question(want: boolean): SeatRequest {
    const { artifact, node, site, store, limiter } = this.#parts
    const { token } = this.#slice
    const { bytesPerSecond } = limiter
    return {
      node,
      site,
      artifact: artifact.sha256,
      have: store.have.toString(),
      want,
      lan: this.#parts.lanAddress(),
      // Told to the origin, which then sends no more than that: what it sends and we do not read yet would wait on our line.
      ...(bytesPerSecond === Number.POSITIVE_INFINITY ? {} : { pace: Math.max(1, Math.floor(bytesPerSecond)) }),
      ...(token === undefined ? {} : { seat: token }),
    }
  }

  async #waitFor(due: () => boolean, ms: number, stopped: AbortSignal): Promise<void> {
    if (ms > 0 && !due()) await this.#changed.heardWithin(ms, this.#parts.clock, stopped, due)
  }

  /** A lane: one run after the other, until the store is complete. */
  async #lane(stopped: AbortSignal): Promise<void> {
    const { clock, random, store } = this.#parts
    const backoff = new Backoff(random)
    while (!store.have.complete) {
      const pauseMs = await this.#nextRun(backoff, stopped)
      if (pauseMs > 0) await clock.sleep(pauseMs, stopped)
    }
  }

  /** Fetch a run, or wait for one to come. @returns How long to pause before the next. */
  async #nextRun(backoff: Backoff, stopped: AbortSignal): Promise<number> {
    const { store, clock } = this.#parts
    const isTime = () => store.have.complete || (this.#slice.hasRun() && !this.#fetcher.busy)
    const run = isTime() ? this.#slice.claim(piece => this.#fetcher.hasBegun(piece)) : undefined
    if (!run) {
      // A run that hangs rings no bell.
      if (this.#slice.hasRun()) await this.#changed.heardWithin(lookMs, clock, stopped, isTime)
      else await this.#changed.heard(stopped, isTime)
      return 0
    }
    try {
      await this.#fetcher.fetch(run, stopped, () => this.#bytesCame())
      backoff.reset()
      this.#fetchError = undefined
      return 0
    } catch (error) {
      if (stopped.aborted || !isPassing(error)) throw error
      return Math.max(this.#rangeFailed(error), backoff.next())
    } finally {
      this.#slice.release(run)
    }
  }

  /** @returns How long the origin wants us to stay away, in milliseconds. */
  #rangeFailed(error: DownloadError | ContentError): number {
    this.#parts.log.debug(describeError(error), 'a range broke off')
    if (error.code !== 'seat_required') {
      this.#fetchError = error
      return 0
    }
    // Not an error to show: the lease was over before we knew. The next answer says what is dealt to us now, if anything.
    this.#slice.revoke()
    return Number(error.facts.retryAfterMs ?? 0)
  }
}

/** What may be right the next time. */
function isPassing(error: unknown): error is DownloadError | ContentError {
  return error instanceof DownloadError || (error instanceof ContentError && Number(error.facts.times) < mostMismatches)
}
