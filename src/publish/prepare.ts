/**
 * A publish in two places:
 *
 *   here        publish --prepare     pack, and write what is to be signed          prepared/<sha256>.pack, .torrent and the request
 *   elsewhere   sign                  with keys that this machine never sees
 *   here        publish --finish      check the threshold, sign snapshot and timestamp, make it visible in one step
 *
 * `finishRequest` serves every signed request: also one that changes keys.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { join, resolve } from 'node:path'
import { ContentError, PublishError } from '../core/errors.ts'
import { artifactUrlPath, type Release, torrentUrlPath } from '../core/release.ts'
import { MiB } from '../core/units.ts'
import { completeRequest } from '../signing/complete-request.ts'
import { requestReleases } from '../signing/edit-request.ts'
import type { Lifetimes } from '../signing/lifetimes.ts'
import type { Repository } from '../signing/repository.ts'
import { mergeRequests, type SigningRequest } from '../signing/signing-request.ts'
import { isSystemError, onDisk } from '../store/disk-error.ts'
import { makeDirectory, removeTree, renameDurably, writeFileDurably } from '../store/durable.ts'
import { readSmallFile } from '../store/small-file.ts'
import { readMetainfo } from '../swarm/metainfo.ts'
import { releasesIn, releasesOf, requireChannelName } from './channel-releases.ts'
import { loadKeyring } from './key-files.ts'
import { nextRelease, packIntoWork, type ReleaseOptions, requireChannel, storeArtifact } from './new-release.ts'
import { OperatorDirectory, publicFileMode } from './operator-directory.ts'
import { loadRequest, requireNoRequest, saveRequest } from './request-files.ts'
import { sweep } from './sweep.ts'

const torrentLimitBytes = 16 * MiB

export interface PrepareOptions extends ReleaseOptions {
  readonly lifetimes?: Lifetimes
}

/**
 * Pack the next release of a channel, and write the request for its signatures.
 *
 * @throws As `publish`, but for keys; PublishError `request_unusable` when there is a file under that name.
 */
export async function preparePublish(
  directory: string,
  channel: string,
  source: string,
  requestFile: string,
  options: PrepareOptions,
): Promise<Release> {
  requireChannelName(channel)
  await requireNoRequest(requestFile)
  const place = new OperatorDirectory(resolve(directory))
  const lock = await place.lock()
  try {
    const repository = await place.readRepository()
    requireChannel(repository, channel)
    const { packed, pack } = await packIntoWork(place, source, options)
    const { release, releases, torrent } = nextRelease(repository, channel, packed, options)
    const request = requestReleases(repository, channel, releases, { now: options.now, lifetimes: options.lifetimes })
    options.signal?.throwIfAborted()
    await makeDirectory(place.prepared)
    if (torrent) await writeFileDurably(preparedFile(place, release, 'torrent'), torrent, publicFileMode)
    await renameDurably(pack, preparedFile(place, release, 'pack'))
    await saveRequest(requestFile, request)
    return release
  } finally {
    await removeTree(place.work).catch(() => {}) // the next one does it
    await lock.stop()
  }
}

export interface FinishOptions {
  /** ms since 1970. */
  readonly now: number
  readonly lifetimes?: Lifetimes
  /** Where the keys of snapshot and timestamp are. Default: the directory's own. */
  readonly keys?: string
}

/**
 * Publish what a request asks for, with the signatures of all its copies.
 *
 * @returns The roles that are new now, and the releases.
 * @throws PublishError `signatures_missing` | `request_unusable` | `repository_refused` | `_missing` | `_damaged`, `key_unusable`,
 *   `source_unreadable` when a pack is not where it was prepared; StoreError. Readers still have the old state.
 */
