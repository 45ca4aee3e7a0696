/** Room: on the disks that this node writes to, and within the quota of its artifacts. */
import { readdir, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { formatBytes, GiB, MiB } from '../../core/units.ts'
import type { NodeConfig } from '../config.ts'
import { bad, type Finding, ok, skipped, warning } from './finding.ts'

const scarceBytes = 100 * MiB
const littleBytes = GiB
const nearlyFull = 0.9

export async function examineDisk({ state_dir, channels }: NodeConfig): Promise<Finding[]> {
  const places = new Map([
    ['disk', state_dir],
    ...Object.entries(channels).map(([name, { path }]) => [`disk of ${name}`, path] as const),
  ])
  return Promise.all([...places].map(([check, path]) => freeAt(check, path)))
}

async function freeAt(check: string, path: string): Promise<Finding> {
  try {
    const { bavail, bsize } = await statfs(await existing(path))
    const free = bavail * bsize
    const saw = `${formatBytes(free)} free for ${path}`
    const advice = 'Make room, or a larger disk: a release needs its artifact and its files beside the ones in force.'
    if (free < scarceBytes) return bad(check, saw, advice)
    return free < littleBytes ? warning(check, saw, advice) : ok(check, saw)
  } catch (error) {
    return bad(
      check,
      `${path}: ${(error as Error).message}`,
      'Check that the directory is there, mounted, and open to the daemon.',
    )
  }
}

/** What does not exist yet is made on the disk of what is above it. */
async function existing(path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) {
    if (await stat(at).then(() => true, absent)) return at
  }
}

function absent(error: NodeJS.ErrnoException): false {
  if (error.code === 'ENOENT') return false
  throw error
}

/** All that the quota counts: artifacts, and what each channel has installed. */
export async function examineQuota({ state_dir, store, channels }: NodeConfig): Promise<Finding> {
  const quota = store.quota_mib * MiB
  const installed = Object.entries(channels).map(([name, { action, path, releases }]) =>
    action === 'files' ? (releases ?? join(state_dir, 'install', name)) : join(path, 'releases'),
  )
  try {
    const sizes = await Promise.all([join(state_dir, 'artifacts'), ...installed].map(bytesIn))
    const used = sizes.reduce((sum, size) => sum + size)
    const saw = `${formatBytes(used)} of ${formatBytes(quota)} in use by artifacts and releases`
    if (used < nearlyFull * quota) return ok('quota', saw)
    return warning(
      'quota',
      saw,
      'What is only served gives way to a new release; where one does not fit, raise `store.quota_mib`.',
    )
  } catch (error) {
    return skipped('quota', `not looked at: ${(error as Error).message}`)
  }
}

/** As the disk has it: a sparse file takes what was written. */
async function bytesIn(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true }).catch(error => absent(error) || [])
  const sizes = await Promise.all(
    names.map(name =>
      stat(join(directory, name)).then(
        ({ blocks }) => blocks * 512,
        () => 0,
      ),
    ),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}
