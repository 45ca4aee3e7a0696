/**
 * Every artifact this node fetches or serves now. One exchange an artifact; it begins when a cycle needs the artifact or when a restart
 * finds it on the disk, and ends when its time to be served is over or its space is needed.
 */
import type { Sha256 } from '../core/digest.ts'
import { StoreError } from '../core/errors.ts'
import { type Stoppable, stopAll } from '../core/lifecycle.ts'
import type { Release } from '../core/release.ts'
import type { Verified } from '../core/verified.ts'
import type { StoredArtifact } from '../store/artifact-store.ts'
import { Mutex } from '../store/mutex.ts'
import { Exchange, type ExchangeParts } from './exchange.ts'
import { addBytes, noBytes } from './ledger.ts'
import type { Bytes } from './status.ts'

interface Running {
  readonly exchange: Exchange
  /** Ms since 1970; undefined while the artifact is being fetched. */
  serveUntil: number | undefined
}

export class Exchanges implements Stoppable {
  readonly #parts: ExchangeParts
  readonly #serveMs: number
  readonly #running = new Map<Sha256, Running>()
  readonly #starting = new Mutex()
  /** Bytes of exchanges that have ended, by channel, until somebody drains them. */
  readonly #ended = new Map<string, Bytes>()

  /** @param serveMs How long an artifact is served after it was fetched. */
  constructor(parts: ExchangeParts, serveMs: number) {
    this.#parts = parts
    this.#serveMs = serveMs
  }

  /**
   * Get the whole artifact of `release` and go on serving it.
   *
   * @returns The content to install; close it when done.
   * @throws As `Exchange.start` and `Exchange.whole`, and ContentError `artifact_mismatch`. What was fetched stays for the next try.
   */
  async obtain(release: Verified<Release>, signal: AbortSignal): Promise<Verified<StoredArtifact>> {
    const running = await this.#start(release, signal)
    try {
      await running.exchange.whole(signal)
      const serveUntil = this.#parts.clock.now() + this.#serveMs
      await this.#parts.artifacts.keepUntil(release.full.sha256, serveUntil)
      const content = await this.#parts.artifacts.admit(release.full, signal)
      running.serveUntil = serveUntil
      return content
    } catch (error) {
      await this.#end(running.exchange)
      throw error
    }
  }

  /**
   * Serve an artifact that a former run of this node fetched. Pieces that have gone bad on the disk since are fetched again.
   *
   * @returns When it is served and whole. @throws As `obtain`; what is good is served all the same.
   */
  async serve(release: Release, until: number, signal: AbortSignal): Promise<void> {
    const running = await this.#start(release, signal)
    running.serveUntil = until
    await running.exchange.whole(signal)
    const content = await this.#parts.artifacts.admit(release.full, signal)
    await content.close()
  }

  /** End what has been served long enough, and give its space back. @throws StoreError. */
  async expire(now: number): Promise<void> {
    for (const { exchange, serveUntil } of [...this.#running.values()]) {
      if (serveUntil !== undefined && serveUntil <= now) await this.#end(exchange)
    }
    await this.#parts.artifacts.sweep(now, new Set(this.#running.keys()))
  }

  /** The exchanges of a channel, the newest release last. */
  of(channel: string): readonly Running[] {
    return [...this.#running.values()]
      .filter(({ exchange }) => exchange.release.channel === channel)
      .sort((a, b) => a.exchange.release.sequence - b.exchange.release.sequence)
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

  async #start(release: Release, signal: AbortSignal): Promise<Running> {
    return this.#starting.run(async () => {
      const already = this.#running.get(release.full.sha256)
      if (already) return already
      const exchange = await this.#startWithRoom(release, signal)
      const running: Running = { exchange, serveUntil: undefined }
      this.#running.set(release.full.sha256, running)
      return running
    })
  }

  /** What is only served gives way to what this machine needs. */
  async #startWithRoom(release: Release, signal: AbortSignal): Promise<Exchange> {
    for (;;) {
      try {
        return await Exchange.start(release, this.#parts, signal)
      } catch (error) {
        if (!(error instanceof StoreError) || (error.code !== 'quota_exceeded' && error.code !== 'disk_full'))
          throw error
        const served = [...this.#running.values()].find(({ serveUntil }) => serveUntil !== undefined)
        if (!served) throw error
        await this.#end(served.exchange)
      }
    }
  }

  async #end(exchange: Exchange): Promise<void> {
    const { channel, full } = exchange.release
    this.#running.delete(full.sha256)
    await exchange.stop()
    const before = this.#ended.get(channel) ?? noBytes
    this.#ended.set(channel, addBytes(before, exchange.drainBytes()))
  }
}
