/**
 * From a checked artifact to a new directory with its content.
 *
 * The signature was checked before, and still the pack is read as hostile: a publisher's key can be stolen, and the file can be changed
 * on the disk after its hash was taken. So every length is enforced while bytes flow, every file is hashed again, and nothing outside
 * the new directory is ever opened for writing.
 */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ContentError } from '../core/errors.ts'
import {
  contentDigest,
  decodeIndex,
  type PackFile,
  type PackLimits,
  packHeaderBytes,
  readIndexLength,
} from '../core/pack-format.ts'
import type { Release } from '../core/release.ts'
import type { Verified } from '../core/verified.ts'
import type { StoredArtifact } from '../store/artifact-store.ts'
import { onDisk } from '../store/disk-error.ts'
import { removeTree, syncDirectory } from '../store/durable.ts'
import { writeAt } from '../store/file-bytes.ts'
import { readFrame, readPart } from './frame-reader.ts'

/** Anyone on this machine may read signatures; clamd runs as another user. Set exactly, whatever the umask. */
export const directoryMode = 0o755

/**
 * Unpack `content` into `directory`.
 *
 * @param directory Must not exist; its parent must, and nobody else may write to that.
 * @returns The files, once all of them and all directories are on the disk.
 * @throws ContentError `pack_malformed` | `pack_path` | `pack_limit` | `content_mismatch`; StoreError `disk_full` | `disk_failed`.
 *   Then the directory is gone again. An aborted `signal` rejects with its reason.
 */
export async function unpack(
  content: Verified<StoredArtifact>,
  release: Verified<Release>,
  directory: string,
  limits: PackLimits,
  signal?: AbortSignal,
): Promise<readonly PackFile[]> {
  const { files, framesStart } = await readIndex(content, release, limits)
  await onDisk(directory, () => mkdir(directory, { mode: 0o700 }))
  try {
    const directories = await makeDirectories(directory, files)
    let start = framesStart
    for (const file of files) {
      signal?.throwIfAborted()
      await unpackFile(content.handle, start, file, join(directory, file.path), signal)
      start += file.frame
    }
    await finishDirectories(directories)
  } catch (error) {
    await removeTree(directory).catch(() => {}) // the first error is the one to tell; the next start cleans up
    throw error
  }
  return files
}

/** The index, and proof that it is the signed content before the first byte is written. */
async function readIndex(
  { artifact, handle }: Verified<StoredArtifact>,
  release: Verified<Release>,
  limits: PackLimits,
) {
  if (artifact.sha256 !== release.full.sha256) throw new Error('unreachable: the artifact of another release')
  if (artifact.length < packHeaderBytes) throw new ContentError('pack_malformed', 'the pack ends in its header')
  const indexLength = readIndexLength(await readPart(handle, 0, packHeaderBytes))
  const framesStart = packHeaderBytes + indexLength
  if (framesStart > artifact.length) throw new ContentError('pack_malformed', 'the pack ends in its index')
  const index = await readPart(handle, packHeaderBytes, indexLength)
  const files = decodeIndex(index, artifact.length - framesStart, limits)
  const unpacked = files.reduce((sum, { length }) => sum + length, 0)
  if (contentDigest(files) !== release.content || files.length !== release.files || unpacked !== release.unpacked)
    throw new ContentError('content_mismatch', `the pack holds other content than release ${release.sequence} signs`)
  return { files, framesStart }
}

/** @returns All directories, parents first. */
async function makeDirectories(root: string, files: readonly PackFile[]): Promise<string[]> {
  const paths = new Set<string>()
  for (const { path } of files)
    for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) paths.add(path.slice(0, at))
  const directories = [root]
  for (const path of paths) {
    const directory = join(root, path)
    await onDisk(directory, () => mkdir(directory, { mode: 0o700 }))
    directories.push(directory)
  }
  return directories
}

async function unpackFile(from: FileHandle, start: number, file: PackFile, to: string, signal?: AbortSignal) {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  const hash = createHash('sha256')
  await onDisk(
    to,
    async () => {
      await using out = await open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
      let at = 0
      const write = async (bytes: Uint8Array) => {
        hash.update(bytes)
        await writeAt(out, bytes, at)
        at += bytes.length
      }
      await readFrame(from, { start, ...file }, write, signal)
      if (hash.digest('hex') !== file.sha256)
        throw new ContentError('content_mismatch', `${JSON.stringify(file.path)} does not have the signed SHA-256`)
      await out.chmod(file.mode)
      await out.sync()
    },
    file.length,
  )
}

/** Children first: when a directory can be read by others, all in it is there. */
async function finishDirectories(directories: readonly string[]): Promise<void> {
  for (const directory of directories.toReversed()) {
    await onDisk(directory, async () => {
      await using handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
      await handle.chmod(directoryMode)
      await handle.sync()
    })
  }
  await syncDirectory(dirname(directories[0]!))
}
