import { open, rm } from 'node:fs/promises'
import { freemem } from 'node:os'
import { MiB } from '../src/core/units.ts'
import { isSystemError } from '../src/store/disk-error.ts'

/**
 * Let the machine have free memory that is its own. The host of a virtual machine may take back what has been free for some seconds (free page
 * reporting), and each page is then ten times as dear to whoever touches it first: 0.65 s of a processor for 256 MiB of a file, 0.06
 * otherwise. Which contender pays for that is chance, so it is paid here, just before a run. Does nothing where there is no Linux.
 *
 * @param bytes Several GiB more than the run needs: the host may take a sixteenth of all that is free every two seconds. No more than half of
 *   that is used.
 */
export async function warmMemory(bytes: number): Promise<void> {
  if (process.platform !== 'linux') return
  const path = `/dev/shm/sigmesh-warm-${process.pid}`
  const file = await open(path, 'wx', 0o600)
  try {
    await rm(path) // it goes with this process, however that ends
    const chunk = Buffer.alloc(MiB, 1)
    const most = Math.min(bytes, freemem() / 2)
    for (let at = 0; at < most; at += chunk.length) await file.write(chunk, 0, chunk.length, at)
  } catch (error) {
    if (!isSystemError(error, 'ENOSPC')) throw error // less is warm
  } finally {
    await file.close()
  }
}
