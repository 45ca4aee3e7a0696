/** SQLite files in the origin's state directory: crash-safe, for the origin's user only, and open to a command beside the service. */
import { chmodSync, chownSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { StoreError } from '../core/errors.ts'
import { second } from '../core/units.ts'

/**
 * @param directory Exists, and belongs to the origin. @param schema SQL that makes what is not there.
 * @throws StoreError `disk_failed`, also when the file is not a database.
 */
export function openDatabase(directory: string, name: string, schema: string): DatabaseSync {
  const path = join(directory, name)
  try {
    const database = new DatabaseSync(path, { timeout: 5 * second })
    chmodSync(path, 0o600)
    // A command of root's must not leave a file that the service cannot open. (SQLite does the same for the files beside it.)
    if (process.getuid?.() === 0) {
      const { uid, gid } = statSync(directory)
      chownSync(path, uid, gid)
    }
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; ${schema}`)
    return database
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new StoreError('disk_failed', `${path} cannot be opened: ${reason}`, { path, reason, cause })
  }
}
