/** What a release takes of the disk until it is in force, and what it may take. */
import { statfs } from 'node:fs/promises'
import { ContentError } from '../core/errors.ts'
import type { PackLimits } from '../core/pack-format.ts'
import type { Release } from '../core/release.ts'
import { formatBytes, KiB } from '../core/units.ts'
import { onDisk } from '../store/disk-error.ts'
import type { SpaceNeed } from '../store/space.ts'

/** For the index of the content, a file. */
const indexBytes = 512
/** For our records, each written beside the one before. */
const marginBytes = 64 * KiB

/**
 * @param places Directories that will each hold all of the release, beside what they hold now. They must exist.
 * @throws StoreError `disk_failed`.
 */
export async function needsOf(
  places: readonly string[],
  { unpacked, files }: Pick<Release, 'unpacked' | 'files'>,
): Promise<readonly SpaceNeed[]> {
  return Promise.all(
    places.map(async directory => {
      const { bsize } = await onDisk(directory, () => statfs(directory))
      // A file takes whole blocks: half of one is wasted on average, all of it but a byte at worst. As many directories at worst.
      return { directory, bytes: unpacked + files * (bsize + indexBytes) + marginBytes, files: files * 2 }
    }),
  )
}

/** By what the manifest says; what the pack then holds is held to that. @throws ContentError `pack_limit`. */
export function checkLimits({ channel, sequence, unpacked, files }: Release, limits: PackLimits): void {
  const refuse = (found: string, limit: string, key: string) => {
    const message = `release ${sequence} of ${channel} ${found}; ${key} of node.toml allows ${limit}`
    throw new ContentError('pack_limit', message, { channel, sequence })
  }
  if (unpacked > limits.bytes)
    refuse(`unpacks to ${formatBytes(unpacked)}`, formatBytes(limits.bytes), 'unpack_limit_mib')
  if (files > limits.files) refuse(`has ${files} files`, `${limits.files}`, 'unpack_limit_files')
}
