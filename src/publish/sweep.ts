/**
 * Taking away what no reader needs any more: releases that have left the manifests, and what a publish that was killed left.
 *
 * A release that has just left is kept for one publish longer, and metadata for a few versions: a node on a slow line may be in the middle
 * of it, and a plain file server would cut it off. Roots are kept for ever: a node that slept walks through all of them.
 */
import { join } from 'node:path'
import { artifactUrlPath, torrentUrlPath } from '../core/release.ts'
import type { SignedFile } from '../signing/metadata.ts'
import type { Repository } from '../signing/repository.ts'
import { removeTree } from '../store/durable.ts'
import { releasesInUse } from './channel-releases.ts'
import { namesIn, type OperatorDirectory } from './operator-directory.ts'

/** Versions of each metadata file, the newest included. */
const keptVersions = 10

/**
 * Remove what `repository`, the newest state on the disk, does not need. Names that sigmesh does not give are left alone.
 *
 * @throws StoreError.
 */
export async function sweep(place: OperatorDirectory, repository: Repository): Promise<void> {
  const releases = await releasesInUse(place, repository)
  const paths = releases.flatMap(release => [artifactUrlPath(release), torrentUrlPath(release.full)])
  const needed = new Set(paths.map(path => join(place.served, path)))
  const artifact = /^[0-9a-f]{64}\.\d+\.full\.pack$/
  for (const directory of await place.channelDirectories()) await removeUnneeded(directory, artifact, needed)
  await removeUnneeded(place.torrents, /^[0-9a-f]{64}\.torrent$/, needed)
  await sweepMetadata(place, repository)
}

async function removeUnneeded(directory: string, ours: RegExp, needed: ReadonlySet<string>): Promise<void> {
  for (const name of await namesIn(directory)) {
    const path = join(directory, name)
    if (ours.test(name) && !needed.has(path)) await removeTree(path)
  }
}

async function sweepMetadata(place: OperatorDirectory, { snapshot, targets, channels }: Repository): Promise<void> {
  const newest = new Map<string, SignedFile<{ readonly version: number }>>(channels)
    .set('snapshot', snapshot)
    .set('targets', targets)
  for (const name of await namesIn(place.metadata)) {
    const [, version, role] = /^(\d{1,15})\.([a-z][a-z0-9-]*)\.json$/.exec(name) ?? []
    const current = newest.get(role ?? '')?.body.version
    if (current === undefined) continue
    // Newer than the newest: a publish was killed before its timestamp, and nobody was told of this.
    if (Number(version) > current || Number(version) <= current - keptVersions)
      await removeTree(join(place.metadata, name))
  }
}
