/**
 * The operator's directory:
 *
 *   <dir>/
 *     keys/                  mode 0700; private keys, mode 0600. Never on a machine that is a node
 *       root.json  targets.json  clamav.json      sooner or later elsewhere, and under a passphrase: docs/keys.md
 *       online/                what the origin needs to sign again what would expire
 *         snapshot.json  timestamp.json
 *     repository/            what the origin serves, readable by all; nothing in it is secret
 *       metadata/            TUF metadata; timestamp.json is the only file that is ever replaced
 *       targets/clamav/      <sha256>.<sequence>.full.pack
 *       torrents/            <sha256>.torrent
 *     root.json              for the nodes to pin
 *     origin.toml            for `sigmeshd origin`
 *     work/                  packing; emptied by every publish
 *     prepared/              packs that wait for signatures from elsewhere
 *     lock                   one publisher at a time
 */
import { lstat, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { PublishError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import { MiB } from '../core/units.ts'
import type { MetadataFile, Repository } from '../signing/repository.ts'
import { readRepository } from '../signing/repository.ts'
import { lockDirectory } from '../store/directory-lock.ts'
import { isSystemError, onDisk } from '../store/disk-error.ts'
import { removeLeftovers, removeTree, writeFileDurably } from '../store/durable.ts'
import { readSmallFile } from '../store/small-file.ts'

/** As signing/rules.ts limits what nodes read; here it only keeps a stray file from filling memory. */
const metadataLimitBytes = 64 * MiB

/** Set exactly, whatever the umask: the origin runs as another user. */
export const publicFileMode = 0o644

export class OperatorDirectory {
  readonly path: string
  readonly keys: string
  readonly metadata: string
  readonly targets: string
  readonly torrents: string
  readonly work: string
  readonly prepared: string
  /** What the paths of artifacts and torrents begin below. */
  readonly served: string

  constructor(path: string) {
    this.path = path
    this.keys = join(path, 'keys')
    this.served = join(path, 'repository')
    this.metadata = join(this.served, 'metadata')
    this.targets = join(this.served, 'targets')
    this.torrents = join(this.served, 'torrents')
    this.work = join(path, 'work')
    this.prepared = join(path, 'prepared')
  }

  /**
   * Take the directory for this process, and clean up after one that was killed in a publish.
   *
   * @throws PublishError `repository_missing`; StoreError `state_busy` while another one publishes, `disk_failed`.
   */
  async lock(): Promise<Stoppable> {
    if (!(await isDirectory(this.metadata)))
      throw new PublishError('repository_missing', `${this.path} holds no repository of \`sigmesh init\``)
    const lock = await lockDirectory(this.path)
    try {
      for (const directory of [
        this.path,
        this.keys,
        join(this.keys, 'online'),
        this.metadata,
        this.torrents,
        this.prepared,
        ...(await this.channelDirectories()),
      ])
        if (await isDirectory(directory)) await removeLeftovers(directory)
      await removeTree(this.work)
    } catch (error) {
      await lock.stop()
      throw error
    }
    return lock
  }

  /**
   * @param without Files to overlook.
   * @throws PublishError `repository_missing` | `repository_damaged`; StoreError.
   */
  async readRepository(without: readonly string[] = []): Promise<Repository> {
    const files = new Map<string, Uint8Array>()
    for (const name of await namesIn(this.metadata)) {
      if (without.includes(name)) continue
      const bytes = await this.readMetadata(name)
      if (bytes) files.set(name, bytes)
    }
    return readRepository(files)
  }

  /** @returns undefined when there is no such file, or it cannot be metadata. */
  async readMetadata(name: string): Promise<Uint8Array | undefined> {
    const bytes = await readSmallFile(join(this.metadata, name), metadataLimitBytes)
    return bytes === 'too large' ? undefined : bytes
  }

  /**
   * Let readers see new metadata: a reader that gets the last file can get all that it leads to.
   *
   * @param files In the order of `signing`: the timestamp last. When it fails, readers have the old state, or, should the very last
   *   step have failed, perhaps the new one.
   */
  async writeMetadata(files: readonly MetadataFile[]): Promise<void> {
    for (const { name, bytes } of files) await writeFileDurably(join(this.metadata, name), bytes, publicFileMode)
  }

  async channelDirectories(): Promise<string[]> {
    return (await namesIn(this.targets)).map(name => join(this.targets, name))
  }

  /** @returns The fresh, empty work directory. */
  async makeWork(): Promise<string> {
    await onDisk(this.work, () => mkdir(this.work, { mode: 0o700 }))
    return this.work
  }
}

/** @returns Nothing for a directory that is not there. @throws StoreError. */
export async function namesIn(directory: string): Promise<string[]> {
  return onDisk(directory, async () => {
    try {
      return (await readdir(directory)).sort()
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return []
      throw error
    }
  })
}

async function isDirectory(path: string): Promise<boolean> {
  return onDisk(path, async () => {
    try {
      return (await lstat(path)).isDirectory()
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return false
      throw error
    }
  })
}
