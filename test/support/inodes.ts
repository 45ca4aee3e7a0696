/** What is on the disk below a directory, to the inode: whatever was written, replaced, linked, or given other rights shows. */
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** Path -> all that `lstat` tells but the time of access. The content is told by the times: nobody can set `ctime`. */
export async function inodes(at: string, found: Record<string, string> = {}): Promise<Record<string, string>> {
  const status = await lstat(at, { bigint: true })
  const { ino, mode, uid, gid, nlink, size, mtimeNs, ctimeNs } = status
  found[at] = [ino, mode.toString(8), uid, gid, nlink, size, mtimeNs, ctimeNs].join(' ')
  if (status.isDirectory()) for (const name of await readdir(at)) await inodes(join(at, name), found)
  return found
}
