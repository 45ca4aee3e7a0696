/**
 * Drives the trust rules: the rules say which file they need and which state to keep; this asks somebody for it, and keeps it on disk.
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
import type { TrustWalk } from '../signing/trust-step.ts'
import { Mutex } from '../store/mutex.ts'
import type { RootFiles } from '../store/root-files.ts'
import type { TrustStore } from '../store/trust-store.ts'
import { Shelf } from './shelf.ts'

const pinnedRootLimitBytes = 512 * KiB

export interface TrustParts {
  readonly store: TrustStore
  readonly roots: RootFiles
  /** The pinned root, as node.toml names it. */
  readonly rootFile: string
  readonly clock: Clock
}

/**
 * Whom one refresh asks: the origin, a neighbour, or nobody but what is held already.
 *
 * @param path As in the metadata folder of a repository.
 * @returns undefined when there is no such file there. @throws TrustError `metadata_too_large`, DownloadError.
 */
export type MetadataSource = (path: string, limitBytes: number) => Promise<Uint8Array | undefined>

/** The last state that the rules want kept, while it is not on the disk. */
interface Unsaved {
  state?: TrustState
}

const rootPath = /^([1-9][0-9]*)\.root\.json$/

export class Trust {
  readonly #parts: TrustParts
  readonly #turns = new Mutex()
  #shelf = Shelf.empty
  #roots = new Map<number, Uint8Array>()

  constructor(parts: TrustParts) {
    this.#parts = parts
  }

  /** What the last whole refresh left, for the neighbours. */
  get shelf(): Shelf {
    return this.#shelf
  }

  /** Take what a former run kept onto the shelf. @throws TrustError `trust_damaged`, StoreError. */
  async open(): Promise<void> {
    const { store, roots } = this.#parts
    this.#roots = await roots.load()
    const kept = await store.load()
    if (kept) this.#shelf = new Shelf(kept, this.#roots)
  }

  /**
   * The releases of `channel` that the repository signs, as this source shows it.
   *
   * @throws TrustError, DownloadError, StoreError; ConfigError `config_unreadable` (no pinned root) or `config_invalid` (it is none).
   *   What was verified until then is kept.
   *   An aborted `signal` rejects with its reason.
   */
  refresh(channel: string, source: MetadataSource, signal: AbortSignal): Promise<readonly Verified<Release>[]> {
    return this.#turns.run(async () => {
      const { store, clock } = this.#parts
      const walk = refreshTrust(await this.#state(), { now: clock.now(), channels: [channel] })
      const unsaved: Unsaved = {}
      try {
        const { manifests, state } = await this.#drive(walk, source, unsaved, signal)
        if (unsaved.state) await store.save(unsaved.state)
        this.#shelf = new Shelf(state, this.#roots)
        return manifests.flatMap(releasesOf)
      } catch (error) {
        if (unsaved.state) await store.save(unsaved.state)
        throw error
      }
    })
  }

  /**
   * A root is kept before the next one is asked for: it may be the one that takes a stolen key away. What follows it is kept once, by the
   * caller, however the walk ends: nobody acts on it before that.
   */
  async #drive<Result>(
    walk: TrustWalk<Result>,
    source: MetadataSource,
    unsaved: Unsaved,
    signal: AbortSignal,
  ): Promise<Result> {
    let step = walk.next()
    let root: { readonly version: number; readonly bytes: Uint8Array } | undefined
    while (!step.done) {
      signal.throwIfAborted()
      if (step.value.do === 'keep') {
        const { state } = step.value
        unsaved.state = state
        if (root && state.files.get('root.json') === root.bytes) {
          await this.#parts.store.save(state)
          delete unsaved.state
          await this.#keepRoot(root)
        }
        root = undefined
        step = walk.next()
      } else {
        const { path, limitBytes } = step.value
        const bytes = await source(path, limitBytes)
        const [, version] = rootPath.exec(path) ?? []
        root = version !== undefined && bytes ? { version: Number(version), bytes } : undefined
        step = walk.next(bytes)
      }
    }
    return step.value
  }

  async #keepRoot({ version, bytes }: { readonly version: number; readonly bytes: Uint8Array }): Promise<void> {
    this.#roots.set(version, bytes)
    await this.#parts.roots.keep(version, bytes)
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