export async function finishRequest(
  directory: string,
  requestFiles: readonly string[],
  { now, lifetimes, keys }: FinishOptions,
): Promise<{ readonly roles: readonly string[]; readonly releases: readonly Release[] }> {
  const request = mergeRequests(await Promise.all(requestFiles.map(loadRequest)))
  const place = new OperatorDirectory(resolve(directory))
  const lock = await place.lock()
  try {
    const repository = await readBefore(place, request)
    const keyring = await loadKeyring(keys ?? place.keys)
    const files = completeRequest(repository, request, { keyring, now, ...(lifetimes && { lifetimes }) })
    const releases = newReleases(repository, request)
    for (const release of releases) await bringPrepared(place, release)
    await place.writeMetadata(files)
    await sweep(place, await place.readRepository()).catch(() => {}) // the next publish does it
    for (const release of releases)
      for (const kind of ['pack', 'torrent'] as const)
        await removeTree(preparedFile(place, release, kind)).catch(() => {})
    const { root, targets, channels } = request.next
    return { roles: [...(root ? ['root'] : []), ...(targets ? ['targets'] : []), ...channels.keys()], releases }
  } finally {
    await lock.stop()
  }
}

/** A publish that was killed between the new root and the timestamp has left a root that nothing else fits as yet: this one goes on from before it. */
async function readBefore(place: OperatorDirectory, { next }: SigningRequest): Promise<Repository> {
  const name = next.root && `${next.root.body.version}.root.json`
  return place.readRepository(name === undefined ? [] : [name])
}

function newReleases(repository: Repository, { next }: SigningRequest): Release[] {
  return [...next.channels].flatMap(([channel, manifest]) => {
    const known = new Set(releasesIn(repository, channel).map(({ full }) => full.sha256))
    return releasesOf(channel, manifest).filter(({ full }) => !known.has(full.sha256))
  })
}

/**
 * Put the pack and the torrent of a release where readers will look for them, if they are still those that were signed: between the two halves
 * of a publish lie days, perhaps, and other hands.
 *
 * @throws PublishError `source_unreadable`.
 */
async function bringPrepared(place: OperatorDirectory, release: Release): Promise<void> {
  const { full } = release
  const prepared = preparedFile(place, release, 'pack')
  const stored = join(place.served, artifactUrlPath(release))
  // Moved already, by a run that was killed after it.
  const isThere = (await sha256Of(prepared)) === full.sha256
  if (!isThere && (await sha256Of(stored)) !== full.sha256)
    throw notPrepared(release, `its pack is not in ${place.prepared}, or was altered`)
  const torrentFile = join(place.served, torrentUrlPath(full))
  const torrent =
    (await readSmallFile(preparedFile(place, release, 'torrent'), torrentLimitBytes)) ??
    (await readSmallFile(torrentFile, torrentLimitBytes))
  if (!torrent || torrent === 'too large' || !fits(torrent, release))
    throw notPrepared(release, `its torrent is not in ${place.prepared}, or was altered`)
  if (isThere) await storeArtifact(place, release, prepared)
  await writeFileDurably(torrentFile, torrent, publicFileMode)
}

function fits(torrent: Uint8Array, { full }: Release): boolean {
  try {
    readMetainfo(torrent, full)
    return true
  } catch (error) {
    if (error instanceof ContentError) return false
    throw error
  }
}

/** @returns undefined when there is no such file. */
async function sha256Of(path: string): Promise<string | undefined> {
  return onDisk(path, async () => {
    try {
      const hash = createHash('sha256')
      for await (const chunk of createReadStream(path)) hash.update(chunk)
      return hash.digest('hex')
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return undefined
      throw error
    }
  })
}

function notPrepared({ channel, sequence }: Release, detail: string): PublishError {
  return new PublishError(
    'source_unreadable',
    `release ${sequence} of ${channel} cannot be finished: ${detail}; finish where it was prepared, or prepare it again`,
  )
}

function preparedFile(place: OperatorDirectory, { full }: Release, kind: 'pack' | 'torrent'): string {
  return join(place.prepared, `${full.sha256}.${kind}`)
}
