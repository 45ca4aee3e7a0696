/**
 * The action `files`: a release's files put into a directory that exists already and is not ours alone, such as clamd's /var/lib/clamav.
 *
 * The releases themselves are kept elsewhere, as for `directory`, with a link to the one in force. That link decides; what is in the
 * directory follows it, in this order:
 *
 *   1 every file that differs is copied beside its name (`.sigmesh-….tmp`), hashed on the way, given owner and mode, synced
 *   2 the names are switched, one `rename` a file, in the order of the index
 *   3 files of ours that the release does not have any more are removed; the directory is synced
 *
 * Whatever fails in 1 has changed nothing. A reader that opens files between the first rename of 2 and the end of 3 may see some of
 * one release and some of the other: that window is two system calls a file, without any copying in it. A crash in it is finished by
 * the next start. Consumers that cannot bear it want `directory`.
 *
 * Rules
 *  - only names of releases that were installed here are ever replaced or removed; a file of someone else in the way is refused before
 *    anything changes
 *  - no directories: those that belong to another user could be exchanged for links under our feet
 */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, opendir, rename, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { ContentError, InstallError } from '../core/errors.ts'
import type { ContentFile } from '../core/pack-format.ts'
import { MiB } from '../core/units.ts'
import { isSystemError, lstatIfThere, onDisk } from '../store/disk-error.ts'
import { isTemporaryName, syncDirectory, temporaryBeside } from '../store/durable.ts'
import { readAt, writeAt } from '../store/file-bytes.ts'
import { isRoot } from './account.ts'
import type { Account } from './command.ts'
import { hashOf } from './installed-tree.ts'

const chunkBytes = MiB
const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants

export interface OutletOptions {
  /** Whom the files are given to. Default: whoever we are. */
  readonly owner?: Account | undefined
  /** Permission bits of every file. */
  readonly mode: number
}

export class FileOutlet {
  readonly path: string
  readonly #owner: Account
  readonly #mode: number

