/**
 * A repository in memory, with all its keys: an operator to publish with, and an attacker to forge with. Times are arguments; keys follow
 * from their names, so that a failure can be repeated.
 */
import { hash } from 'node:crypto'
import { sha256 } from '../../src/core/digest.ts'
import type { Release } from '../../src/core/release.ts'
import { createRepository, type RoleSetup } from '../../src/signing/create-repository.ts'
import type { JsonObject } from '../../src/signing/json.ts'
import { parseJson } from '../../src/signing/json.ts'
import { PrivateKey } from '../../src/signing/private-key.ts'
import { addChannel, renew, signReleases } from '../../src/signing/publish-operations.ts'
import { type MetadataFile, type Repository, readRepository } from '../../src/signing/repository.ts'
import type { Signing } from '../../src/signing/revise-repository.ts'
import { signMetadata } from '../../src/signing/sign-metadata.ts'

/** The key called `name`: always the same one. */
export function keyNamed(name: string): PrivateKey {
  const known = namedKeys.get(name) ?? new PrivateKey(hash('sha256', `key of a test: ${name}`, 'buffer'))
  namedKeys.set(name, known)
  return known
}

const namedKeys = new Map<string, PrivateKey>()

export function roleOfKeys(keys: readonly PrivateKey[], threshold = 1): RoleSetup {
  return { keys: keys.map(key => key.public), threshold }
}

export const noon = Date.parse('2026-11-22T12:00:00Z')

export function makeRelease(channel: string, sequence: number, overrides: Partial<Release> = {}): Release {
  const digest = (what: string) => sha256(Buffer.from(`${what} of ${channel} ${sequence}`))
  return {
    channel,
    sequence,
    published: '2026-11-22T12:00:00Z',
    content: digest('content'),
    files: 1,
    unpacked: 1000,
    full: {
      sha256: digest('artifact'),
      length: 500,
      pieceLength: 256 * 1024,
      piecesRoot: digest('pieces'),
      infohash: digest('torrent').slice(0, 40) as Release['full']['infohash'],
    },
    ...overrides,
  }
}

const newRepositories = new Map<number, readonly MetadataFile[]>()

export class TrustRepository {
  readonly keys = {
    root: keyNamed('root'),
    targets: keyNamed('targets'),
    snapshot: keyNamed('snapshot'),
    timestamp: keyNamed('timestamp'),
    clamav: keyNamed('clamav'),
  }
  /** What is served: file name -> bytes. An attacker may write to it. */
  readonly files = new Map<string, Uint8Array>()

  constructor(now = noon) {
    // The same keys and the same time make the same bytes: made once, for hundreds of tests.
    const files = newRepositories.get(now) ?? this.create(now)
    newRepositories.set(now, files)
    this.write(files)
  }

  private create(now: number): MetadataFile[] {
    const { clamav, ...top } = this.keys
    const roles = Object.fromEntries(Object.entries(top).map(([name, key]) => [name, roleOfKeys([key])])) as {
      [Name in keyof typeof top]: RoleSetup
    }
    return createRepository({ roles, channels: new Map([['clamav', roleOfKeys([clamav])]]) }, this.signing(now))
  }

  get pinned(): Uint8Array {
    return this.files.get('1.root.json')!
  }

  readonly serve = (path: string): Uint8Array | undefined => this.files.get(path)

  signing(now: number, extra: readonly PrivateKey[] = []): Signing {
    return { keyring: [...Object.values(this.keys), ...extra], now }
  }

  read(): Repository {
    return readRepository(this.files)
  }

  publish(sequences: readonly number[], now = noon): void {
    const releases = sequences.map(sequence => makeRelease('clamav', sequence))
    this.write(signReleases(this.read(), 'clamav', releases, this.signing(now)))
  }

  addChannel(name: string, now = noon): void {
    const key = keyNamed(name)
    this.write(addChannel(this.read(), name, roleOfKeys([key]), this.signing(now, [key])))
  }

