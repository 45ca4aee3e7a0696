/**
 * Every artifact this node fetches or serves now. One exchange an artifact; it begins when a cycle needs the artifact or when a restart
 * finds it on the disk, and ends when its time to be served is over or its space is needed. Two channels may want the same bytes: they
 * share the exchange, and it does not end as long as one of them wants it.
 */
import type { Artifact } from '../core/artifact.ts'
import type { Sha256 } from '../core/digest.ts'
import { describeError, StoreError } from '../core/errors.ts'
import { type Stoppable, stopAll } from '../core/lifecycle.ts'
import type { Release } from '../core/release.ts'
import type { Verified } from '../core/verified.ts'
import type { StoredArtifact } from '../store/artifact-store.ts'
import { Mutex } from '../store/mutex.ts'
import type { Demand } from '../store/space.ts'
import { Exchange, type ExchangeParts } from './exchange.ts'
import { addBytes, noBytes } from './ledger.ts'
import type { Bytes } from './status.ts'

interface Running {
  readonly exchange: Exchange
  /** Ms since 1970; undefined while the artifact is being fetched. */
  serveUntil: number | undefined
  /** Cycles that are between `obtain` and the end of `verify`: it must not be ended under them. */
  wanted: number
}

export class Exchanges implements Stoppable {
  readonly #parts: ExchangeParts
  readonly #serveMs: number
  readonly #running = new Map<Sha256, Running>()
  readonly #starting = new Mutex()
  /** Until they have let go of their artifacts. */
  readonly #ending = new Map<Sha256, Promise<void>>()
  /** Bytes of exchanges that have ended, by channel, until somebody drains them. */
  readonly #ended = new Map<string, Bytes>()

  /** @param serveMs How long an artifact is served after it was fetched. */
  constructor(parts: ExchangeParts, serveMs: number) {
    this.#parts = parts
    this.#serveMs = serveMs
  }

