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
      const found = await hashOf(location, signal)
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
        if (isSystemError(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES')) return `${location}: ${error.code}`
        throw error
      }
    })
    if (damage) return damage
  }
  return undefined
}

/** SHA-256 of a regular file; a link is not followed. What the disk throws passes through. */
export async function hashOf(location: string, signal?: AbortSignal): Promise<Sha256> {
  await using handle = await open(location, constants.O_RDONLY | constants.O_NOFOLLOW)
  const hash = createHash('sha256')
  const chunk = Buffer.allocUnsafe(chunkBytes)
  for (let at = 0; ; at += chunkBytes) {
    signal?.throwIfAborted()
    const filled = await readAt(handle, chunk, at)
    hash.update(chunk.subarray(0, filled))
    if (filled < chunkBytes) return hash.digest('hex') as Sha256
  }
}
