import { open, rm } from 'node:fs/promises'
import { MiB } from '../src/core/units.ts'

/**
 * Let the machine have `bytes` of free memory that are its own. The host of a virtual machine may take back what has been free for some
 * seconds (free page reporting), and each page is then ten times as dear to whoever touches it first: 0.65 s of a processor for 256 MiB of a
 * file, 0.06 otherwise. Which contender pays for that is chance, so it is paid here, just before a run.
 *
 * @param path A file that is written and removed again.
 * @param bytes Several times what the run needs: what is freed here is mixed with what the host has taken.
 */
export async function warmMemory(path: string, bytes: number): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    const chunk = Buffer.alloc(MiB, 1)
    for (let at = 0; at < bytes; at += chunk.length) await file.write(chunk, 0, chunk.length, at)
  } finally {
    await file.close()
    await rm(path)
  }
}
