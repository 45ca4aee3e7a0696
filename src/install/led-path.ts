/**
 * A daemon that is root must not be led: whoever can exchange a directory of a path for a link decides where root writes and removes.
 * So every directory that a path leads through, links included, has to be root's, and nobody else's to change.
 *
 *   yes   /var/lib/sigmesh/clamav     /tmp/x (root's; /tmp is sticky, so that only root can take it away)     /srv -> /data/srv
 *   no    /home/ann/clamav     /var/lib/clamav/sub, which the user clamav could replace
 *
 * A daemon that is somebody else has nothing to give but that user's rights, and checks nothing.
 */
import { readlink } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { InstallError } from '../core/errors.ts'
import { lstatIfThere, onDisk } from '../store/disk-error.ts'
import { isRoot } from './account.ts'

/** As Linux. */
const mostLinks = 40

/**
 * @param path Absolute. What is missing of it, and would be made by us, is no matter.
 * @param end Whose the directory at its end may be. `others`: it may be written by anybody, and nothing but files is put there.
 * @throws InstallError `install_failed`, naming the directory; StoreError.
 */
export async function refuseLedPath(path: string, end: 'root' | 'others'): Promise<void> {
  if (isRoot()) await onDisk(path, () => walk(path, end))
}

async function walk(path: string, end: 'root' | 'others'): Promise<void> {
  const names = namesOf(path)
  let at: string = sep
  let open = false // to others, who may put something of theirs there
  for (let links = 0; names.length > 0; ) {
    const name = names.shift()!
    const next = join(at, name)
    const status = await lstatIfThere(next)
    if (!status) return
    const last = names.length === 0
    if (status.isSymbolicLink()) {
      if (open && status.uid !== 0) throw led(path, next, `is a link of user ${status.uid}`)
      if (++links > mostLinks) throw led(path, next, 'is one of too many links')
      const target = await readlink(next)
      names.unshift(...namesOf(target))
      if (target.startsWith(sep)) [at, open] = [sep, false]
      continue
    }
    if (!status.isDirectory()) return // what wants a directory there will say so
    const theirs = status.uid !== 0
    if (theirs && (open || !last || end === 'root')) throw led(path, next, `belongs to user ${status.uid}`)
    const writable = (status.mode & 0o022) !== 0
    const sticky = (status.mode & 0o1000) !== 0
    if (writable && !sticky && (!last || end === 'root')) throw led(path, next, 'can be written by others')
    at = next
    open = writable
  }
}

function namesOf(path: string): string[] {
  return path.split(sep).filter(name => name !== '' && name !== '.')
}

function led(path: string, directory: string, why: string): InstallError {
  return new InstallError(
    'install_failed',
    `${directory} ${why}, who could lead sigmesh, which is root here, from ${path} to elsewhere; give it to root alone, or run sigmesh as another user`,
    { path, directory },
  )
}
