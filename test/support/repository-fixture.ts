/** A signed repository on disk, with artifacts made of a seed: what an origin serves, without a publisher's packing. */
import { join } from 'node:path'
import type { Release } from '../../src/core/release.ts'
import { artifactUrlPath, torrentUrlPath } from '../../src/core/release.ts'
import { signReleases } from '../../src/signing/publish-operations.ts'
import { writeFileDurably } from '../../src/store/durable.ts'
import { type ArtifactFixture, makeArtifact } from './artifact.ts'
import { writeTree } from './scratch.ts'
import { makeRelease, noon, TrustRepository } from './trust-repository.ts'

export interface PublishedArtifact extends ArtifactFixture {
  readonly release: Release
  readonly path: string
}

export class RepositoryOnDisk {
  readonly directory: string
  readonly trust = new TrustRepository()

  constructor(directory: string) {
    this.directory = directory
  }

  /** Make release `sequence` of the channel `clamav` the only one. @param length Bytes, in pieces of 16 KiB. */
  async publish(sequence: number, length: number): Promise<PublishedArtifact> {
    const fixture = makeArtifact({ length, pieceLength: 16 * 1024, seed: sequence })
    const release = makeRelease('clamav', sequence, { full: fixture.artifact })
    await writeTree(this.directory, {
      [artifactUrlPath(release)]: fixture.content,
      [torrentUrlPath(fixture.artifact)]: fixture.metainfo,
    })
    this.trust.write(signReleases(this.trust.read(), 'clamav', [release], this.trust.signing(noon)))
    await this.writeMetadata()
    return { ...fixture, release, path: artifactUrlPath(release) }
  }

  /** What the trust repository holds, timestamp.json last and by rename, as a publisher does it. */
  async writeMetadata(): Promise<void> {
    const { 'timestamp.json': timestamp, ...versioned } = Object.fromEntries(this.trust.files)
    await writeTree(join(this.directory, 'metadata'), versioned)
    await writeFileDurably(join(this.directory, 'metadata', 'timestamp.json'), timestamp!, 0o644)
  }
}
