/**
 * Drives the trust rules: the rules say which file they need and which state to keep; this fetches from the origin and keeps on disk.
 * One walk at a time, since every walk begins with the state that the last one left.
 */
import { readFile } from 'node:fs/promises'
import type { Clock } from '../core/clock.ts'
import { ConfigError, TrustError } from '../core/errors.ts'
import type { Release } from '../core/release.ts'
import type { TrustState } from '../core/trust-state.ts'
import { KiB } from '../core/units.ts'
import type { Verified } from '../core/verified.ts'
import { refreshTrust, releasesOf } from '../signing/manifest.ts'
import { pinRoot } from '../signing/root-chain.ts'
import { Mutex } from '../store/mutex.ts'
import type { TrustStore } from '../store/trust-store.ts'
import type { OriginClient } from '../swarm/origin-client.ts'
import { Shelf } from './shelf.ts'

const pinnedRootLimitBytes = 512 * KiB

export interface TrustParts {
  readonly store: TrustStore
  /** The pinned root, as node.toml names it. */
  readonly rootFile: string
  readonly origin: Pick<OriginClient, 'metadata'>
  readonly clock: Clock
}

export class Trust {
  readonly #parts: TrustParts
  readonly #turns = new Mutex()
  #shelf = Shelf.empty

  constructor(parts: TrustParts) {
    this.#parts = parts
  }

  /** What the last whole refresh left, for the neighbours. */
  get shelf(): Shelf {
    return this.#shelf
  }

  /** Take what a former run kept onto the shelf. @throws TrustError `trust_damaged`, StoreError. */
  async open(): Promise<void> {
    const kept = await this.#parts.store.load()
    if (kept) this.#shelf = new Shelf(kept, new Map())
  }

  /**
   * The releases of `channel` that the repository signs now.
   *
   * @throws TrustError, DownloadError, StoreError; ConfigError `config_unreadable` (no pinned root) or `config_invalid` (it is none).
   *   What was verified until then is kept.
   *   An aborted `signal` rejects with its reason.
   */
  refresh(channel: string, signal: AbortSignal): Promise<readonly Verified<Release>[]> {
    return this.#turns.run(async () => {
      const { origin, store, clock } = this.#parts
      const walk = refreshTrust(await this.#state(), { now: clock.now(), channels: [channel] })
      let step = walk.next()
      while (!step.done) {
        signal.throwIfAborted()
        if (step.value.do === 'keep') {
          await store.save(step.value.state)
          step = walk.next()
        } else {
          const { path, limitBytes } = step.value
          step = walk.next(await origin.metadata(`/metadata/${path}`, limitBytes, signal))
        }
      }
      const { manifests, state } = step.value
      this.#shelf = new Shelf(state, new Map())
      return manifests.flatMap(releasesOf)
    })
  }

  /** What this machine trusts now: what it kept, or the pinned root on the first start. */
  async #state(): Promise<TrustState> {
    const kept = await this.#parts.store.load()
    if (kept?.files.has('root.json')) return kept
    // The files may be lost; the floor outlives them, and what it refused it goes on refusing.
    const { rootFile } = this.#parts
    const bytes = await readPinnedRoot(rootFile)
    try {
      return pinRoot(bytes, kept?.floor)
    } catch (error) {
      if (!(error instanceof TrustError)) throw error
      // Not the origin's fault: this file an administrator has put there.
      throw new ConfigError('config_invalid', `the pinned root ${rootFile} is no root of trust: ${error.message}`, {
        cause: error,
      })
    }
  }
}

/** @throws ConfigError `config_unreadable` | `config_invalid`. */
async function readPinnedRoot(path: string): Promise<Uint8Array> {
  // A link is followed: configuration management likes them.
  const bytes = await readFile(path).catch(cause => {
    throw new ConfigError('config_unreadable', `cannot read the pinned root ${path}: ${cause.message}`, { cause })
  })
  if (bytes.length <= pinnedRootLimitBytes) return bytes
  throw new ConfigError('config_invalid', `the pinned root ${path} is larger than ${pinnedRootLimitBytes} bytes`)
}
