/**
 * Putting releases of one channel in force on this machine. What is done, where and by which command says node.toml; what a publisher
 * signs only says what the bytes are.
 *
 *   journal ─ unpack to staging ─ place ─ switch the link ─ record ─ reload
 *                                          ▲ the one moment at which consumers see the new release, whole
 *
 * Rules
 *  - killed before the switch, the next start undoes; killed after it, the next start finishes. There is no third state
 *  - a release is never replaced by an older one, and only a damaged tree by the same one
 *  - the last release that was loaded without complaint is kept beside the one in force
 *  - a reload that failed or was cut off is run again until it succeeds
 */
import { join } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { InstallError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import { encodeContent, type PackLimits, packLimitFiles } from '../core/pack-format.ts'
import type { Release } from '../core/release.ts'
import { GiB, second } from '../core/units.ts'
import type { Verified } from '../core/verified.ts'
import type { StoredArtifact } from '../store/artifact-store.ts'
import { lockDirectory } from '../store/directory-lock.ts'
import { writeFileDurably } from '../store/durable.ts'
import { JsonFile } from '../store/json-file.ts'
import { Mutex } from '../store/mutex.ts'
import {
  describeRelease,
  emptyRecord,
  heldDirectories,
  type InstallRecord,
  installRecord,
  type RecordedRelease,
  settle,
} from './install-record.ts'
import { findDamage, findDeepDamage, type InstalledTree } from './installed-tree.ts'
import { ReleaseRoot } from './release-root.ts'
import { reload } from './reload.ts'
import { checkSpace } from './space.ts'
import { unpack } from './unpack.ts'

/** What a node unpacks at most, whoever signed it. */
const limits: PackLimits = { files: packLimitFiles, bytes: 64 * GiB }

/** A channel's entry on the accept list of node.toml, in its words. */
export interface InstallTarget {
  /** Absolute. `current` in it is the release in force. */
  readonly path: string
  /** Run after the switch, without a shell. */
  readonly reload?: readonly string[] | undefined
  readonly reload_timeout_s: number
}

export type InstalledRelease = Omit<RecordedRelease, 'directory'>

export interface InstallerParts {
  readonly clock: Pick<Clock, 'now'>
  readonly log: Log
}

/**
 * Take the target for this process, and make it when missing. Call `recover` before the first install.
 *
 * @throws StoreError `state_busy` when another process, or another channel, installs there; `disk_failed` | `disk_full`.
 * @throws InstallError `install_failed` when something stands in the way that sigmesh did not put there.
 */
export async function openInstaller(channel: string, target: InstallTarget, parts: InstallerParts): Promise<Installer> {
  const root = new ReleaseRoot(target.path)
  await root.makeDirectories()
  const lock = await lockDirectory(root.control)
  return new Installer(channel, root, target, parts, lock)
}

export class Installer implements Stoppable {
  readonly #channel: string
  readonly #root: ReleaseRoot
  readonly #target: InstallTarget
  readonly #parts: InstallerParts
  readonly #lock: Stoppable
  readonly #record: JsonFile<InstallRecord>
  readonly #turns = new Mutex()
  /** Directories whose bytes were found wrong: sizes alone would not tell. */
  readonly #rotten = new Set<string>()

  /** Use `openInstaller`. */
  constructor(channel: string, root: ReleaseRoot, target: InstallTarget, parts: InstallerParts, lock: Stoppable) {
    this.#channel = channel
    this.#root = root
    this.#target = target
    this.#parts = parts
    this.#lock = lock
    this.#record = new JsonFile(join(root.control, 'install.json'), installRecord)
  }

  /**
   * Finish or undo what a crash cut off, and hash the installed tree, which takes as long as the disk takes to read it.
   *
   * @throws InstallError `install_failed` when the directory belongs to another channel; StoreError. An aborted `signal` rejects with
   *   its reason.
   */
  recover(signal?: AbortSignal): Promise<void> {
    return this.#turns.run(async () => {
      await this.#root.removeLeftovers()
      const { installed } = await this.#settle()
      if (!installed) return
      const damage = await findDeepDamage(this.#tree(installed), signal)
      if (!damage) return
      this.#rotten.add(installed.directory)
      this.#warn(installed, damage)
    })
  }

  /**
   * The release in force, as the disk says now.
   *
   * @returns undefined when there is none, or it is damaged: then it has to be installed again.
   * @throws StoreError `disk_failed`.
   */
  async installed(): Promise<InstalledRelease | undefined> {
    const record = await this.#read()
    const inForce = await this.#root.inForce()
    // In the middle of an install, the link may be ahead of the record.
    const release = [record.next?.installed, record.installed].find(one => one?.directory === inForce)
    if (!release || (await this.#damaged(release))) return undefined
    const { directory, ...installed } = release
    return installed
  }

  /**
   * Put a release in force.
   *
   * @param content Its artifact; read, not closed.
   * @returns Once the release is in force, on the disk, and loaded. At once when it was so already.
   * @throws ContentError, StoreError, InstallError `install_failed`: the release in force is still the one before.
   * @throws InstallError `reload_failed`: the new release is in force; `finishReload` will run the command again.
   *   An aborted `signal` rejects with its reason; what is done stays, what is half done is undone.
   */
  install(content: Verified<StoredArtifact>, release: Verified<Release>, signal: AbortSignal): Promise<void> {
    return this.#turns.run(async () => {
      const record = await this.#settle()
      this.#checkOrder(record, release)
      if (!(await this.#isInForce(record, release))) await this.#replace(record, content, release, signal)
      await this.#reloadIfPending(signal)
    })
  }

  /** Run the reload command if it has not succeeded since the last switch. @throws InstallError `reload_failed`, StoreError. */
  finishReload(signal: AbortSignal): Promise<void> {
    return this.#turns.run(async () => {
      await this.#settle()
      await this.#reloadIfPending(signal)
    })
  }

  /** Give the directory free, after what is under way has ended. */
  async stop(): Promise<void> {
    await this.#turns.run(() => this.#lock.stop())
  }

  async #replace(
    record: InstallRecord,
    content: Verified<StoredArtifact>,
    release: Verified<Release>,
    signal: AbortSignal,
  ) {
    const { clock } = this.#parts
    await this.#root.checkLink()
    await checkSpace(this.#root.control, release)
    const directory = await this.#root.freeName(release.sequence, release.content)
    const installed = describeRelease(release, directory, clock.now())
    const journal = { ...record, next: { installed, previous: await this.#toKeep(record, release) } }
    try {
      await this.#record.write(journal)
      this.#step('journalled', release)
      const files = await unpack(content, release, this.#root.staging, limits, signal)
      this.#step('unpacked', release)
      await writeFileDurably(this.#root.indexPath(directory), encodeContent(files))
      await this.#root.place(directory)
      this.#rotten.delete(directory)
      this.#step('placed', release)
      signal.throwIfAborted()
      await this.#root.switchTo(directory)
      this.#step('switched', release)
      await this.#settle()
      this.#step('recorded', release)
    } catch (error) {
      // Also a switch that "failed" may have happened: the link decides. If the disk refuses this too, the next call does it.
      await this.#settle().catch(() => {})
      throw error
    }
  }

  async #reloadIfPending(signal: AbortSignal): Promise<void> {
    const record = await this.#read()
    const { installed, previous, reloadPending } = record
    if (!installed || !reloadPending) return
    const argv = this.#target.reload
    if (argv) {
      const command = { argv, timeoutMs: this.#target.reload_timeout_s * second }
      this.#step('reloading', installed)
      await reload(command, this.#root, { channel: this.#channel, installed, previous }, signal)
    }
    this.#step('reloaded', installed)
    await this.#record.write({ ...record, reloadPending: false })
  }

  /** Bring the record in line with the link after an install that was cut off, and remove what nobody needs. */
  async #settle(): Promise<InstallRecord> {
    const record = await this.#read()
    const settled = settle(record, await this.#root.inForce())
    if (settled !== record) await this.#record.write(settled)
    await this.#root.sweep(heldDirectories(settled))
    return settled
  }

  #checkOrder({ installed }: InstallRecord, { channel, sequence, content }: Release): void {
    if (channel !== this.#channel) throw new Error('unreachable: a release of another channel')
    if (
      !installed ||
      sequence > installed.sequence ||
      (sequence === installed.sequence && content === installed.content)
    )
      return
    const what = sequence < installed.sequence ? 'is older than' : 'has other content than'
    throw new InstallError(
      'install_failed',
      `release ${sequence} ${what} the installed release ${installed.sequence}; a node never goes back by itself`,
      { channel, sequence, installed: installed.sequence },
    )
  }

  async #isInForce({ installed }: InstallRecord, { sequence }: Release): Promise<boolean> {
    if (installed?.sequence !== sequence || (await this.#root.inForce()) !== installed.directory) return false
    return !(await this.#damaged(installed))
  }

  /** Which release to keep beside the new one: the last that consumers have loaded. A damaged tree, or the same again, is none. */
  async #toKeep({ installed, previous, reloadPending }: InstallRecord, { content }: Release) {
    if (!installed || installed.content === content || (await this.#damaged(installed))) return previous
    return reloadPending ? (previous ?? installed) : installed
  }

  async #damaged(release: RecordedRelease): Promise<boolean> {
    if (this.#rotten.has(release.directory)) return true
    const damage = await findDamage(this.#tree(release))
    if (damage) this.#warn(release, damage)
    return damage !== undefined
  }

  #tree({ directory, content }: RecordedRelease): InstalledTree {
    return { directory: this.#root.releasePath(directory), indexPath: this.#root.indexPath(directory), content }
  }

  async #read(): Promise<InstallRecord> {
    const record = (await this.#record.read()) ?? emptyRecord(this.#channel)
    if (record.channel === this.#channel) return record
    throw new InstallError(
      'install_failed',
      `${this.#root.path} holds releases of the channel ${record.channel}; give ${this.#channel} a path of its own`,
    )
  }

  #warn({ sequence }: RecordedRelease, damage: string): void {
    this.#parts.log.warn({ channel: this.#channel, sequence }, `the installed release is damaged: ${damage}`)
  }

  #step(step: string, { sequence }: Pick<Release, 'sequence'>): void {
    this.#parts.log.debug({ channel: this.#channel, sequence, step }, 'installing')
  }
}
