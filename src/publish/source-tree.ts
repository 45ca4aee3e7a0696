/**
 * What the operator wants to publish, as it stands on disk: one file, or every file below a directory.
 *
 * Regular files only. A symbolic link is refused, not followed: followed, it would publish what it happens to point at today (or a
 * file outside the tree); left out, a file the admin sees would be missing on every node. Empty directories do not travel.
 */
import type { BigIntStats } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { ContentError, PublishError } from '../core/errors.ts'
import { comparePaths, packLimitFiles } from '../core/pack-format.ts'
import { pathChecker } from '../core/pack-path.ts'

export interface SourceFile {
  /** As in the pack. */
  readonly path: string
  /** Where it is read. */
  readonly location: string
  readonly length: number
  readonly executable: boolean
  /** Changes whenever the file is written to or replaced. */
  readonly stamp: string
}

/**
 * Every file of the source, in the order of a pack.
 *
 * @param source A regular file (packed under its own name) or a directory.
 * @throws PublishError `source_unreadable`; ContentError `pack_path` | `pack_limit`. The message names the file.
 *   An aborted `signal` rejects with its own reason.
 */
export async function walkSource(source: string, signal?: AbortSignal): Promise<SourceFile[]> {
  const files: SourceFile[] = []
  const status = await statOf(source)
  if (status.isDirectory()) await walkDirectory(source, '', files, signal)
  else files.push(sourceFile(basename(source), source, status))
  if (files.length === 0) throw unreadable(source, 'has no file in it')
  files.sort((a, b) => comparePaths(a.path, b.path))
  const checkPath = pathChecker()
  for (const { path } of files) checkPath(path)
  return files
}

/**
 * @throws PublishError `source_unreadable` when the source is no longer what `before` says: a release must be one moment of it, not
 *   half of yesterday's files and half of today's.
 */
export async function checkUnchanged(
  source: string,
  before: readonly SourceFile[],
  signal?: AbortSignal,
): Promise<void> {
  const now = await walkSource(source, signal)
  for (let at = 0; at < Math.max(now.length, before.length); at++) {
    if (now[at]?.path === before[at]?.path && now[at]?.stamp === before[at]?.stamp) continue
    throw changed((before[at] ?? now[at])!.location)
  }
}

/** Equal for two looks at a file that nobody touched between them. */
export function stampOf({ dev, ino, size, mode, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mode, mtimeNs, ctimeNs].join(' ')
}

export function changed(location: string): PublishError {
  return unreadable(location, 'changed while it was packed; publish when nobody writes to it')
}

export function unreadable(location: string, detail: string, cause?: unknown): PublishError {
  return new PublishError('source_unreadable', `${location} ${detail}`, { cause, location })
}

async function walkDirectory(directory: string, prefix: string, files: SourceFile[], signal?: AbortSignal) {
  for (const name of await namesIn(directory)) {
    signal?.throwIfAborted()
    const location = join(directory, name)
    const status = await statOf(location)
    if (status.isDirectory()) await walkDirectory(location, `${prefix}${name}/`, files, signal)
    else files.push(sourceFile(prefix + name, location, status))
    if (files.length > packLimitFiles)
      throw new ContentError(
        'pack_limit',
        `${location}: more than ${packLimitFiles} files cannot be published as one release`,
      )
  }
}

function sourceFile(path: string, location: string, status: BigIntStats): SourceFile {
  if (status.isSymbolicLink())
    throw unreadable(location, 'is a symbolic link, and links are not published; put the file itself there')
  if (!status.isFile()) throw unreadable(location, 'is a socket, pipe or device; only regular files are published')
  const executable = (status.mode & 0o100n) !== 0n
  return { path, location, length: Number(status.size), executable, stamp: stampOf(status) }
}

/** Names as bytes: Node would turn one that is not UTF-8 into a name that does not exist. */
async function namesIn(directory: string): Promise<string[]> {
  const names = await readdir(directory, { encoding: 'buffer' }).catch(error => {
    throw unreadable(directory, `cannot be read: ${error.message}`, error)
  })
  return names.map(name => {
    const text = name.toString('utf8')
    if (Buffer.from(text).equals(name)) return text
    throw new ContentError('pack_path', `${directory} has a file whose name is not UTF-8: ${name.toString('latin1')}`)
  })
}

async function statOf(location: string): Promise<BigIntStats> {
  return await lstat(location, { bigint: true }).catch(error => {
    throw unreadable(location, `cannot be read: ${error.message}`, error)
  })
}
