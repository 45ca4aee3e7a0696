/** What the manifests of a repository list, read by the operator. */
import { asSha256 } from '../core/digest.ts'
import { ConfigError, TrustError } from '../core/errors.ts'
import { parseRelease, type Release } from '../core/release.ts'
import { channelName } from '../core/schema.ts'
import { readMetadata, type SignedFile, type Targets } from '../signing/metadata.ts'
import type { Repository } from '../signing/repository.ts'
import type { OperatorDirectory } from './operator-directory.ts'

/** @throws ConfigError `config_invalid` before the name becomes part of a path. */
export function requireChannelName(name: string): void {
  const parsed = channelName.safeParse(name)
  if (parsed.success) return
  const reason = parsed.error.issues.map(({ message }) => message).join('; ')
  throw new ConfigError(
    'config_invalid',
    `${JSON.stringify(name.slice(0, 80))} cannot be the name of a channel: ${reason}`,
  )
}

/** The releases of one channel, oldest first; none for a channel that is not there. */
export function releasesIn(repository: Repository, channel: string): Release[] {
  const manifest = repository.channels.get(channel)
  return manifest ? releasesOf(channel, manifest) : []
}

/** All that readers may be fetching now: what the manifests list, and what they listed one version earlier. */
export async function releasesInUse(place: OperatorDirectory, repository: Repository): Promise<Release[]> {
  const releases: Release[] = []
  for (const [channel, manifest] of repository.channels) {
    const before = await place.readMetadata(`${manifest.body.version - 1}.${channel}.json`)
    releases.push(...releasesOf(channel, manifest), ...(before ? releasesBefore(channel, before) : []))
  }
  return releases
}

/** What has been replaced is asked for a kindness to slow readers only: when it cannot be read, there is none. */
function releasesBefore(channel: string, bytes: Uint8Array): Release[] {
  try {
    return releasesOf(channel, readMetadata('targets', `${channel}.json`, bytes))
  } catch (error) {
    if (error instanceof TrustError) return []
    throw error
  }
}

/** Oldest first. */
export function releasesOf(channel: string, { body }: Pick<SignedFile<Targets>, 'body'>): Release[] {
  return [...body.targets]
    .flatMap(([path, { length, hashes, custom }]) => {
      const sha256 = hashes.get('sha256')
      return (sha256 && parseRelease(channel, path, { length, sha256: asSha256(sha256), custom })) || []
    })
    .sort((a, b) => a.sequence - b.sequence)
}
