/** A node of the trust rules alone that reads a repository from the disk, as a plain file server would hand it out. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sha256 } from '../../src/core/digest.ts'
import { artifactUrlPath, type Release, torrentUrlPath } from '../../src/core/release.ts'
import type { TrustState } from '../../src/core/trust-state.ts'
import { refreshTrust, releasesOf } from '../../src/signing/manifest.ts'
import { pinRoot } from '../../src/signing/root-chain.ts'
import { readMetainfo } from '../../src/swarm/metainfo.ts'
import { drive } from './trust-driver.ts'

export class DiskReader {
  #state: TrustState
  readonly #served: string

  /** @param directory The operator's, as `initRepository` made it. */
  constructor(directory: string) {
    this.#served = join(directory, 'repository')
    this.#state = pinRoot(readFileSync(join(directory, 'root.json')))
  }

  /** A refresh. @returns The releases, oldest first. @throws TrustError. */
  releases(now: number, channel = 'clamav'): readonly Release[] {
    const serve = (path: string) => this.#read(join('metadata', path))
    const { state, manifests } = drive(refreshTrust(this.#state, { now, channels: [channel] }), serve)
    this.#state = state
    return releasesOf(manifests[0]!)
  }

  /** What a node does with each release: fetch torrent and artifact, and check them. @returns The sequences. @throws when one is not right. */
  wholeReleases(now: number, channel = 'clamav'): number[] {
    return this.releases(now, channel).map(release => {
      const pack = this.#read(artifactUrlPath(release))
      if (!pack || sha256(pack) !== release.full.sha256)
        throw new Error(`the artifact of ${release.sequence} is not right`)
      const torrent = this.#read(torrentUrlPath(release.full))
      if (!torrent) throw new Error(`the torrent of ${release.sequence} is missing`)
      readMetainfo(torrent, release.full)
      return release.sequence
    })
  }

  #read(path: string): Uint8Array | undefined {
    const location = join(this.#served, path)
    return existsSync(location) ? readFileSync(location) : undefined
  }
}
