/** Power cuts on a real file system; `npm run crash:power-cut` makes a hundred of them. Root only. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { needs } from '../support/needs.ts'

const program = join(import.meta.dirname, '../../bench/crash/power-cut.ts')
const canCut = process.getuid?.() === 0 && process.platform === 'linux' && needs('mkfs.ext4', 'losetup', 'python3')
if (!canCut) console.warn('power-cut.test.ts is skipped: only root can mount a disk of its own')

test.skipIf(!canCut)(
  'the power fails: no file is torn, and nothing older is found than was reported as installed',
  () => {
    const { stdout, stderr, status } = spawnSync(process.execPath, [program, '--rounds', '6'], { encoding: 'utf8' })
    expect(stderr).toBe('')
    expect(stdout).toMatch(/^6 power cuts, 0 failed/m)
    expect(status).toBe(0)
  },
)
