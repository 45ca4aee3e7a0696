/** Space on file systems: what somebody is about to write, and what there is. Numbers first, so that a refusal can name them. */
import { stat, statfs } from 'node:fs/promises'
import { StoreError } from '../core/errors.ts'
import { formatBytes } from '../core/units.ts'
import { onDisk } from './disk-error.ts'

/** To be written on the file system of `directory`, which must exist. */
export interface SpaceNeed {
  readonly directory: string
  readonly bytes: number
  /** New files and directories. */
  readonly files: number
}

/** What an install takes beside its artifact, from before the first byte of that until the release is in force. */
export interface Demand {
  readonly spaces: readonly SpaceNeed[]
  /** What stays of it counts against the quota, as bytes of content. */
  readonly keptBytes: number
}

/** A file system, the sum of what is needed on it, and what it has. */
interface FileSystemNeed extends SpaceNeed {
  readonly freeBytes: number
  readonly freeFiles: number
}

/**
 * Two directories may be on one file system, and then their needs add up.
 *
 * @returns In the order in which the file systems are first named. @throws StoreError `disk_failed`.
 */
export async function byFileSystem(needs: readonly SpaceNeed[]): Promise<readonly FileSystemNeed[]> {
  const found = new Map<number, FileSystemNeed>()
  for (const { directory, bytes, files } of needs) {
    const { dev } = await onDisk(directory, () => stat(directory))
    const system = await onDisk(directory, () => statfs(directory))
    const known = found.get(dev)
    found.set(dev, {
      directory: known?.directory ?? directory,
      bytes: bytes + (known?.bytes ?? 0),
      files: files + (known?.files ?? 0),
      freeBytes: system.bavail * system.bsize,
      // Some file systems (btrfs) have no fixed number of files, and say 0 of 0.
      freeFiles: system.files > 0 ? system.ffree : Number.POSITIVE_INFINITY,
    })
  }
  return [...found.values()]
}

/** @throws StoreError `disk_full` (facts: path, freeBytes, neededBytes), also when it cannot take that many files; `disk_failed`. */
export async function checkSpace(needs: readonly SpaceNeed[]): Promise<void> {
  for (const need of await byFileSystem(needs)) {
    if (need.freeBytes < need.bytes) throw diskFull(need.directory, need.bytes, need.freeBytes)
    checkFiles(need)
  }
}

/** @throws StoreError `disk_full`. */
export function checkFiles({ directory, bytes, files, freeBytes, freeFiles }: FileSystemNeed): void {
  if (freeFiles >= files) return
  const message = `${directory} needs ${files} new files, but its file system can take only ${freeFiles} more`
  throw new StoreError('disk_full', message, { path: directory, freeBytes, neededBytes: bytes })
}

export function diskFull(path: string, neededBytes: number, freeBytes: number): StoreError {
  const message = `${path} needs ${formatBytes(neededBytes)}, but has ${formatBytes(freeBytes)} free`
  return new StoreError('disk_full', message, { path, neededBytes, freeBytes })
}
