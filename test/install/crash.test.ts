/**
 * A real process is killed at a system call of an install, or that call fails. The points are a sample of those that
 * `npm run crash:syscalls` tries one and all; what must hold afterwards is told in bench/crash/judge.ts.
 */
import { expect, test } from 'vitest'
import { tryAll } from '../../bench/crash/try-all.ts'
import { needs } from '../support/needs.ts'
import { scratchDir } from '../support/scratch.ts'

test.skipIf(!needs('strace'))(
  'killed at a system call, or failed by the disk: the old release or the new one',
  async () => {
    const { tried, failures } = await tryAll(await scratchDir(), { sample: 40, seed: 1, print: () => {} })
    expect(failures).toEqual([])
    expect(tried).toBeGreaterThanOrEqual(40)
  },
)
