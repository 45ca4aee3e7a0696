/**
 * What there is to serve, learned from the newest manifests on disk. A request never becomes a path: it is looked up here, and the
 * paths are made of what the manifests say, in their strict grammar.
 *
 * The origin trusts its own disk and checks no signature: nodes do. It reads again when timestamp.json is another file, the one file
 * that a publish replaces, and replaces last.
 *
 * What is wrong costs no more than itself: a release that is none is not offered, a channel whose manifest cannot be read keeps what it
 * offered before, and when not even the list of channels can be read, all of them do.
 */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../core/clock.ts'
import type { Infohash, Sha256 } from '../core/digest.ts'
import { asSha256 } from '../core/digest.ts'
import { describeError, TrustError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { artifactUrlPath, parseRelease, type Release, torrentUrlPath } from '../core/release.ts'
import { channelName } from '../core/schema.ts'
import { readMetadata } from '../signing/metadata.ts'
import { limitBytes } from '../signing/rules.ts'
import { readSmallFile } from '../store/small-file.ts'
import type { Versions } from '../swarm/events/protocol.ts'

export interface Offer {
  readonly release: Release
  /** Of the artifact, on disk. */
  readonly file: string
  readonly torrentFile: string
}

interface Offers {
  /** By the URL path of the artifact and by that of its torrent. */
  readonly byPath: ReadonlyMap<string, Offer>
  readonly bySha256: ReadonlyMap<Sha256, Offer>
  readonly infohashes: ReadonlySet<Infohash>
  /** The versions in force; undefined before a repository was read. */
  readonly versions: Versions | undefined
}

type Complain = (error: unknown, message: string) => void

/** A burst of requests looks at the disk once in this time. What is not found is looked for again at once. */
const freshMs = 50
/** A repository that cannot be read is tried again: it may be mended without a new timestamp.json. */
const retryMs = 1000
const nothing: Offers = { byPath: new Map(), bySha256: new Map(), infohashes: new Set(), versions: undefined }

export class Catalogue {
  readonly #directory: string
  readonly #clock: Clock
  readonly #log: Log
  #offers = nothing
  #loaded = false
  /** Of the timestamp.json whose repository is in force; and of one whose repository could not be read, tried last at. */
  #stamp = ''
  #failed = { stamp: '', at: Number.NEGATIVE_INFINITY }
  #lookedAt = Number.NEGATIVE_INFINITY
  #looking: Promise<void> | undefined

  /** @param directory The repository: metadata/, targets/, torrents/. It may be empty as yet. */
  constructor(directory: string, clock: Clock, log: Log) {
    this.#directory = directory
    this.#clock = clock
    this.#log = log
  }

  byPath(urlPath: string): Promise<Offer | undefined> {
    return this.#find(() => this.#offers.byPath.get(urlPath))
  }

  bySha256(sha256: Sha256): Promise<Offer | undefined> {
    return this.#find(() => this.#offers.bySha256.get(sha256))
  }

  async knows(infohash: string): Promise<boolean> {
    return (await this.#find(() => this.#offers.infohashes.has(infohash as Infohash) || undefined)) ?? false
  }

  /** Whether a whole repository has been read, now or before. */
  async ready(): Promise<boolean> {
    return (await this.#find(() => this.#loaded || undefined)) ?? false
  }

  /** What is in force at this moment; undefined while there is no repository. */
  async versions(): Promise<Versions | undefined> {
    await this.#look(this.#clock.monotonic())
    return this.#offers.versions
  }

  async #find<T>(lookUp: () => T | undefined): Promise<T | undefined> {
    const now = this.#clock.monotonic()
    await this.#look(now - freshMs)
    const found = lookUp()
    if (found !== undefined) return found
    await this.#look(now)
    return lookUp()
  }

  /** See to it that the disk has been looked at since then: one look serves all who wait for it. */
  async #look(since: number): Promise<void> {
    while (this.#lookedAt < since) {
      this.#looking ??= this.#reload(this.#clock.monotonic())
      await this.#looking
    }
  }

  async #reload(begunAt: number): Promise<void> {
    const stamp = await stampOf(join(this.#directory, 'metadata', 'timestamp.json'))
    const triedJustNow = stamp === this.#failed.stamp && begunAt - this.#failed.at < retryMs
    if (stamp !== this.#stamp && !triedJustNow) await this.#load(stamp, begunAt)
    this.#lookedAt = begunAt
    this.#looking = undefined
  }

  async #load(stamp: string, now: number): Promise<void> {
    const first = stamp !== this.#failed.stamp
    const complain = (error: unknown, message: string) => {
      if (first) this.#log.error(describeError(error), message)
    }
    try {
      const { releases, versions, whole } = await this.#readReleases(complain)
      this.#offers = this.#index(releases, versions)
      this.#loaded = true
      if (whole || first)
        this.#log.info(
          { releases: releases.map(release => `${release.channel} ${release.sequence}`) },
          'repository read',
        )
      if (whole) this.#stamp = stamp
      else this.#failed = { stamp, at: now }
    } catch (error) {
      this.#failed = { stamp, at: now }
      complain(error, 'the repository cannot be read; what was read before stays in force')
    }
  }

  async #readReleases(complain: Complain): Promise<{ releases: Release[]; versions: Versions; whole: boolean }> {
    const timestamp = readMetadata(
      'timestamp',
      'timestamp.json',
      await this.#read('timestamp.json', limitBytes.timestamp),
    )
    const snapshotName = `${timestamp.body.snapshot.version}.snapshot.json`
    const snapshot = readMetadata('snapshot', snapshotName, await this.#read(snapshotName, limitBytes.snapshot))
    const releases: Release[] = []
    let whole = true
    for (const [channel, { version }] of snapshot.body.meta) {
      if (!channelName.safeParse(channel).success) continue
      try {
        releases.push(...(await this.#readChannel(channel, version, complain)))
      } catch (error) {
        complain(error, `the manifest of ${channel} cannot be read; what it offered before stays in force`)
        releases.push(...this.#offered(channel))
        whole = false
      }
    }
    return { releases, whole, versions: { timestamp: timestamp.body.version, snapshot: snapshot.body.version } }
  }

  async #readChannel(channel: string, version: number, complain: Complain): Promise<Release[]> {
    const name = `${version}.${channel}.json`
    const manifest = readMetadata('targets', name, await this.#read(name, limitBytes.targets))
    return [...manifest.body.targets].flatMap(([path, { length, hashes, custom }]) => {
      try {
        return parseRelease(channel, path, { length, sha256: asSha256(hashes.get('sha256')!), custom }) ?? []
      } catch (error) {
        if (!(error instanceof TrustError)) throw error
        complain(error, `a release of ${channel} is not offered`)
        return []
      }
    })
  }

  #offered(channel: string): Release[] {
    const releases = [...this.#offers.byPath.values()].map(({ release }) => release)
    return [...new Set(releases)].filter(release => release.channel === channel)
  }

  async #read(name: string, limit: number): Promise<Buffer> {
    const bytes = await readSmallFile(join(this.#directory, 'metadata', name), limit)
    if (bytes === undefined) throw new Error(`${name} is missing`)
    if (bytes === 'too large') throw new Error(`${name} is larger than ${limit} bytes`)
    return bytes
  }

  #index(releases: readonly Release[], versions: Versions): Offers {
    const offers = releases.map(release => ({
      release,
      file: join(this.#directory, artifactUrlPath(release)),
      torrentFile: join(this.#directory, torrentUrlPath(release.full)),
    }))
    return {
      versions,
      byPath: new Map(
        offers.flatMap(offer => [
          [artifactUrlPath(offer.release), offer],
          [torrentUrlPath(offer.release.full), offer],
        ]),
      ),
      bySha256: new Map(offers.map(offer => [offer.release.full.sha256, offer])),
      infohashes: new Set(offers.map(offer => offer.release.full.infohash)),
    }
  }
}

/** Changes with the file: a publish makes a new one and renames it into place. Empty when there is none. */
async function stampOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs } = await stat(path, { bigint: true })
    return `${ino} ${size} ${mtimeNs}`
  } catch {
    return ''
  }
}
