/**
 * The space of the store: what is held, what it counts, and what goes when more is needed. Whoever counts, counts alone; what is in use
 * (`users` above zero) is never removed, and between the look and the removal nothing waits.
 */
import type { Artifact } from '../core/artifact.ts'
import type { Sha256 } from '../core/digest.ts'
import { StoreError } from '../core/errors.ts'
import { formatBytes } from '../core/units.ts'
import { freeBytes } from './disk-error.ts'
import { findArtifacts, HeldArtifact } from './held-artifact.ts'
import { Mutex } from './mutex.ts'
import { chooseForRoom, chooseForSweep, type IdleArtifact } from './retention.ts'

type Idle = IdleArtifact & { readonly held: HeldArtifact }

export class ArtifactSpace {
  readonly #directory: string
  readonly #quotaBytes: number
  readonly #held = new Map<Sha256, HeldArtifact>()
  readonly #counting = new Mutex()

  constructor(directory: string, quotaBytes: number) {
    this.#directory = directory
    this.#quotaBytes = quotaBytes
  }

  /** Learn what former processes left; notes about an artifact that is gone are cleaned up. @throws StoreError. */
  async discover(): Promise<void> {
    for (const sha256 of await findArtifacts(this.#directory)) {
      const held = new HeldArtifact(this.#directory, sha256)
      await held.discover()
      if (held.state === 'absent') await held.remove()
      else this.#held.set(sha256, held)
    }
  }

  all(): readonly HeldArtifact[] {
    return [...this.#held.values()]
  }

  get(sha256: Sha256): HeldArtifact | undefined {
    return this.#held.get(sha256)
  }

  /** The artifact under this name, with one user more. Every `take` has its `release`. */
  take(sha256: Sha256): HeldArtifact {
    const held = this.#held.get(sha256) ?? new HeldArtifact(this.#directory, sha256)
    this.#held.set(sha256, held)
    held.users++
    return held
  }

  /** One user less; the last one closes the file. */
  async release(held: HeldArtifact, now: number): Promise<void> {
    held.usedAt = now
    held.users--
    await held.turns.run(async () => {
      if (held.users === 0) await held.closePieces()
    })
    this.#forgetIfGone(held)
  }

  /**
   * Promise `held` the space for all of `artifact`, and remove idle artifacts for it if need be. When it rejects, nothing was removed.
   *
   * @throws StoreError `quota_exceeded` | `disk_full`, with the numbers; `disk_failed`.
   */
  async promise(held: HeldArtifact, artifact: Artifact, now: number): Promise<void> {
    await this.#counting.run(async () => {
      const missing = Math.max(0, artifact.length - (await held.allocated()))
      const free = await freeBytes(this.#directory)
      const idle = await this.#idle()
      const needed = missing + sum(this.all(), ({ file }) => file?.missingBytes ?? 0)
      const quota = this.#usedBytes() - held.bytes + artifact.length - this.#quotaBytes
      const choice = chooseForRoom(idle(), now, { quota, disk: needed - free })
      if (choice.unmet === 'quota') throw quotaExceeded(artifact, this.#quotaBytes)
      if (choice.unmet === 'disk') throw diskFull(this.#directory, needed, free)
      held.bytes = artifact.length
      await this.#remove(choice.remove)
    })
  }

  /** See `ArtifactStore.sweep`. */
  async sweep(now: number, keep: ReadonlySet<Sha256>): Promise<readonly Sha256[]> {
    return this.#counting.run(async () => {
      const idle = await this.#idle()
      const removable = idle().filter(({ sha256 }) => !keep.has(sha256))
      const doomed = chooseForSweep(removable, now, this.#usedBytes() - this.#quotaBytes)
      await this.#remove(doomed)
      return doomed.map(({ sha256 }) => sha256)
    })
  }

  /** @returns What is idle at the moment of asking, with the sizes on disk as they were found just before. */
  async #idle(): Promise<() => Idle[]> {
    const found: Idle[] = []
    for (const held of this.all()) {
      const { sha256, bytes, seedUntil, usedAt } = held
      found.push({ sha256, bytes, seedUntil, usedAt, allocated: await held.allocated(), held })
    }
    return () => found.filter(({ held }) => held.users === 0)
  }

  async #remove(doomed: readonly Idle[]): Promise<void> {
    await Promise.all(doomed.map(({ held }) => held.turns.run(() => held.remove())))
    for (const { held } of doomed) this.#forgetIfGone(held)
  }

  #usedBytes(): number {
    return sum(this.all(), ({ bytes }) => bytes)
  }

  #forgetIfGone(held: HeldArtifact): void {
    if (held.users === 0 && held.state === 'absent') this.#held.delete(held.sha256)
  }
}

function sum<T>(values: readonly T[], amount: (value: T) => number): number {
  return values.reduce((total, value) => total + amount(value), 0)
}

function quotaExceeded({ sha256, length }: Artifact, quotaBytes: number): StoreError {
  const message = `an artifact of ${formatBytes(length)} does not fit into the quota of ${formatBytes(quotaBytes)} beside what is in use`
  return new StoreError('quota_exceeded', message, { artifact: sha256, neededBytes: length, quotaBytes })
}

function diskFull(path: string, neededBytes: number, freeBytes: number): StoreError {
  const message = `${path} needs ${formatBytes(neededBytes)}, but has ${formatBytes(freeBytes)} free`
  return new StoreError('disk_full', message, { path, neededBytes, freeBytes })
}
