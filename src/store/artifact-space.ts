/**
 * The space of the store: what is held, what it counts, and what goes when more is needed. Whoever counts, counts alone; what is in use
 * (`users` above zero) is never removed, and between the look and the removal nothing waits.
 *
 * Installed releases are in nobody's hands here, but their bytes are counted: those that are there, as their keeper says, and those to
 * come, as a claim says. A claim lasts from before the artifact's first byte until the release is in force, so that no two channels are
 * promised the same space, and no artifact is fetched that could not be unpacked then.
 */
import type { Artifact } from '../core/artifact.ts'
import type { Sha256 } from '../core/digest.ts'
import { StoreError } from '../core/errors.ts'
import { formatBytes } from '../core/units.ts'
import { findArtifacts, HeldArtifact } from './held-artifact.ts'
import { Mutex } from './mutex.ts'
import { chooseForRoom, chooseForSweep, type IdleArtifact } from './retention.ts'
import { byFileSystem, checkFiles, type Demand, diskFull, type SpaceNeed } from './space.ts'

interface Claim {
  /** Whose artifact will be fetched: it counts from the claim on, not only when it is opened. */
  readonly held: HeldArtifact
  readonly artifact: Artifact
  readonly spaces: readonly SpaceNeed[]
  readonly keptBytes: number
}

type Idle = IdleArtifact & { readonly held: HeldArtifact }

export class ArtifactSpace {
  readonly #directory: string
  readonly #quotaBytes: number
  readonly #held = new Map<Sha256, HeldArtifact>()
  readonly #claims = new Set<Claim>()
  /** Bytes of installed releases, by who keeps them. */
  readonly #installed = new Map<string, number>()
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

  /** See `ArtifactStore.countInstalled`. */
  countInstalled(keeper: string, bytes: number): void {
    this.#installed.set(keeper, bytes)
  }

  /**
   * Promise the space for all of `artifact` and for what is demanded beside it. The claim is for the latter, until it is given back; the
   * artifact's own is counted again when it is opened. Idle artifacts go for it if need be, `held` not among them.
   *
   * @returns Gives the claim back. @throws as `promise`; nothing was removed or claimed then.
   */
  async claim(held: HeldArtifact, artifact: Artifact, { spaces, keptBytes }: Demand, now: number): Promise<() => void> {
    return this.#counting.run(async () => {
      const claim: Claim = { held, artifact, spaces, keptBytes }
      for (const need of await byFileSystem(spaces)) checkFiles(need)
      await this.#makeRoom(held, artifact, [...this.#claims, claim], now)
      this.#claims.add(claim)
      return () => this.#claims.delete(claim)
    })
  }

  /**
   * Promise `held` the space for all of `artifact`, and remove idle artifacts for it if need be. When it rejects, nothing was removed.
   *
   * @throws StoreError `quota_exceeded` | `disk_full`, with the numbers; `disk_failed`.
   */
  async promise(held: HeldArtifact, artifact: Artifact, now: number): Promise<void> {
    await this.#counting.run(async () => {
      await this.#makeRoom(held, artifact, [...this.#claims], now)
      held.bytes = artifact.length
    })
  }

  /** See `ArtifactStore.sweep`. */
  async sweep(now: number, keep: ReadonlySet<Sha256>): Promise<readonly Sha256[]> {
    return this.#counting.run(async () => {
      const idle = await this.#idle()
      const removable = idle().filter(({ sha256 }) => !keep.has(sha256))
      const installed = sum([...this.#installed.values()], bytes => bytes)
      const doomed = chooseForSweep(removable, now, this.#artifactBytes() + installed - this.#quotaBytes)
      await this.#remove(doomed)
      return doomed.map(({ sha256 }) => sha256)
    })
  }

  async #makeRoom(held: HeldArtifact, artifact: Artifact, claims: readonly Claim[], now: number): Promise<void> {
    const others = claims.filter(claim => claim.held !== held)
    const expected = [{ held, artifact }, ...others]
    const missing = await Promise.all(expected.map(each => missingBytes(each.held, each.artifact)))
    const fetching = sum(missing, bytes => bytes) + sum(this.all(), ({ file }) => file?.missingBytes ?? 0)
    const here = { directory: this.#directory, bytes: fetching, files: 0 }
    const [own, ...elsewhere] = await byFileSystem([here, ...claims.flatMap(claim => claim.spaces)])
    for (const { directory, bytes, freeBytes } of elsewhere)
      if (bytes > freeBytes) throw diskFull(directory, bytes, freeBytes) // nothing of ours to throw away there
    const kept = sum([...this.#installed.values()], bytes => bytes) + sum(claims, claim => claim.keptBytes)
    const fresh = sum(expected, each => each.artifact.length - each.held.bytes)
    const quota = this.#artifactBytes() + fresh + kept - this.#quotaBytes
    const idle = await this.#idle()
    const choice = chooseForRoom(idle(), now, { quota, disk: own!.bytes - own!.freeBytes })
    if (choice.unmet === 'quota') throw quotaExceeded(artifact, kept, this.#quotaBytes)
    if (choice.unmet === 'disk') throw diskFull(own!.directory, own!.bytes, own!.freeBytes)
    await this.#remove(choice.remove)
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

  #artifactBytes(): number {
    return sum(this.all(), ({ bytes }) => bytes)
  }

  #forgetIfGone(held: HeldArtifact): void {
    if (held.users === 0 && held.state === 'absent') this.#held.delete(held.sha256)
  }
}

/** Of an artifact that is not open; an open one counts its pieces itself. */
async function missingBytes(held: HeldArtifact, { length }: Artifact): Promise<number> {
  return held.file ? 0 : Math.max(0, length - (await held.allocated()))
}

function sum<T>(values: readonly T[], amount: (value: T) => number): number {
  return values.reduce((total, value) => total + amount(value), 0)
}

function quotaExceeded({ sha256, length }: Artifact, kept: number, quotaBytes: number): StoreError {
  const releases = kept > 0 ? `, with ${formatBytes(kept)} of releases in force, before and to come,` : ''
  const message = `an artifact of ${formatBytes(length)}${releases} does not fit into the quota of ${formatBytes(quotaBytes)} beside what is in use`
  return new StoreError('quota_exceeded', message, { artifact: sha256, neededBytes: length + kept, quotaBytes })
}
