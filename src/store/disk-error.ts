/**
 * What the operating system says about the disk, in our words. Every file operation of this room, and of `install`, runs inside
 * `onDisk`, so that a full disk is told from a broken one and the message names the file.
 */
import type { Stats } from 'node:fs'
import { lstat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { StoreError } from '../core/errors.ts'
import { formatBytes } from '../core/units.ts'

/** No space, and no space left to this user: the same to whoever has to act. */
const fullCodes: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT'])

/**
 * Run one step of disk work.
 *
 * @param path The file or directory that the message names.
 * @param neededBytes What the step wanted to write, when that is known.
 * @throws StoreError `disk_full` (facts: path, freeBytes, neededBytes) or `disk_failed` (facts: path, reason), with the cause kept.
 *   Whatever is no error of the operating system passes through unchanged.
 */
export async function onDisk<T>(path: string, work: () => Promise<T>, neededBytes?: number): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw isSystemError(error) ? await storeError(error, path, neededBytes) : error
  }
}

/** @returns undefined when there is nothing at `path`; a link is not followed. @throws StoreError `disk_failed`. */
export async function lstatIfThere(path: string): Promise<Stats | undefined> {
  return onDisk(path, async () => {
    try {
      return await lstat(path)
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    }
  })
}

/** True for an error of the operating system with one of these codes, as in `isSystemError(error, 'ENOENT')`; any code when none is given. */
export function isSystemError(error: unknown, ...codes: string[]): error is NodeJS.ErrnoException & { code: string } {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return false
  return codes.length === 0 || codes.includes(String(error.code))
}

/** Bytes that this user may still write beside `path`. @throws StoreError `disk_failed`. */
export async function freeBytes(path: string): Promise<number> {
  return onDisk(path, async () => {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  })
}

async function storeError(cause: NodeJS.ErrnoException & { code: string }, path: string, neededBytes?: number) {
  if (!fullCodes.has(cause.code)) {
    const message = `${path}: ${cause.syscall ?? 'access'} failed with ${cause.code}`
    return new StoreError('disk_failed', message, { path, reason: cause.code, cause })
  }
  const free = await freeBytes(dirname(path)).catch(() => undefined)
  const numbers = [
    ...(neededBytes === undefined ? [] : [`${formatBytes(neededBytes)} needed`]),
    ...(free === undefined ? [] : [`${formatBytes(free)} free`]),
  ]
  const message = `no space for ${path}${numbers.length > 0 ? ` (${numbers.join(', ')})` : ''}`
  return new StoreError('disk_full', message, { path, freeBytes: free, neededBytes, cause })
}