  renew(roles: readonly string[], now: number): void {
    this.write(renew(this.read(), roles, this.signing(now)))
  }

  /** What the folder is now, for a replay later. */
  snapshot(): ReadonlyMap<string, Uint8Array> {
    return new Map(this.files)
  }

  replay(files: ReadonlyMap<string, Uint8Array>): void {
    this.files.clear()
    for (const [name, bytes] of files) this.files.set(name, bytes)
  }

  /** The `signed` part of a file as it is served. */
  signed(name: string): JsonObject {
    return (parseJson(this.files.get(name)!) as { signed: JsonObject }).signed
  }

  /** Replace a file by one with changed fields, signed by `keys` without asking anyone whether that makes sense. */
  forge(name: string, change: (signed: JsonObject) => JsonObject, keys: readonly PrivateKey[], as = name): void {
    this.files.set(as, signMetadata(change(this.signed(name)), keys))
  }

  /**
   * Forge a file, and sign everything above it to match: what a thief of the keys can do. `role` is `clamav`, `targets` or `snapshot`.
   */
  forgeBelowTimestamp(role: string, change: (signed: JsonObject) => JsonObject, keys: readonly PrivateKey[]): void {
    const snapshotVersion = this.listedSnapshot()
    if (role === 'snapshot') {
      this.forge(`${snapshotVersion}.snapshot.json`, change, keys)
    } else {
      const { version } = this.signed(`${snapshotVersion}.snapshot.json`).meta![`${role}.json` as never] as JsonObject
      this.forge(`${version}.${role}.json`, change, keys)
      const bytes = this.files.get(`${version}.${role}.json`)!
      const listed = (signed: JsonObject) => ({
        ...signed,
        meta: { ...(signed.meta as JsonObject), [`${role}.json`]: describeFile(version as number, bytes) },
      })
      this.forge(`${snapshotVersion}.snapshot.json`, listed, [this.keys.snapshot])
    }
    const bytes = this.files.get(`${snapshotVersion}.snapshot.json`)!
    const meta = { 'snapshot.json': describeFile(snapshotVersion, bytes) }
    this.forge('timestamp.json', signed => ({ ...signed, meta }), [this.keys.timestamp])
  }

  /** A new root that takes the timestamp key away, and then, under new versions, a snapshot and a timestamp signed by `next`. */
  rotateTimestampKey(next: PrivateKey): void {
    const version = [...this.files.keys()].filter(name => name.endsWith('.root.json')).length
    const role = { keyids: [next.public.id], threshold: 1 }
    const rotated = (signed: JsonObject) => ({
      ...signed,
      version: version + 1,
      keys: { ...(signed.keys as JsonObject), [next.public.id]: next.public.json },
      roles: { ...(signed.roles as JsonObject), timestamp: role },
    })
    this.forge(`${version}.root.json`, rotated, [this.keys.root], `${version + 1}.root.json`)
    this.keys.timestamp = next

    const old = this.listedSnapshot()
    const grown = (signed: JsonObject) => ({ ...signed, version: (signed.version as number) + 1 })
    this.forge(`${old}.snapshot.json`, grown, [this.keys.snapshot], `${old + 1}.snapshot.json`)
    const listed = { 'snapshot.json': describeFile(old + 1, this.files.get(`${old + 1}.snapshot.json`)!) }
    this.forge('timestamp.json', signed => ({ ...grown(signed), meta: listed }), [next])
  }

  private listedSnapshot(): number {
    const { meta } = this.signed('timestamp.json') as { meta: Record<string, { version: number }> }
    return meta['snapshot.json']!.version
  }

  write(files: readonly MetadataFile[]): void {
    for (const { name, bytes } of files) this.files.set(name, bytes)
  }
}

function describeFile(version: number, bytes: Uint8Array): JsonObject {
  return { version, length: bytes.length, hashes: { sha256: sha256(bytes) } }
}
