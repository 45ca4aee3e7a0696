import type { Clock } from '../core/clock.ts'
import { InstallError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import { encodeContent, type PackLimits, packLimitFiles } from '../core/pack-format.ts'
import type { Release } from '../core/release.ts'
import { KiB, MiB } from '../core/units.ts'
import type { Verified } from '../core/verified.ts'
import type { StoredArtifact } from '../store/artifact-store.ts'
import { lockDirectory } from '../store/directory-lock.ts'
import { writeFileDurably } from '../store/durable.ts'
import { Mutex } from '../store/mutex.ts'
import { checkSpace, type Demand } from '../store/space.ts'
import { findAccount } from './account.ts'
import { ChannelDisk } from './channel-disk.ts'
import { type ConsumerConfig, runHealth, runReload, runTest, type Subject } from './consumer.ts'
import { FileOutlet } from './file-outlet.ts'
import {
  checkOrder,
  describeRelease,
  type Hold,
  type InstallRecord,
  mayInstall,
  messageLimit,
  type RecordedRelease,
  type RefusedRelease,
  refusalOf,
  type Standing,
} from './install-record.ts'
import { refuseLedPath } from './led-path.ts'
import { ReleaseRoot } from './release-root.ts'
import { checkLimits, needsOf } from './space.ts'
import { unpack } from './unpack.ts'

/** A channel's entry on the accept list of node.toml, in its words. */
export interface InstallTarget extends ConsumerConfig {
  /** `directory` is the default. */
  readonly action?: 'directory' | 'files'
  /** Absolute. For `directory`, `current` in it is the release in force; for `files`, its files stand in it. */
  readonly path: string
  /** For `files`: where the releases are kept, in a directory of their own. Absolute. */
  readonly releases?: string | undefined
  /** For `files`: the user whom they are given to. */
  readonly owner?: string | undefined
  /** For `files`: permission bits, octal. */
  readonly mode?: string | undefined
  /** A release that unpacks to more is refused. */
  readonly unpack_limit_mib?: number
  readonly unpack_limit_files?: number
}

/** What a node unpacks at most, whoever signed it, when its node.toml says nothing. */
export const unpackDefaults = { unpack_limit_mib: 64 * KiB, unpack_limit_files: packLimitFiles } as const

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
  const outlet = await openOutlet(target)
  const root = new ReleaseRoot(outlet ? target.releases! : target.path)
  await root.makeDirectories()
  const lock = await lockDirectory(root.control)
  return new Installer(channel, new ChannelDisk(channel, root, outlet, parts.log), target, parts, lock)
}

async function openOutlet({ action, path, releases, owner, mode = '0644' }: InstallTarget) {
  if (action !== 'files') return undefined
  await refuseLedPath(path, 'others')
  if (releases === undefined) throw new TypeError('the action "files" needs a directory for its releases')
  const account = owner === undefined ? undefined : await findAccount(owner, new AbortController().signal)
  return new FileOutlet(path, { owner: account, mode: Number.parseInt(mode, 8) })
}

export class Installer implements Stoppable {
  readonly #channel: string
  readonly #disk: ChannelDisk
  readonly #target: InstallTarget
  readonly #parts: InstallerParts
  readonly #lock: Stoppable
  readonly #turns = new Mutex()

  /** Use `openInstaller`. */
  constructor(channel: string, disk: ChannelDisk, target: InstallTarget, parts: InstallerParts, lock: Stoppable) {
    this.#channel = channel
    this.#disk = disk
    this.#target = target
    this.#parts = parts
    this.#lock = lock
  }

