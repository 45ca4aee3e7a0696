/**
 * One process a directory. The lock is the kernel's, on the file `lock` in it (SQLite's exclusive lock on an empty database, which is
 * a record lock): it ends with the process, however that ends, so there is never a stale one to clean up.
 *
 * Nothing else in this process may open that file: closing any descriptor of it would drop a record lock. (SQLite knows, and keeps
 * its own descriptors in order.)
 *
 * Not a file with a process number: after a kill it lies, and to find that out is a race. Not an abstract unix socket: Linux only, not
 * shared between network namespaces, and any local user could take the name and keep the daemon from starting.
 */
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { StoreError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import { onDisk } from './disk-error.ts'

/** SQLite's result code for "someone else holds it". */
const busy = 5

/** Keeps them from the garbage collector, which would close the file and so give up the lock of a caller who let go of it. */
const held = new Set<DatabaseSync>()

/**
 * Take `directory` for this process until `stop()` or its end. The file `lock` stays, and stays empty.
 *
 * @throws StoreError `state_busy` when another process, or this one, holds it already; `disk_full` | `disk_failed`.
 */
export async function lockDirectory(directory: string): Promise<Stoppable> {
  const path = join(directory, 'lock')
  const database = sqlite(path, directory, () => new DatabaseSync(path))
  try {
    // Who may read the file may lock it, and keep the daemon from starting.
    await onDisk(path, () => chmod(path, 0o600))
    // Without a journal in memory, SQLite would write one beside the lock, and fail on a full disk.
    sqlite(path, directory, () => database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE'))
  } catch (error) {
    database.close()
    throw error
  }
  held.add(database)
  return {
    async stop() {
      if (held.delete(database)) database.close()
    },
  }
}

function sqlite<T>(path: string, directory: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof Error && 'errcode' in error && error.errcode === busy)
      throw new StoreError('state_busy', `another process uses ${directory}`, { path: directory, cause: error })
    const reason = error instanceof Error ? error.message : String(error)
    throw new StoreError('disk_failed', `${path} cannot be locked: ${reason}`, { path, reason, cause: error })
  }
}