  /** @throws InstallError `install_failed` when only root could give files to `owner`, and we are not. */
  constructor(path: string, { owner, mode }: OutletOptions) {
    this.path = path
    this.#mode = mode
    this.#owner = owner ?? { uid: process.getuid!(), gid: process.getgid!() }
    if (!isRoot() && this.#owner.uid !== process.getuid!())
      throw new InstallError('install_failed', `only root can give the files in ${path} to another user`)
  }

  /**
   * Could these files be put here?
   *
   * @param known Names that sigmesh has put here.
   * @throws InstallError `install_failed` when not; StoreError.
   */
  async check(files: readonly ContentFile[], known: ReadonlySet<string>): Promise<void> {
    const status = await onDisk(this.path, () => stat(this.path))
    if (!status.isDirectory()) throw new InstallError('install_failed', `${this.path} is no directory`)
    for (const file of files) {
      const { path: name } = file
      const shown = JSON.stringify(name)
      if (!isPlain(name))
        throw new InstallError(
          'install_failed',
          `the action "files" takes no directories, and the release has ${shown}`,
        )
      const there = await lstatIfThere(join(this.path, name))
      if (known.has(name) && !there?.isDirectory()) continue
      if (there && !(there.isFile() && there.size === file.length && (await this.#hasContent(file))))
        throw new InstallError('install_failed', `${shown} in ${this.path} is not from sigmesh; move it away`)
    }
  }

  /**
   * Make the directory hold these files, and none of `known` beside them.
   *
   * @param from The tree of the release.
   * @returns Whether anything had to be changed. @throws StoreError; ContentError `content_mismatch` when the tree is not what it was.
   */
  async deliver(from: string, files: readonly ContentFile[], known: ReadonlySet<string>): Promise<boolean> {
    await this.#removeLeftovers()
    if (!files.every(({ path }) => isPlain(path))) throw new Error('unreachable: a directory in what was checked')
    const copies: { readonly copy: string; readonly to: string }[] = []
    try {
      for (const file of files) {
        if (!(await this.#differs(file)) && (await this.#hasContent(file))) continue
        const to = join(this.path, file.path)
        const copy = temporaryBeside(to)
        copies.push({ copy, to })
        await this.#copy(join(from, file.path), copy, file)
      }
    } catch (error) {
      await this.#removeLeftovers().catch(() => {}) // the first error is the one to tell; the next delivery cleans up
      throw error
    }
    for (const { copy, to } of copies) await onDisk(to, () => rename(copy, to))
    const kept = new Set(files.map(({ path }) => path))
    let changed = copies.length > 0
    for (const name of known)
      if (!kept.has(name) && isPlain(name)) changed = (await unlinkIfThere(join(this.path, name))) || changed
    if (changed) await syncDirectory(this.path)
    return changed
  }

  /** By names, types, sizes, owners and modes. @returns What is wrong, in words. @throws StoreError. */
  async findDamage(files: readonly ContentFile[]): Promise<string | undefined> {
    for (const file of files) {
      const damage = await this.#differs(file)
      if (damage) return damage
    }
    return undefined
  }

  async #differs({ path: name, length }: ContentFile): Promise<string | undefined> {
    const location = join(this.path, name)
    const status = await lstatIfThere(location)
    if (!status?.isFile()) return `${location} is missing or no regular file`
    if (status.size !== length) return `${location} has ${status.size} bytes instead of ${length}`
    const mode = status.mode & 0o7777
    if (mode !== this.#mode) return `${location} has mode ${mode.toString(8)}`
    if (status.uid !== this.#owner.uid || status.gid !== this.#owner.gid) return `${location} has another owner`
    return undefined
  }

  /** Whoever owns the directory may have put something else there since we looked. */
  async #hasContent({ path: name, sha256, length }: ContentFile): Promise<boolean> {
    const location = join(this.path, name)
    return onDisk(location, async () => {
      try {
        return (await hashOf(location, length)) === sha256
      } catch (error) {
        if (isSystemError(error, 'ENOENT', 'ELOOP', 'ENXIO')) return false
        throw error
      }
    })
  }

  async #copy(from: string, to: string, file: ContentFile): Promise<void> {
    await onDisk(
      to,
      async () => {
        await using source = await open(from, O_RDONLY | O_NOFOLLOW)
        await using copy = await open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
        if ((await copyBytes(source, copy)) !== file.sha256)
          throw new ContentError('content_mismatch', `${from} does not have the signed SHA-256 any more`)
        // By the descriptor: the name belongs to whom the directory belongs.
        if (isRoot()) await copy.chown(this.#owner.uid, this.#owner.gid)
        await copy.chmod(this.#mode)
        await copy.sync()
      },
      file.length,
    )
  }

  /** Never a directory: in one of another user, a walk down could be led elsewhere. */
  async #removeLeftovers(): Promise<void> {
    await onDisk(this.path, async () => {
      // One by one: there may be any number of names that are not ours.
      for await (const entry of await opendir(this.path))
        if (isTemporaryName(entry.name) && !entry.isDirectory()) await unlinkIfThere(join(this.path, entry.name))
    })
  }
}

/** A name in the directory itself. */
export function isPlain(path: string): boolean {
  return !path.includes('/')
}

async function copyBytes(source: FileHandle, copy: FileHandle): Promise<string> {
  const hash = createHash('sha256')
  const chunk = Buffer.allocUnsafe(chunkBytes)
  for (let at = 0; ; at += chunkBytes) {
    const bytes = chunk.subarray(0, await readAt(source, chunk, at))
    hash.update(bytes)
    await writeAt(copy, bytes, at)
    if (bytes.length < chunkBytes) return hash.digest('hex')
  }
}

/** @returns Whether it was there. */
async function unlinkIfThere(location: string): Promise<boolean> {
  return onDisk(location, async () => {
    try {
      await unlink(location)
      return true
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return false
      throw error
    }
  })
}
