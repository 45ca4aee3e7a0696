/**
 * A new release: packed, hashed, signed, and then made visible in one step.
 *
 *   pack to work/ ─ torrent ─ sign ─ artifact, torrent, manifest, snapshot into the repository ─ timestamp.json ─ sweep
 *                                    names that no reader knows yet                              ▲ from here on they do
 *
 * Kill it anywhere: readers see the old state or the new one, and the next publish cleans up.
 */
import { chmod, realpath } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Artifact } from '../core/artifact.ts'
import { PublishError } from '../core/errors.ts'
import { artifactUrlPath, type Release, torrentUrlPath } from '../core/release.ts'
import type { Lifetimes } from '../signing/lifetimes.ts'
import type { PrivateKey } from '../signing/private-key.ts'
import { addChannel, signReleases } from '../signing/publish-operations.ts'
import type { Repository } from '../signing/repository.ts'
import type { Signing } from '../signing/revise-repository.ts'
import { formatTime } from '../signing/sign-metadata.ts'
import { onDisk } from '../store/disk-error.ts'
import { makeDirectory, removeTree, renameDurably, writeFileDurably } from '../store/durable.ts'
import { artifactName, makeMetainfo } from '../swarm/metainfo.ts'
import { releasesIn, requireChannelName } from './channel-releases.ts'
import { ensureKey, loadKeyring } from './key-files.ts'
import { OperatorDirectory, publicFileMode } from './operator-directory.ts'
import { type PackedRelease, type PackProgress, packSource } from './pack.ts'
import { sweep } from './sweep.ts'

const keptReleases = 3

export interface PublishOptions {
  /** ms since 1970. */
  readonly now: number
  /** What people call the release; 200 characters at most. */
  readonly label?: string
  /** Releases that stay in the manifest, the new one included. Default 3, at least 1. */
  readonly keepReleases?: number
  /** Make the channel when there is none. Default: refuse, since a name with a typing error would else become a channel. */
  readonly createChannel?: boolean
  /** Publish also when the content is that of the newest release. */
  readonly force?: boolean
  readonly lifetimes?: Lifetimes
  readonly onProgress?: (progress: PackProgress) => void
  readonly signal?: AbortSignal
}

export interface PublishResult {
  /** `unchanged`: the newest release has this content already, nothing was published. */
  readonly outcome: 'published' | 'unchanged'
  /** The newest release of the channel now. */
  readonly release: Release
}

/**
 * Publish a file or a directory.
 *
 * @param directory Of `initRepository`.
 * @returns Once the release is on the disk, signed, and visible.
 * @throws PublishError `repository_missing` | `_damaged` | `_refused`, `channel_missing`, `key_unusable`, `source_unreadable`;
 *   ContentError `pack_path` | `pack_limit`; StoreError `state_busy` | `disk_full` | `disk_failed`; ConfigError `config_invalid`.
 *   Readers still have the old state. An aborted `signal` rejects with its reason.
 */
export async function publish(
  directory: string,
  channel: string,
  source: string,
  options: PublishOptions,
): Promise<PublishResult> {
  requireChannelName(channel)
  const place = new OperatorDirectory(resolve(directory))
  const lock = await place.lock()
  try {
    const repository = await place.readRepository()
    await sweep(place, repository)
    requireChannel(repository, channel, options)
    const keyring = await loadKeyring(place.keys)
    const { packed, pack } = await packIntoWork(place, source, options)
    const newest = releasesIn(repository, channel).at(-1)
    if (newest?.content === packed.content && !options.force) return { outcome: 'unchanged', release: newest }
    const work = await withChannel({ place, repository, channel, keyring, options })
    const release = await bringOut(work, packed, pack)
    // What cannot be removed now is removed, or complained about, by the next publish: this one is done.
    await sweep(place, await place.readRepository()).catch(() => {})
    return { outcome: 'published', release }
  } finally {
    await removeTree(place.work).catch(() => {}) // the next one does it
    await lock.stop()
  }
}

interface Work {
  readonly place: OperatorDirectory
  readonly repository: Repository
  readonly channel: string
  readonly keyring: readonly PrivateKey[]
  readonly options: PublishOptions
}

function requireChannel({ channels }: Repository, channel: string, { createChannel }: PublishOptions): void {
  if (channels.has(channel) || createChannel) return
  const known = [...channels.keys()].join(', ') || 'none yet'
  throw new PublishError('channel_missing', `there is no channel ${channel}; the repository has: ${known}`, { channel })
}

async function packIntoWork(place: OperatorDirectory, source: string, options: PublishOptions) {
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

/** The work with its channel in the repository. A new one is visible, and empty, before its first release is. */
async function withChannel(work: Work): Promise<Work> {
  const { place, repository, channel, keyring } = work
  if (repository.channels.has(channel)) return work
  const key = await ensureKey(place.keys, channel)
  const known = { ...work, keyring: [...keyring, key] }
  await place.writeMetadata(addChannel(repository, channel, { keys: [key.public], threshold: 1 }, signingOf(known)))
  return { ...known, repository: await place.readRepository() }
}

async function bringOut(work: Work, packed: PackedRelease, pack: string): Promise<Release> {
  const { place, repository, channel, options } = work
  const before = releasesIn(repository, channel)
  const sequence = (before.at(-1)?.sequence ?? 0) + 1
  const { full, torrent } = describeArtifact(repository, artifactName(channel, sequence), packed)
  const { content, files, unpacked } = packed
  const label = options.label === undefined ? {} : { label: options.label }
  const release: Release = {
    channel,
    sequence,
    published: formatTime(options.now),
    ...label,
    content,
    files,
    unpacked,
    full,
  }
  const kept = [...before, release].slice(-Math.max(1, options.keepReleases ?? keptReleases))
  const metadata = signReleases(repository, channel, kept, signingOf(work))
  options.signal?.throwIfAborted()
  await storeArtifact(place, release, pack)
  if (torrent) await writeFileDurably(join(place.served, torrentUrlPath(full)), torrent, publicFileMode)
  await place.writeMetadata(metadata)
  return release
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

async function storeArtifact(place: OperatorDirectory, release: Release, pack: string): Promise<void> {
  const path = join(place.served, artifactUrlPath(release))
  await makeDirectory(dirname(path), 0o755)
  await onDisk(dirname(path), () => chmod(dirname(path), 0o755))
  await onDisk(pack, () => chmod(pack, publicFileMode))
  await renameDurably(pack, path)
}

function signingOf({ keyring, options: { now, lifetimes } }: Work): Signing {
  return { keyring, now, ...(lifetimes && { lifetimes }) }
}