  /**
   * Finish or undo what a crash cut off, and hash the installed tree, which takes as long as the disk takes to read it.
   *
   * @throws InstallError `install_failed` when the directory belongs to another channel; StoreError. An aborted `signal` rejects with
   *   its reason.
   */
  recover(signal?: AbortSignal): Promise<void> {
    return this.#turns.run(async () => {
      await this.#disk.root.removeLeftovers()
      const record = await this.#disk.settle()
      if (!record.installed || (await this.#disk.caretaker.isRotten(record.installed, signal))) return
      if (await this.#disk.mend(record)) await this.#disk.write({ ...record, reloadPending: true })
    })
  }

  /**
   * The release in force, as the disk says now.
   *
   * @returns undefined when there is none, or it is damaged: then it has to be installed again.
   * @throws StoreError `disk_failed`.
   */
  async installed(): Promise<InstalledRelease | undefined> {
    const record = await this.#disk.read()
    const inForce = await this.#disk.root.inForce()
    // In the middle of an install, the link may be ahead of the record.
    const release = [record.next?.installed, record.installed].find(one => one?.directory === inForce)
    if (!release || !(await this.#disk.isWhole(release))) return undefined
    const { directory, ...installed } = release
    return installed
  }

  /**
   * Put a release in force.
   *
   * @param content Its artifact; read, not closed.
   * @returns Once the release is in force, on the disk, and loaded. At once when it was so already.
   * @throws ContentError, StoreError, InstallError `install_failed`: the release in force is still the one before.
   * @throws InstallError `install_test_failed`: likewise.
   * @throws InstallError `install_rolled_back`: reload or health failed; the release before is in force again.
   * @throws InstallError `reload_failed` | `health_failed`: the new release is in force, there being none to go back to, or nobody who
   *   uses it; `finishReload` will run the commands again. An aborted `signal` rejects with its reason; what is done stays, what is half done is undone.
   */
  install(content: Verified<StoredArtifact>, release: Verified<Release>, signal: AbortSignal): Promise<void> {
    return this.#turns.run(async () => {
      const record = await this.#disk.settle()
      if (release.channel !== this.#channel) throw new Error('unreachable: a release of another channel')
      checkOrder(record, release)
      if (!(await this.#disk.isInForce(record, release))) await this.#replace(record, content, release, signal)
      await this.#bringUp(signal)
    })
  }

  /**
   * Reload and look after its health, if that has not succeeded since the last switch.
   *
   * @throws StoreError; InstallError `install_rolled_back` | `reload_failed` | `health_failed`, as `install`.
   */
  finishReload(signal: AbortSignal): Promise<void> {
    return this.#turns.run(async () => {
      await this.#disk.settle()
      await this.#bringUp(signal)
    })
  }

  /**
   * An admin wants the release before. The one in force is refused from then on.
   *
   * @throws InstallError `rollback_unavailable`: nothing was changed. `reload_failed` | `health_failed`: the release before is in force.
   */
  rollBack(signal: AbortSignal): Promise<void> {
    return this.#turns.run(async () => {
      const record = await this.#disk.settle()
      const { installed } = record
      if (!installed || !(await this.#canGoBack(record)))
        throw new InstallError(
          'rollback_unavailable',
          `there is no release before ${installed?.sequence ?? 'the first'} here`,
        )
      const message = `an admin rolled back from release ${installed.sequence}`
      const failure = await this.#goBack(record, { code: null, message }, signal)
      if (failure) throw failure
    })
  }

  /** Install nothing new until `until` (ms since 1970; null: until further notice), or again with `undefined`. @throws StoreError. */
  hold(until: number | null | undefined): Promise<void> {
    const hold: Hold | null = until === undefined ? null : { since: this.#parts.clock.now(), until }
    return this.#amend({ hold })
  }

  /** Forget what was refused: an admin wants it tried again. @throws StoreError. */
  retry(): Promise<void> {
    return this.#amend({ refused: null })
  }

  /**
   * What an install of `release` takes of the disk. Ask before its first byte is fetched.
   *
   * @throws ContentError `pack_limit` when it unpacks to more than node.toml allows; StoreError `disk_failed`.
   */
  async demand(release: Release): Promise<Demand> {
    checkLimits(release, this.#limits)
    const { places } = this.#disk
    return { spaces: await needsOf(places, release), keptBytes: places.length * release.unpacked }
  }

  /** Bytes of the releases that are kept here: the one in force, and the one to go back to. @throws StoreError. */
  async keptBytes(): Promise<number> {
    return this.#disk.keptBytes(await this.#disk.read())
  }

  /** What the record says; the disk is not asked. @throws StoreError; InstallError `install_failed`. */
  async standing(): Promise<Standing> {
    return this.#disk.read()
  }

  /** Those that may be installed here by themselves: see `mayInstall`. @throws as `standing`. */
  async eligible<Offered extends Release>(releases: readonly Offered[]): Promise<Offered[]> {
    const standing = await this.standing()
    return releases.filter(release => mayInstall(standing, release, this.#parts.clock.now()))
  }

  /** Give the directory free, after what is under way has ended. */
  async stop(): Promise<void> {
    await this.#turns.run(() => this.#lock.stop())
  }

  get #limits(): PackLimits {
    const { unpack_limit_mib, unpack_limit_files } = { ...unpackDefaults, ...this.#target }
    return { files: unpack_limit_files, bytes: unpack_limit_mib * MiB }
  }

  async #replace(
    record: InstallRecord,
    content: Verified<StoredArtifact>,
    release: Verified<Release>,
    signal: AbortSignal,
  ) {
    const { clock } = this.#parts
    await this.#disk.root.checkLink()
    const { spaces } = await this.demand(release)
    await checkSpace(spaces)
    const directory = await this.#disk.root.freeName(release.sequence, release.content)
    const installed = describeRelease(release, directory, clock.now())
    // What is refused and newer than this stays so: this one only repairs.
    const refused = record.refused && record.refused.sequence > release.sequence ? record.refused : null
    const next = { installed, previous: await this.#disk.toKeep(record, release), refused }
    try {
      await this.#disk.write({ ...record, next })
      this.#step('journalled', release)
      const files = await unpack(content, release, this.#disk.root.staging, this.#limits, signal)
      this.#step('unpacked', release)
      await this.#disk.check(record, files)
      await runTest(this.#target, this.#disk.root.staging, this.#subject(installed, record.installed), signal)
      this.#step('tested', release)
      await writeFileDurably(this.#disk.root.indexPath(directory), encodeContent(files))
      await this.#disk.root.place(directory)
      this.#disk.caretaker.forget(directory)
      this.#step('placed', release)
      signal.throwIfAborted()
      await this.#disk.root.switchTo(directory)
      this.#step('switched', release)
      await this.#disk.settle()
      this.#step('recorded', release)
    } catch (error) {
      // Also a switch that "failed" may have happened: the link decides. If the disk refuses this too, the next call does it.
      const settled = await this.#disk.settle().catch(() => undefined)
      if (settled && isVerdict(error))
        await this.#disk.write({ ...settled, refused: refusalOf(installed, error, this.#parts.clock.now()) })
      throw error
    }
  }

  /** What remains to be done after a switch, until the consumer works with the release; or back to the one before. */
  async #bringUp(signal: AbortSignal): Promise<void> {
    const record = await this.#disk.read()
    const { installed, previous } = record
    const failure = await this.#load(record, signal)
    if (!failure) return
    // A consumer that does not run has nothing against the release; the one before may even be what it died of.
    if (!installed || !previous || failure.facts.absent || !(await this.#canGoBack(record))) throw failure
    const message = `${failure.message}; rolled back to release ${previous.sequence}`
    const again = await this.#goBack(record, { code: 'install_rolled_back', message }, signal)
    const outcome = again ? `, which then failed too: ${again.message}` : ''
    throw new InstallError('install_rolled_back', `${message}${outcome}`.slice(0, messageLimit), {
      channel: this.#channel,
      sequence: installed.sequence,
      installed: previous.sequence,
    })
  }

  /** @returns Why the consumer does not work with the release in force; undefined when it does, which is then recorded. */
  async #load({ installed, previous, reloadPending }: InstallRecord, signal: AbortSignal) {
    if (!installed || !reloadPending) return undefined
    const subject = this.#subject(installed, previous)
    try {
      this.#step('reloading', installed)
      await runReload(this.#target, subject, signal)
      this.#step('reloaded', installed)
      await runHealth(this.#target, subject, signal)
    } catch (error) {
      if (error instanceof InstallError) return error
      throw error
    }
    this.#step('healthy', installed)
    await this.#disk.write({ ...(await this.#disk.read()), reloadPending: false })
    return undefined
  }

  /** Put the release before in force again, and refuse the one that was. @returns as `#load`. */
  async #goBack(record: InstallRecord, why: Pick<RefusedRelease, 'code' | 'message'>, signal: AbortSignal) {
    const { installed, previous } = record
    const at = this.#parts.clock.now()
    const next = { installed: { ...previous!, since: at }, previous: null, refused: refusalOf(installed!, why, at) }
    this.#step('undoing', installed!)
    await this.#disk.write({ ...record, next })
    this.#step('undo journalled', installed!)
    await this.#disk.root.switchTo(previous!.directory)
    this.#step('undone', installed!)
    return this.#load(await this.#disk.settle(), signal)
  }

  async #canGoBack({ previous }: InstallRecord): Promise<boolean> {
    return previous !== null && !(await this.#disk.caretaker.isRotten(previous))
  }

  #subject(release: RecordedRelease, before: RecordedRelease | null): Subject {
    const path = this.#disk.root.releasePath(release.directory)
    const previous = before ? this.#disk.root.releasePath(before.directory) : undefined
    return { channel: this.#channel, release, path, current: this.#disk.current, previous }
  }

  #amend(change: Partial<Pick<InstallRecord, 'hold' | 'refused'>>): Promise<void> {
    return this.#turns.run(async () => this.#disk.write({ ...(await this.#disk.settle()), ...change }))
  }

  #step(step: string, { sequence }: Pick<Release, 'sequence'>): void {
    this.#parts.log.debug({ channel: this.#channel, sequence, step }, 'installing')
  }
}

/** The content was found wrong, and would be again; a machine that could not even try is another matter. */
function isVerdict(error: unknown): error is InstallError & { code: 'install_test_failed' } {
  return error instanceof InstallError && error.code === 'install_test_failed' && error.facts.verdict === true
}
