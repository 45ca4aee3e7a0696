/** Reading a file that must be small, whoever wrote it last. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { isSystemError, onDisk } from './disk-error.ts'

/**
 * The bytes of a regular file of ours; a link is not followed, and a pipe in its place does not make us wait.
 *
 * @returns undefined when there is none.
 * @throws StoreError `disk_failed`.
 */
export async function readSmallFile(path: string, limit: number): Promise<Buffer | undefined | 'too large'> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  return onDisk(path, async () => {
    try {
      await using handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
      if ((await handle.stat()).size > limit) return 'too large'
      return await handle.readFile()
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return undefined
      throw error
    }
  })
}
