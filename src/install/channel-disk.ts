/**
 * What the disk holds of a channel, and what it means: the record, the link that decides, the trees, and for `files` the directory that
 * follows the link. Nothing here waits for commands or decides what to install.
 */
import { join } from 'node:path'
import { InstallError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { ContentFile } from '../core/pack-format.ts'
import type { Release } from '../core/release.ts'
import { JsonFile } from '../store/json-file.ts'
import { Caretaker } from './caretaker.ts'
import { type FileOutlet, isPlain } from './file-outlet.ts'
import {
  emptyRecord,
  heldDirectories,
  type InstallRecord,
  installRecord,
  type RecordedRelease,
  settle,
} from './install-record.ts'
import { contentOf } from './installed-tree.ts'
import type { ReleaseRoot } from './release-root.ts'

export class ChannelDisk {
  readonly root: ReleaseRoot
  readonly caretaker: Caretaker
  readonly #channel: string
  readonly #outlet: FileOutlet | undefined
  readonly #log: Log
  readonly #record: JsonFile<InstallRecord>

  /** @param outlet Only for `files`. */
  constructor(channel: string, root: ReleaseRoot, outlet: FileOutlet | undefined, log: Log) {
    this.#channel = channel
    this.root = root
    this.#outlet = outlet
    this.#log = log
    this.caretaker = new Caretaker(channel, root, log)
    this.#record = new JsonFile(join(root.control, 'install.json'), installRecord)
  }

  /** Where consumers look. */
  get current(): string {
    return this.#outlet?.path ?? this.root.current
  }

  /** Directories on whose file systems a release takes its space. */
  get places(): readonly string[] {
    return [this.root.control, ...(this.#outlet ? [this.#outlet.path] : [])]
  }

  /** @throws InstallError `install_failed` when it is the record of another channel; StoreError. */
  async read(): Promise<InstallRecord> {
    const record = (await this.#record.read()) ?? emptyRecord(this.#channel)
    if (record.channel === this.#channel) return record
    throw new InstallError(
      'install_failed',
      `${this.root.path} holds releases of the channel ${record.channel}; give ${this.#channel} a path of its own`,
    )
  }

  /** @throws StoreError. */
  write(record: InstallRecord): Promise<void> {
    return this.#record.write(record)
  }

  /**
   * Bring directory and record in line with the link after a switch or a crash, and remove what nobody needs.
   *
   * @throws StoreError, and ContentError when a tree has rotted: then the link is where it was before the switch, if there was a before.
   */
  async settle(): Promise<InstallRecord> {
    const record = await this.read()
    const settled = settle(record, await this.root.inForce())
    if (settled !== record) {
      await this.#followLink(record, settled)
      await this.write(settled)
    }
    await this.root.sweep(heldDirectories(settled))
    return settled
  }

  /** For `files`: may these be put there? @throws InstallError `install_failed` when not; StoreError. */
  async check(record: InstallRecord, files: readonly ContentFile[]): Promise<void> {
    await this.#outlet?.check(files, await this.#knownNames(record))
  }

  /** For `files`: mend the directory from the tree. @returns Whether it had to be mended. @throws as `settle`. */
  async mend(record: InstallRecord): Promise<boolean> {
    const { installed } = record
    return installed !== null && this.#deliver(record, installed)
  }

  /** Is all of a release there, as consumers see it? @throws StoreError. */
  async isWhole(release: RecordedRelease): Promise<boolean> {
    if (await this.caretaker.isDamaged(release)) return false
    if (!this.#outlet) return true
    const files = await contentOf(this.caretaker.tree(release))
    const damage = files ? await this.#outlet.findDamage(files) : 'its index is gone'
    const { sequence } = release
    if (damage) this.#log.warn({ channel: this.#channel, sequence }, `the installed release is damaged: ${damage}`)
    return damage === undefined
  }

  /** Is this release in force, whole? @throws StoreError. */
  async isInForce({ installed }: InstallRecord, { sequence }: Release): Promise<boolean> {
    if (installed?.sequence !== sequence || (await this.root.inForce()) !== installed.directory) return false
    return this.isWhole(installed)
  }

  /** Bytes of content that are kept, by the indexes of the releases: what others put beside them is not ours. @throws StoreError. */
  async keptBytes({ installed, previous }: InstallRecord): Promise<number> {
    const lengthOf = async (release: RecordedRelease | null) => {
      const files = release && (await contentOf(this.caretaker.tree(release)))
      return files?.reduce((sum, { length }) => sum + length, 0) ?? 0
    }
    const current = await lengthOf(installed)
    return current * this.places.length + (await lengthOf(previous))
  }

  /** Which release to keep beside the new one: the last that consumers have loaded. A damaged tree, or the same again, is none. */
  async toKeep({ installed, previous, reloadPending }: InstallRecord, { content }: Release) {
    if (!installed || installed.content === content || (await this.caretaker.isDamaged(installed))) return previous
    return reloadPending ? (previous ?? installed) : installed
  }

  async #followLink(record: InstallRecord, settled: InstallRecord): Promise<void> {
    const { installed } = settled
    if (!this.#outlet || !installed) return
    try {
      await this.#deliver(record, installed)
    } catch (error) {
      const before = record.installed
      // Undone, not half done: what the directory has of the new release goes when this is settled again.
      if (before && before.directory !== installed.directory && !(await this.caretaker.isDamaged(before)))
        await this.root.switchTo(before.directory)
      throw error
    }
  }

  async #deliver(record: InstallRecord, release: RecordedRelease): Promise<boolean> {
    if (!this.#outlet) return false
    const tree = this.caretaker.tree(release)
    const files = await contentOf(tree)
    // A damaged tree has nothing to give; it is installed again. One with directories was installed when the action was another.
    return files?.every(({ path }) => isPlain(path))
      ? this.#outlet.deliver(tree.directory, files, await this.#knownNames(record))
      : false
  }

  /** Names that we have put into the directory, or were about to. */
  async #knownNames(record: InstallRecord): Promise<ReadonlySet<string>> {
    const releases = [record.installed, record.previous, record.next?.installed].filter(release => release != null)
    const contents = await Promise.all(releases.map(release => contentOf(this.caretaker.tree(release))))
    return new Set(contents.flatMap(files => files?.map(({ path }) => path) ?? []))
  }
}
