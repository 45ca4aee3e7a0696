/** A really full disk: a tmpfs of a few megabytes. Only root can mount one. */
import { execFileSync } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { scratchDir } from './scratch.ts'

export const canMount = process.getuid?.() === 0 && process.platform === 'linux'
if (!canMount && process.env.CI) throw new Error('only root can mount a small tmpfs, and CI must not skip')
if (!canMount) console.warn('skipped: only root can mount a small tmpfs')

/** @returns An empty directory that holds `bytes` and no more, until the test has ended. */
export async function smallDisk(bytes: number): Promise<string> {
  const directory = join(await scratchDir(), 'disk')
  await mkdir(directory)
  mountPoint(directory, '-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs')
  return directory
}

/** `mount OPTIONS… PATH`, until the test has ended. */
export function mountPoint(path: string, ...options: readonly string[]): void {
  execFileSync('mount', [...options, path])
  onTestFinished(() => void execFileSync('umount', ['--lazy', path]))
}
