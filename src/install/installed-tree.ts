/**
 * Is an installed tree still the one that was installed? A disk rots, and people delete things: a node must notice, and install again.
 *
 * The content index lies beside the tree and proves itself: its SHA-256 is the signed content. Files that somebody added to the tree
 * are not looked at.
 */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { lstat, open } from 'node:fs/promises'
import { join } from 'node:path'
import { type Sha256, sha256 } from '../core/digest.ts'
import { type ContentFile, decodeContent, indexLimitBytes } from '../core/pack-format.ts'
import { MiB } from '../core/units.ts'
import { isSystemError, onDisk } from '../store/disk-error.ts'
import { readAt } from '../store/file-bytes.ts'
import { readSmallFile } from '../store/small-file.ts'

export interface InstalledTree {
  readonly directory: string
  readonly indexPath: string
  readonly content: Sha256
}

const chunkBytes = MiB

/**
 * Look at names, types, sizes and modes.
 *
 * @returns What is wrong, in words; undefined when nothing is. @throws StoreError `disk_failed`.
 */
export async function findDamage(tree: InstalledTree): Promise<string | undefined> {
  return eachFile(tree, async (file, location) => {
    const status = await lstat(location)
    if (!status.isFile()) return `${location} is no regular file`
    if (status.size !== file.length) return `${location} has ${status.size} bytes instead of ${file.length}`
    if ((status.mode & 0o7777) !== file.mode) return `${location} has mode ${(status.mode & 0o7777).toString(8)}`
    return undefined
  })
}

/** As `findDamage`, and every byte is hashed. An aborted `signal` rejects with its reason. */
export async function findDeepDamage(tree: InstalledTree, signal?: AbortSignal): Promise<string | undefined> {
  const shallow = await findDamage(tree)
  return (
    shallow ??
    eachFile(tree, async (file, location) => {
      const found = await hashOf(location, file.length, signal)
      return found === file.sha256 ? undefined : `${location} does not have the signed SHA-256`
    })
  )
}

/** What is in the tree, as it was signed; undefined when the index is missing or another. @throws StoreError `disk_failed`. */
export async function contentOf({
  indexPath,
  content,
}: Omit<InstalledTree, 'directory'>): Promise<readonly ContentFile[] | undefined> {
  const index = await readSmallFile(indexPath, indexLimitBytes)
  if (index === undefined || index === 'too large' || sha256(index) !== content) return undefined
  return decodeContent(index)
}

async function eachFile(
  tree: InstalledTree,
  look: (file: ContentFile, location: string) => Promise<string | undefined>,
): Promise<string | undefined> {
  const files = await contentOf(tree)
  if (!files) return `${tree.indexPath} is missing or not the signed content`
  for (const file of files) {
    const location = join(tree.directory, file.path)
    const damage = await onDisk(location, async () => {
      try {
        return await look(file, location)
      } catch (error) {
        if (isSystemError(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'ENXIO')) return `${location}: ${error.code}`
        throw error
      }
    })
    if (damage) return damage
  }
  return undefined
}

/**
 * SHA-256 of a regular file of `length` bytes, however it changes meanwhile; a link is not followed, a pipe is not waited for.
 *
 * @returns undefined when it is something else. What the disk throws passes through. An aborted `signal` rejects with its reason.
 */
export async function hashOf(location: string, length: number, signal?: AbortSignal): Promise<Sha256 | undefined> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  await using handle = await open(location, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  const status = await handle.stat()
  if (!status.isFile() || status.size !== length) return undefined
  const hash = createHash('sha256')
  const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, length))
  for (let at = 0; at < length; at += chunk.length) {
    signal?.throwIfAborted()
    const wanted = chunk.subarray(0, Math.min(chunk.length, length - at))
    if ((await readAt(handle, wanted, at)) < wanted.length) return undefined
    hash.update(wanted)
  }
  return hash.digest('hex') as Sha256
}
