/**
 * A disk whose power can be cut: ext4 on a loop device.
 *
 * The cut is ext4's own emergency stop (EXT4_IOC_SHUTDOWN, without flushing its journal): from that call on nothing reaches the device
 * any more, neither data that was written and not synced nor names that were changed and not committed. The image is then what a disk
 * has that wrote everything it was given, in that order. What is lost is as much as can be: the journal is committed by nothing but a
 * sync (commit=300, where 5 s is usual), and ext4's habit of flushing a file that is renamed over another is off (noauto_da_alloc).
 *
 * Not modelled: a disk that says "flushed" and has not.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:fs'
import { copyFile, mkdir, open, rmdir } from 'node:fs/promises'
import { MiB } from '../../src/core/units.ts'

const imageBytes = 64 * MiB
const options = ['commit=300,noauto_da_alloc,data=ordered', 'commit=300,noauto_da_alloc,data=writeback', 'commit=300']

/** A new, empty disk in the file `image`. */
export async function format(image: string): Promise<void> {
  await using file = await open(image, 'w')
  await file.truncate(imageBytes)
  await run('mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0,nodiscard', image)
}

export interface Disk extends AsyncDisposable {
  readonly path: string
  /** Nothing reaches the device any more from the moment at which this resolves, or a little before. */
  cutPower(): Promise<void>
}

/** Mount `image` on `path`, which is made. Disposing of it unmounts it. @param kind Which of the mount options, by number. */
export async function mount(image: string, path: string, kind = 0): Promise<Disk> {
  await mkdir(path)
  await run('mount', '-o', `loop,${options[kind % options.length]}`, image, path)
  // Started before it is needed: the moment of the cut is not to depend on how long that takes. It ends when we do.
  const script = `import fcntl, os, struct, sys
disk = os.open(sys.argv[1], os.O_RDONLY)
print('ready', flush=True)
if sys.stdin.readline():
    fcntl.ioctl(disk, 0x8004587D, struct.pack('I', 2))`
  const breaker = spawn('python3', ['-c', script, path], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(breaker, 'exit')
  await once(breaker.stdout, 'data')
  return {
    path,
    async cutPower() {
      breaker.stdin.end('now\n')
      const [code] = await ended
      if (code !== 0) throw new Error(`the power of ${path} was not cut`)
    },
    async [Symbol.asyncDispose]() {
      breaker.stdin.end()
      await ended
      await run('umount', path)
      await rmdir(path)
    },
  }
}

/** What the disk has now. */
export async function copyDisk(image: string, to: string): Promise<void> {
  await copyFile(image, to, constants.COPYFILE_FICLONE)
}

async function run(program: string, ...args: readonly string[]): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', chunk => (complaint += chunk))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${complaint.trim()}`)
}
