/** What a publish and the preparation of one share: packing, the release as the manifest will name it, and its files on the disk. */
import { chmod, realpath } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Artifact } from '../core/artifact.ts'
import { PublishError } from '../core/errors.ts'
import { artifactUrlPath, type Release } from '../core/release.ts'
import type { Repository } from '../signing/repository.ts'
import { formatTime } from '../signing/sign-metadata.ts'
import { onDisk } from '../store/disk-error.ts'
import { makeDirectory, renameDurably } from '../store/durable.ts'
import { artifactName, makeMetainfo } from '../swarm/metainfo.ts'
import { releasesIn } from './channel-releases.ts'
import { type OperatorDirectory, publicFileMode } from './operator-directory.ts'
import { type PackedRelease, type PackOptions, packSource } from './pack.ts'

const keptReleases = 3

export interface ReleaseOptions extends PackOptions {
  /** ms since 1970. */
  readonly now: number
  /** What people call the release; 200 characters at most. */
  readonly label?: string
  /** Ask for no limits on the way to every machine. */
  readonly priority?: Release['priority'] | undefined
  /** Releases that stay in the manifest, the new one included. Default 3, at least 1. */
  readonly keepReleases?: number
}

/** @throws PublishError `channel_missing`. */
export function requireChannel({ channels }: Repository, channel: string): void {
  if (channels.has(channel)) return
  const known = [...channels.keys()].join(', ') || 'none yet'
  throw new PublishError('channel_missing', `there is no channel ${channel}; the repository has: ${known}`, { channel })
}

/** @returns What was packed, and where. @throws PublishError `source_unreadable`; ContentError; StoreError. */
export async function packIntoWork(place: OperatorDirectory, source: string, options: PackOptions) {
  await requireNoSecrets(place, source)
  const pack = join(await place.makeWork(), 'release.pack')
  const packed = await onDisk(pack, () => packSource(source, pack, options))
  return { packed, pack }
}

/** `sigmesh publish clamav ~` must not hand the keys to the world. @throws PublishError `source_unreadable`. */
async function requireNoSecrets(place: OperatorDirectory, source: string): Promise<void> {
  const [real, home, keys] = await Promise.all(
    [source, place.path, place.keys].map(path => realpath(path).catch(() => resolve(path))),
  )
  const holds = (directory: string, path: string) => path === directory || path.startsWith(join(directory, '/'))
  if (holds(real!, home!) || holds(keys!, real!))
    throw new PublishError(
      'source_unreadable',
      `${source} holds the private keys in ${place.keys}; it is not published`,
    )
}

/** The next release of the channel, the whole list with it, and its torrent unless an older release has the same bytes. */
export function nextRelease(
  repository: Repository,
  channel: string,
  packed: PackedRelease,
  { now, label, priority, keepReleases = keptReleases }: ReleaseOptions,
): { readonly release: Release; readonly releases: readonly Release[]; readonly torrent?: Uint8Array } {
  const before = releasesIn(repository, channel)
  const sequence = (before.at(-1)?.sequence ?? 0) + 1
  const { full, torrent } = describeArtifact(repository, artifactName(channel, sequence), packed)
  const { content, files, unpacked } = packed
  const labelled = { ...(label === undefined ? {} : { label }), ...(priority === undefined ? {} : { priority }) }
  const release: Release = {
    channel,
    sequence,
    published: formatTime(now),
    ...labelled,
    content,
    files,
    unpacked,
    full,
  }
  const releases = [...before, release].slice(-Math.max(1, keepReleases))
  return { release, releases, ...(torrent && { torrent }) }
}

/**
 * The artifact as the manifest will name it, and its torrent. Bytes that a listed release has already (an older content that is published
 * again, the same in two channels) keep their torrent: the name of the first release is in it, and so in the infohash.
 */
function describeArtifact(
  repository: Repository,
  name: string,
  { artifact }: PackedRelease,
): { full: Artifact; torrent?: Uint8Array } {
  const listed = [...repository.channels.keys()].flatMap(channel => releasesIn(repository, channel))
  const same = listed.find(({ full }) => full.sha256 === artifact.sha256)
  if (same) return { full: same.full }
  const { bytes, infohash } = makeMetainfo({ name, ...artifact })
  const { sha256, length, pieceLength, piecesRoot } = artifact
  return { full: { sha256, length, pieceLength, piecesRoot, infohash }, torrent: bytes }
}

/** Give the pack the name that the release has for readers. They do not know it yet. */
export async function storeArtifact(place: OperatorDirectory, release: Release, pack: string): Promise<void> {
  const path = join(place.served, artifactUrlPath(release))
  await makeDirectory(dirname(path), 0o755)
  await onDisk(dirname(path), () => chmod(dirname(path), 0o755))
  await onDisk(pack, () => chmod(pack, publicFileMode))
  await renameDurably(pack, path)
}
