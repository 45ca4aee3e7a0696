/**
 * Where a channel with `action = "directory"` lives on the disk:
 *
 *   <path>/
 *     current -> releases/42-0d3f…     the one name that consumers use; switched by a rename
 *     releases/42-0d3f…/               exactly the content of release 42
 *     releases/41-77a0…/               the release before
 *     .sigmesh/                        ours alone, mode 0700
 *       install.json                   install-record.ts
 *       42-0d3f….files                 what is in it (the content index), to look after it
 *       staging/                       a release that is being unpacked
 *
 * Everything is on one file system, so that a rename puts a whole tree in its place.
 */
import { chmod, lstat, readdir, readlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { InstallError } from '../core/errors.ts'
import { isSystemError, lstatIfThere, onDisk } from '../store/disk-error.ts'
import { makeDirectory, removeLeftovers, removeTree, renameDurably, replaceSymlink } from '../store/durable.ts'
import { directoryPattern } from './install-record.ts'
import { refuseLedPath } from './led-path.ts'
import { directoryMode } from './unpack.ts'

export class ReleaseRoot {
  readonly path: string
  /** For our own files. */
  readonly control: string
  readonly staging: string
  /** The link. */
  readonly current: string
  readonly #releases: string

  constructor(path: string) {
    this.path = path
    this.control = join(path, '.sigmesh')
    this.staging = join(this.control, 'staging')
    this.current = join(path, 'current')
    this.#releases = join(path, 'releases')
  }

  /** @throws InstallError `install_failed`, StoreError. */
  async makeDirectories(): Promise<void> {
    await refuseLedPath(this.path, 'root')
    await makeReadableDirectory(this.path)
    await refuseLedPath(this.path, 'root') // somebody may have made it in the meantime
    await makeOwnDirectory(this.#releases, directoryMode)
    await makeOwnDirectory(this.control, 0o700)
  }

  /** Take away what a crash in the middle of a file operation left. Nobody else may be at work here. @throws StoreError. */
  async removeLeftovers(): Promise<void> {
    for (const directory of [this.path, this.#releases, this.control]) await removeLeftovers(directory)
  }

  /** The directory in force. undefined when the link is missing, or points at anything that is not a release of ours. */
  async inForce(): Promise<string | undefined> {
    const target = await onDisk(this.current, async () => {
      try {
        return await readlink(this.current)
      } catch (error) {
        if (isSystemError(error, 'ENOENT', 'EINVAL')) return undefined
        throw error
      }
    })
    const [folder, name, ...rest] = target?.split('/') ?? []
    return folder === 'releases' && rest.length === 0 && name && directoryPattern.test(name) ? name : undefined
  }

  /** @throws InstallError `install_failed` when the name of the link is taken by something that somebody put there. */
  async checkLink(): Promise<void> {
    const status = await lstatIfThere(this.current)
    if (!status || status.isSymbolicLink()) return
    throw new InstallError(
      'install_failed',
      `${this.current} is no symbolic link; move it away, sigmesh puts its own there`,
    )
  }

  releasePath(directory: string): string {
    return join(this.#releases, directory)
  }

  /** The index of a release's content. */
  indexPath(directory: string): string {
    return join(this.control, `${directory}.files`)
  }

  /** @returns A name for a release that no directory has yet. */
  async freeName(sequence: number, content: string): Promise<string> {
    const name = `${sequence}-${content.slice(0, 16)}`
    const taken = new Set(await this.#names())
    let free = name
    for (let repair = 2; taken.has(free); repair++) free = `${name}-${repair}`
    return free
  }

  /** Give what is in `staging` its name among the releases. */
  async place(directory: string): Promise<void> {
    await renameDurably(this.staging, this.releasePath(directory))
  }

  /** Put a release in force. The link is relative: the tree may be seen through a mount or from a container. */
  async switchTo(directory: string): Promise<void> {
    await replaceSymlink(join('releases', directory), this.current)
  }

  /** Remove every release that is neither in force nor in `keep`. What is not ours stays. */
  async sweep(keep: ReadonlySet<string>): Promise<void> {
    const inForce = await this.inForce()
    const kept = (directory: string) => directory === inForce || keep.has(directory)
    for (const directory of await this.#names()) if (!kept(directory)) await removeTree(this.releasePath(directory))
    for (const name of await namesIn(this.control)) {
      const [, directory] = /^(.+)\.files$/.exec(name) ?? []
      if (directory && directoryPattern.test(directory) && !kept(directory)) await removeTree(this.indexPath(directory))
    }
    await removeTree(this.staging)
  }

  async #names(): Promise<string[]> {
    return (await namesIn(this.#releases)).filter(name => directoryPattern.test(name))
  }
}

async function namesIn(directory: string): Promise<string[]> {
  return onDisk(directory, () => readdir(directory))
}

/** The configured path, and the parents it lacks, open to readers whatever the umask. What exists keeps its mode: it is the admin's. */
async function makeReadableDirectory(path: string): Promise<void> {
  const missing: string[] = []
  for (let at = path; !(await lstatIfThere(at)); at = dirname(at)) missing.push(at)
  await makeDirectory(path, directoryMode)
  for (const made of missing) await onDisk(made, () => chmod(made, directoryMode))
}

/**
 * A directory that nobody else could have put there to make us write elsewhere: no link, and owned by this user.
 *
 * @throws InstallError `install_failed` when it is something else.
 */
async function makeOwnDirectory(path: string, mode: number): Promise<void> {
  await makeDirectory(path, mode)
  const status = await onDisk(path, () => lstat(path))
  if (!status.isDirectory() || status.uid !== process.getuid?.())
    throw new InstallError('install_failed', `${path} is not a directory of the user that runs sigmesh; move it away`)
  await onDisk(path, () => chmod(path, mode))
}
