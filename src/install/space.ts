/** Is there room for a release? Asked before its first byte is written. */
import { statfs } from 'node:fs/promises'
import { StoreError } from '../core/errors.ts'
import type { Release } from '../core/release.ts'
import { formatBytes, MiB } from '../core/units.ts'
import { onDisk } from '../store/disk-error.ts'

/** For the directories, the index and our records. */
const marginBytes = MiB

/**
 * @param directory On the file system that will hold the release; must exist.
 * @throws StoreError `disk_full` (facts: path, freeBytes, neededBytes), also when the file system cannot take that many files.
 */
export async function checkSpace(
  directory: string,
  { unpacked, files }: Pick<Release, 'unpacked' | 'files'>,
): Promise<void> {
  const system = await onDisk(directory, () => statfs(directory))
  const free = system.bavail * system.bsize
  // A file takes whole blocks: half of one is wasted on average, all of it but a byte at worst.
  const needed = unpacked + files * system.bsize + marginBytes
  if (free < needed) {
    const message = `the release needs ${formatBytes(needed)} in ${directory}, ${formatBytes(free)} are free`
    throw new StoreError('disk_full', message, { path: directory, freeBytes: free, neededBytes: needed })
  }
  // Some file systems (btrfs) have no fixed number of files, and say 0 of 0.
  if (system.files > 0 && system.ffree < files * 2)
    throw new StoreError(
      'disk_full',
      `the release has ${files} files; the file system of ${directory} can take ${system.ffree} more files and directories`,
      { path: directory, freeBytes: free, neededBytes: needed },
    )
}