  /**
   * Make sure of the space for a release, from its first byte until it is in force. What is only served gives way.
   *
   * @returns Dispose of it after the install. @throws StoreError as `ArtifactStore.reserve`.
   */
  reserve({ full }: Release, demand: Demand, signal: AbortSignal): Promise<AsyncDisposable> {
    return this.#starting.run(() =>
      this.#withRoom(() => this.#parts.artifacts.reserve(full, demand), full.sha256, signal),
    )
  }

  /** See `ArtifactStore.countInstalled`. */
  countInstalled(channel: string, bytes: number): void {
    this.#parts.artifacts.countInstalled(channel, bytes)
  }

  /**
   * Get every piece of the artifact of `release`. Call `verify` next.
   *
   * @throws As `Exchange.start` and `Exchange.whole`. What was fetched stays for the next try.
   */
  async obtain(release: Verified<Release>, signal: AbortSignal): Promise<void> {
    const running = await this.#start(release, signal, 1)
    try {
      await running.exchange.whole(signal)
      const { channel, sequence, full } = release
      this.#parts.log.info({ channel, sequence, bytes: full.length }, 'the artifact is whole')
    } catch (error) {
      running.wanted--
      await this.#endUnwanted(running)
      throw error
    }
  }

  /**
   * Check the whole of what was obtained, and go on serving it.
   *
   * @returns The content to install; close it when done.
   * @throws ContentError `artifact_mismatch`; StoreError `piece_absent` when it was not obtained before. What is good of it stays for the
   *   next try.
   */
  async verify({ full }: Verified<Release>, signal: AbortSignal): Promise<Verified<StoredArtifact>> {
    const running = this.#running.get(full.sha256)
    const { artifacts, clock } = this.#parts
    try {
      const serveUntil = clock.now() + this.#serveMs
      await artifacts.keepUntil(full.sha256, serveUntil)
      const content = await artifacts.admit(full, signal)
      if (running) running.serveUntil = serveUntil
      return content
    } catch (error) {
      if (running?.wanted === 1) await this.#end(running)
      throw error
    } finally {
      if (running) running.wanted--
    }
  }

  /**
   * Serve an artifact that a former run of this node fetched. Pieces that have gone bad on the disk since are fetched again.
   *
   * @returns When it is served and whole. @throws As `obtain`; what is good is served all the same.
   */
  async serve(release: Release, until: number, signal: AbortSignal): Promise<void> {
    const running = await this.#start(release, signal, 0)
    running.serveUntil = until
    await running.exchange.whole(signal)
    const content = await this.#parts.artifacts.admit(release.full, signal)
    await content.close()
  }

  /** End what has been served long enough, and give its space back. @throws StoreError. */
  async expire(now: number): Promise<void> {
    for (const running of [...this.#running.values()])
      if (isOnlyServed(running) && running.serveUntil <= now) await this.#end(running)
    await this.#parts.artifacts.sweep(now, new Set(this.#running.keys()))
  }

  /** The exchanges of a channel, the newest release last. */
  of(channel: string): readonly Running[] {
    return [...this.#running.values()]
      .filter(({ exchange }) => exchange.release.channel === channel)
      .sort((a, b) => a.exchange.release.sequence - b.exchange.release.sequence)
  }

  /** What is fetched or served now, the newest first. */
  held(): readonly Artifact[] {
    return [...this.#running.values()].map(({ exchange }) => exchange.release.full).reverse()
  }

  /** The torrent of what is held, for a neighbour. @throws StoreError. */
  torrent({ sha256 }: Artifact): Promise<Uint8Array | undefined> {
    return this.#parts.artifacts.metainfo(sha256)
  }

  /** All of a small one, for a neighbour; see `Exchange.small`. */
  async small({ sha256 }: Artifact): Promise<Uint8Array | undefined> {
    return this.#running.get(sha256)?.exchange.small()
  }

  /** Artifact bytes of a channel by source since the last call. */
  drainBytes(channel: string): Bytes {
    const ended = this.#ended.get(channel) ?? noBytes
    this.#ended.delete(channel)
    return this.of(channel).reduce((sum, { exchange }) => addBytes(sum, exchange.drainBytes()), ended)
  }

  async stop(): Promise<void> {
    await stopAll([...this.#running.values()].map(({ exchange }) => exchange))
  }

  /** @param wanted 1 for a cycle, which wants it from the moment it is there: nobody may end it in between. */
  async #start(release: Release, signal: AbortSignal, wanted: 0 | 1): Promise<Running> {
    return this.#starting.run(async () => {
      const { sha256 } = release.full
      await this.#ending.get(sha256)
      const open = () => this.#open(release, signal)
      const running = this.#running.get(sha256) ?? this.#add(await this.#withRoom(open, sha256, signal), undefined)
      running.wanted += wanted
      return running
    })
  }

  /** What is only served gives way to what this machine needs; if that was in vain, it is served again. */
  async #withRoom<T>(work: () => Promise<T>, wanted: Sha256, signal: AbortSignal): Promise<T> {
    const gaveWay: Served[] = []
    for (;;) {
      try {
        return await work()
      } catch (error) {
        const candidates = [...this.#running].flatMap(([sha256, running]) => (sha256 === wanted ? [] : [running]))
        const served = isLackOfRoom(error) ? candidates.find(isOnlyServed) : undefined
        if (!served) {
          await this.#resume(gaveWay, signal)
          throw error
        }
        gaveWay.push(served)
        await this.#end(served)
      }
    }
  }

  async #resume(gaveWay: readonly Served[], signal: AbortSignal): Promise<void> {
    const whole = new Set(
      this.#parts.artifacts.list().flatMap(({ sha256, state }) => (state === 'complete' ? [sha256] : [])),
    )
    for (const { exchange, serveUntil } of gaveWay) {
      const { release } = exchange
      if (!whole.has(release.full.sha256)) continue // to serve it would be to fetch it
      try {
        this.#add(await this.#open(release, signal), serveUntil)
      } catch (error) {
        this.#parts.log.warn(
          { channel: release.channel, ...describeError(error) },
          'an artifact is not served any more',
        )
      }
    }
  }

  #add(exchange: Exchange, serveUntil: number | undefined): Running {
    const running: Running = { exchange, serveUntil, wanted: 0 }
    this.#running.set(exchange.release.full.sha256, running)
    this.#parts.neighbourhood().announce()
    return running
  }

  /** A cycle has given up; what another one wants, or what was served before, goes on. */
  async #endUnwanted(running: Running): Promise<void> {
    if (running.wanted === 0) await this.#end(running)
  }

  async #end(running: Running): Promise<void> {
    const { exchange } = running
    const { channel, full } = exchange.release
    const ending = exchange.stop()
    // Not one that has taken its place meanwhile.
    if (this.#running.get(full.sha256) === running) {
      this.#running.delete(full.sha256)
      const forget = () => void this.#ending.delete(full.sha256)
      this.#ending.set(full.sha256, ending.then(forget, forget))
    }
    await ending
    this.#count(channel, exchange.drainBytes())
  }

  #open(release: Release, signal: AbortSignal): Promise<Exchange> {
    return Exchange.start(release, this.#parts, signal, lost => this.#count(release.channel, lost))
  }

  #count(channel: string, bytes: Bytes): void {
    this.#ended.set(channel, addBytes(this.#ended.get(channel) ?? noBytes, bytes))
  }
}

type Served = Running & { readonly serveUntil: number }

function isOnlyServed(running: Running): running is Served {
  return running.serveUntil !== undefined && running.wanted === 0
}

function isLackOfRoom(error: unknown): boolean {
  return error instanceof StoreError && (error.code === 'quota_exceeded' || error.code === 'disk_full')
}
