/**
 * Putting releases of one channel in force on this machine. What is done, where and by which command says node.toml; what a publisher
 * signs only says what the bytes are.
 *
 *   journal ─ unpack to staging ─ test ─ place ─ switch the link ─ record ─ reload ─ health
 *                                                 ▲ the one moment at which consumers see the new release, whole
 *
 * Rules
 *  - killed before the switch, the next start undoes; killed after it, the next start finishes. There is no third state
 *  - a release is never replaced by an older one but by a roll back, and only a damaged tree by the same one
 *  - the last release that was loaded without complaint is kept beside the one in force
 *  - a reload or a health check that was cut off is run again; one that failed rolls back to that release, and where there is none,
 *    it is run again until it succeeds
 *  - what failed here is not tried again before something newer comes, or an admin says so
 */
import { join } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { InstallError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import { encodeContent, type PackLimits, packLimitFiles } from '../core/pack-format.ts'
import type { Release } from '../core/release.ts'
import { GiB } from '../core/units.ts'
import type { Verified } from '../core/verified.ts'
import type { StoredArtifact } from '../store/artifact-store.ts'
import { lockDirectory } from '../store/directory-lock.ts'
import { writeFileDurably } from '../store/durable.ts'
import { JsonFile } from '../store/json-file.ts'
import { Mutex } from '../store/mutex.ts'
import { Caretaker } from './caretaker.ts'
import { type ConsumerConfig, runHealth, runReload, runTest, type Subject } from './consumer.ts'
import {
  checkOrder,
  describeRelease,
  emptyRecord,
  type Hold,
  heldDirectories,
  type InstallRecord,
  installRecord,
  mayInstall,
  messageLimit,
  type RecordedRelease,
  type RefusedRelease,
  refusalOf,
  type Standing,
  settle,
} from './install-record.ts'
import { ReleaseRoot } from './release-root.ts'
import { checkSpace } from './space.ts'
import { unpack } from './unpack.ts'

/** What a node unpacks at most, whoever signed it. */
const limits: PackLimits = { files: packLimitFiles, bytes: 64 * GiB }

/** A channel's entry on the accept list of node.toml, in its words. */
export interface InstallTarget extends ConsumerConfig {
  /** Absolute. `current` in it is the release in force. */
  readonly path: string
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
  readonly #caretaker: Caretaker

  /** Use `openInstaller`. */
  constructor(channel: string, root: ReleaseRoot, target: InstallTarget, parts: InstallerParts, lock: Stoppable) {
    this.#channel = channel
    this.#root = root
    this.#target = target
    this.#parts = parts
    this.#lock = lock
    this.#caretaker = new Caretaker(channel, root, parts.log)
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
      if (installed) await this.#caretaker.isRotten(installed, signal)
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
    if (!release || (await this.#caretaker.isDamaged(release))) return undefined
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
   * @throws InstallError `reload_failed` | `health_failed`: the new release is in force, there being none to go back to; `finishReload`
   *   will run the commands again. An aborted `signal` rejects with its reason; what is done stays, what is half done is undone.
   */
  install(content: Verified<StoredArtifact>, release: Verified<Release>, signal: AbortSignal): Promise<void> {
    return this.#turns.run(async () => {
      const record = await this.#settle()
      if (release.channel !== this.#channel) throw new Error('unreachable: a release of another channel')
      checkOrder(record, release)
      if (!(await this.#isInForce(record, release))) await this.#replace(record, content, release, signal)
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
      await this.#settle()
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
      const record = await this.#settle()
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

  /** What the record says; the disk is not asked. @throws StoreError; InstallError `install_failed`. */
  async standing(): Promise<Standing> {
    return this.#read()
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
    // What is refused and newer than this stays so: this one only repairs.
    const refused = record.refused && record.refused.sequence > release.sequence ? record.refused : null
    const next = { installed, previous: await this.#toKeep(record, release), refused }
    try {
      await this.#record.write({ ...record, next })
      this.#step('journalled', release)
      const files = await unpack(content, release, this.#root.staging, limits, signal)
      this.#step('unpacked', release)
      await runTest(this.#target, this.#root.staging, this.#subject(installed, record.installed), signal)
      this.#step('tested', release)
      await writeFileDurably(this.#root.indexPath(directory), encodeContent(files))
      await this.#root.place(directory)
      this.#caretaker.forget(directory)
      this.#step('placed', release)
      signal.throwIfAborted()
      await this.#root.switchTo(directory)
      this.#step('switched', release)
      await this.#settle()
      this.#step('recorded', release)
    } catch (error) {
      // Also a switch that "failed" may have happened: the link decides. If the disk refuses this too, the next call does it.
      const settled = await this.#settle().catch(() => undefined)
      if (settled && isVerdict(error))
        await this.#record.write({ ...settled, refused: refusalOf(installed, error, this.#parts.clock.now()) })
      throw error
    }
  }

  /** What remains to be done after a switch, until the consumer works with the release; or back to the one before. */
  async #bringUp(signal: AbortSignal): Promise<void> {
    const record = await this.#read()
    const { installed, previous } = record
    const failure = await this.#load(record, signal)
    if (!failure) return
    if (!installed || !previous || !(await this.#canGoBack(record))) throw failure
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
    await this.#record.write({ ...(await this.#read()), reloadPending: false })
    return undefined
  }

  /** Put the release before in force again, and refuse the one that was. @returns as `#load`. */
  async #goBack(record: InstallRecord, why: Pick<RefusedRelease, 'code' | 'message'>, signal: AbortSignal) {
    const { installed, previous } = record
    const at = this.#parts.clock.now()
    const next = { installed: { ...previous!, since: at }, previous: null, refused: refusalOf(installed!, why, at) }
    this.#step('undoing', installed!)
    await this.#record.write({ ...record, next })
    this.#step('undo journalled', installed!)
    await this.#root.switchTo(previous!.directory)
    this.#step('undone', installed!)
    return this.#load(await this.#settle(), signal)
  }

  async #canGoBack({ previous }: InstallRecord): Promise<boolean> {
    return previous !== null && !(await this.#caretaker.isRotten(previous))
  }

  #subject(release: RecordedRelease, before: RecordedRelease | null): Subject {
    const path = this.#root.releasePath(release.directory)
    const previous = before ? this.#root.releasePath(before.directory) : undefined
    return { channel: this.#channel, release, path, current: this.#root.current, previous }
  }

  #amend(change: Partial<Pick<InstallRecord, 'hold' | 'refused'>>): Promise<void> {
    return this.#turns.run(async () => this.#record.write({ ...(await this.#settle()), ...change }))
  }

  /** Bring the record in line with the link after an install that was cut off, and remove what nobody needs. */
  async #settle(): Promise<InstallRecord> {
    const record = await this.#read()
    const settled = settle(record, await this.#root.inForce())
    if (settled !== record) await this.#record.write(settled)
    await this.#root.sweep(heldDirectories(settled))
    return settled
  }

  async #isInForce({ installed }: InstallRecord, { sequence }: Release): Promise<boolean> {
    if (installed?.sequence !== sequence || (await this.#root.inForce()) !== installed.directory) return false
    return !(await this.#caretaker.isDamaged(installed))
  }

  /** Which release to keep beside the new one: the last that consumers have loaded. A damaged tree, or the same again, is none. */
  async #toKeep({ installed, previous, reloadPending }: InstallRecord, { content }: Release) {
    if (!installed || installed.content === content || (await this.#caretaker.isDamaged(installed))) return previous
    return reloadPending ? (previous ?? installed) : installed
  }

  async #read(): Promise<InstallRecord> {
    const record = (await this.#record.read()) ?? emptyRecord(this.#channel)
    if (record.channel === this.#channel) return record
    throw new InstallError(
      'install_failed',
      `${this.#root.path} holds releases of the channel ${record.channel}; give ${this.#channel} a path of its own`,
    )
  }

  #step(step: string, { sequence }: Pick<Release, 'sequence'>): void {
    this.#parts.log.debug({ channel: this.#channel, sequence, step }, 'installing')
  }
}

/** The content was found wrong, and would be again; a machine that could not even try is another matter. */
function isVerdict(error: unknown): error is InstallError & { code: 'install_test_failed' } {
  return error instanceof InstallError && error.code === 'install_test_failed' && error.facts.verdict === true
}
