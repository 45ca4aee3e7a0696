/** Files that a command of root's makes for a service with a user of its own. */
import { chown, stat } from 'node:fs/promises'
import { onDisk } from './disk-error.ts'

/** Give `path` to whom `directory` belongs. Only root can, and only root needs to. @throws StoreError. */
export async function giveToOwnerOf(directory: string, path: string): Promise<void> {
  if (process.getuid?.() !== 0) return
  await onDisk(path, async () => {
    const { uid, gid } = await stat(directory)
    await chown(path, uid, gid)
  })
}
