/**
 * Changes to the disk that survive a kill and a power cut: whoever looks later sees the old state or the new one, never a half.
 *
 *   write beside (`.sigmesh-3f9a01c2d4e5.tmp`)  ─ fsync ─ rename over the name ─ fsync of the directory
 *
 * Rules
 *  - when a function here resolves, the change is on the disk
 *  - when it rejects, the name holds the old content or the new one, whole: a failed fsync of the directory comes after the
 *    rename, so "failed" may still have happened. Callers may simply try again
 *  - names of that pattern are rubbish after a crash: `removeLeftovers` takes them away
 *  - a link that waits under one of our names is never followed
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdir, open, readdir, rename, rm, symlink } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { isSystemError, onDisk } from './disk-error.ts'
import { writeAt } from './file-bytes.ts'

// Without the name itself, which may be as long as the file system allows already.
const leftover = /^\.sigmesh-[0-9a-f]{12}\.tmp$/

/** Is `name` one that `temporaryBeside` makes? */
export function isTemporaryName(name: string): boolean {
  return leftover.test(name)
}

/** A new name beside `path` that nobody else has, and that `removeLeftovers` knows after a crash. */
export function temporaryBeside(path: string): string {
  return join(dirname(path), `.sigmesh-${randomBytes(6).toString('hex')}.tmp`)
}

/**
 * Put `bytes` under the name `path`, new or instead of what is there.
 *
 * @param mode Exact permission bits, whatever the umask. Default 0600.
 * @throws StoreError `disk_full` | `disk_failed`.
 */
export function writeFileDurably(path: string, bytes: Uint8Array | string, mode = 0o600): Promise<void> {
  return writeFilesDurably(dirname(path), [[basename(path), bytes]], mode)
}

/**
 * `writeFileDurably` for names of one directory, in their order, with one sync of it for all. A power cut before that may keep any of the
 * new ones, and lose any: each by itself is the old or the new.
 *
 * @param mode As above. @throws As above; those before the one that failed may be new.
 */
export async function writeFilesDurably(
  directory: string,
  files: Iterable<readonly [name: string, bytes: Uint8Array | string]>,
  mode = 0o600,
): Promise<void> {
  let written = { path: directory, bytes: 0 }
  try {
    for (const [name, bytes] of files) {
      const [path, length] = [join(directory, name), Buffer.byteLength(bytes)]
      await onDisk(path, () => replaceFile(path, bytes, mode), length)
      written = { path, bytes: written.bytes + length }
    }
  } catch (error) {
    // What has been seen as new stays new; the first error is the one to tell.
    if (written.bytes > 0) await syncNames(directory).catch(() => {})
    throw error
  }
  await onDisk(written.path, () => syncNames(directory), written.bytes)
}

/** Make a directory and the parents it lacks. One that exists already is fine, and keeps its mode. @throws StoreError. */
export async function makeDirectory(path: string, mode = 0o700): Promise<void> {
  await onDisk(path, async () => {
    const first = await mkdir(path, { recursive: true, mode })
    if (first === undefined) return
    for (let made = resolve(path); ; made = dirname(made)) {
      await syncNames(dirname(made))
      if (made === first || made === dirname(made)) return
    }
  })
}

/**
 * Give a file or directory another name on the same file system. What is inside must have been synced before.
 *
 * @throws StoreError `disk_failed`, also when `to` is a directory with something in it.
 */
export async function renameDurably(from: string, to: string): Promise<void> {
  await onDisk(to, async () => {
    await rename(from, to)
    await syncNames(dirname(to))
    if (dirname(from) !== dirname(to)) await syncNames(dirname(from))
  })
}

/**
 * Let the symbolic link `path` point at `target`, whether it exists or not; readers see the old target or the new one.
 *
 * @throws StoreError `disk_failed`, also when `path` is a directory and no link.
 */
export async function replaceSymlink(target: string, path: string): Promise<void> {
  const temporary = temporaryBeside(path)
  await onDisk(path, async () => {
    try {
      await symlink(target, temporary)
      await rename(temporary, path)
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {})
      throw error
    }
    await syncNames(dirname(path))
  })
}

/**
 * Remove a file or a whole tree; links in it are removed, not followed. The name goes first, so that nobody meets half a tree under it.
 * Nothing there is fine. @throws StoreError.
 */
export async function removeTree(path: string): Promise<void> {
  const doomed = temporaryBeside(path)
  await onDisk(path, async () => {
    try {
      await rename(path, doomed)
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return
      throw error
    }
    await rm(doomed, { recursive: true, force: true })
    await syncNames(dirname(path))
  })
}

/** Take away what a crash in the middle of the functions above left in `directory`. Other files are left alone. @throws StoreError. */
export async function removeLeftovers(directory: string): Promise<void> {
  await onDisk(directory, async () => {
    for (const name of await readdir(directory)) {
      if (leftover.test(name)) await rm(join(directory, name), { recursive: true, force: true })
    }
  })
}

/** Make the names in `directory` last. @throws StoreError. */
export async function syncDirectory(directory: string): Promise<void> {
  await onDisk(directory, () => syncNames(directory))
}

async function syncNames(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function replaceFile(path: string, bytes: Uint8Array | string, mode: number): Promise<void> {
  const temporary = temporaryBeside(path)
  try {
    await writeNewFile(temporary, bytes, mode)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {}) // the first error is the one to tell; a restart cleans up
    throw error
  }
}

async function writeNewFile(path: string, bytes: Uint8Array | string, mode: number): Promise<void> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  const handle = await open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode)
  try {
    await writeAt(handle, typeof bytes === 'string' ? Buffer.from(bytes) : bytes, 0)
    await handle.chmod(mode)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
