/**
 * A new release: packed, hashed, signed, and then made visible in one step.
 *
 *   pack to work/ ─ torrent ─ sign ─ artifact, torrent, manifest, snapshot into the repository ─ timestamp.json ─ sweep
 *                                    names that no reader knows yet                              ▲ from here on they do
 *
 * Kill it anywhere: readers see the old state or the new one, and the next publish cleans up.
 */
import { join, resolve } from 'node:path'
import { type Release, torrentUrlPath } from '../core/release.ts'
import type { Lifetimes } from '../signing/lifetimes.ts'
import type { PrivateKey } from '../signing/private-key.ts'
import { addChannel, signReleases } from '../signing/publish-operations.ts'
import type { Repository } from '../signing/repository.ts'
import { roleOf, type Signing } from '../signing/revise-repository.ts'
import { removeTree, writeFileDurably } from '../store/durable.ts'
import { releasesIn, requireChannelName } from './channel-releases.ts'
import { type AskPassphrase, ensureKey, loadKeyring } from './key-files.ts'
import { nextRelease, packIntoWork, type ReleaseOptions, requireChannel, storeArtifact } from './new-release.ts'
import { OperatorDirectory, publicFileMode } from './operator-directory.ts'
import type { PackedRelease } from './pack.ts'
import { sweep } from './sweep.ts'

export interface PublishOptions extends ReleaseOptions {
  /** Make the channel when there is none. Default: refuse, since a name with a typing error would else become a channel. */
  readonly createChannel?: boolean
  /** Publish also when the content is that of the newest release. */
  readonly force?: boolean
  readonly lifetimes?: Lifetimes
  /** For keys of the channel that are under a passphrase. Default: such keys are not at hand. */
  readonly ask?: AskPassphrase
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
 * @throws PublishError `repository_missing` | `_damaged` | `_refused`, `channel_missing`, `key_unusable` | `key_locked`, `source_unreadable`;
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
    if (!options.createChannel) requireChannel(repository, channel)
    const keyring = await loadKeyring(place.keys, votesFor(repository, channel), options.ask)
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

/** A new channel needs the list of channels signed, too. */
function votesFor(repository: Repository, channel: string): (keyid: string) => boolean {
  const roles = [channel, 'snapshot', 'timestamp', ...(repository.channels.has(channel) ? [] : ['targets'])]
  return keyid => roles.some(role => roleOf(repository, role)?.keys.has(keyid))
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
  const { release, releases, torrent } = nextRelease(repository, channel, packed, options)
  const metadata = signReleases(repository, channel, releases, signingOf(work))
  options.signal?.throwIfAborted()
  await storeArtifact(place, release, pack)
  if (torrent) await writeFileDurably(join(place.served, torrentUrlPath(release.full)), torrent, publicFileMode)
  await place.writeMetadata(metadata)
  return release
}

function signingOf({ keyring, options: { now, lifetimes } }: Work): Signing {
  return { keyring, now, ...(lifetimes && { lifetimes }) }
}
