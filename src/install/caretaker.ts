/** Watches over the trees of a channel: which of them are still what was installed. */
import type { Log } from '../core/log.ts'
import type { RecordedRelease } from './install-record.ts'
import { findDamage, findDeepDamage, type InstalledTree } from './installed-tree.ts'
import type { ReleaseRoot } from './release-root.ts'

export class Caretaker {
  readonly #channel: string
  readonly #root: ReleaseRoot
  readonly #log: Log
  /** Directories whose bytes were found wrong: sizes alone would not tell. */
  readonly #rotten = new Set<string>()

  constructor(channel: string, root: ReleaseRoot, log: Log) {
    this.#channel = channel
    this.#root = root
    this.#log = log
  }

  /** By names, types, sizes and modes, and by what `isRotten` has found. @throws StoreError `disk_failed`. */
  async isDamaged(release: RecordedRelease): Promise<boolean> {
    return this.#rotten.has(release.directory) || this.#judge(release, await findDamage(this.tree(release)))
  }

  /** By every byte; remembered. @throws StoreError `disk_failed`. An aborted `signal` rejects with its reason. */
  async isRotten(release: RecordedRelease, signal?: AbortSignal): Promise<boolean> {
    const rotten = this.#judge(release, await findDeepDamage(this.tree(release), signal))
    if (rotten) this.#rotten.add(release.directory)
    return rotten
  }

  /** A directory of that name is new. */
  forget(directory: string): void {
    this.#rotten.delete(directory)
  }

  tree({ directory, content }: RecordedRelease): InstalledTree {
    return { directory: this.#root.releasePath(directory), indexPath: this.#root.indexPath(directory), content }
  }

  #judge({ sequence }: RecordedRelease, damage: string | undefined): boolean {
    if (damage) this.#log.warn({ channel: this.#channel, sequence }, `the installed release is damaged: ${damage}`)
    return damage !== undefined
  }
}
