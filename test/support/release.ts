/** Releases of a channel as a node gets them after everything was verified, with packs that are right, or wrong in one way. */
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { type Artifact, choosePieceLength } from '../../src/core/artifact.ts'
import { type Canary, canaryOf } from '../../src/core/canary.ts'
import { asInfohash, piecesRoot, sha256, sha256Bytes } from '../../src/core/digest.ts'
import { type ContentFile, comparePaths, packHeaderBytes, packMagic } from '../../src/core/pack-format.ts'
import type { Release } from '../../src/core/release.ts'
import { markVerified, type Verified } from '../../src/core/verified.ts'
import type { StoredArtifact } from '../../src/store/artifact-store.ts'
import type { Tree } from './scratch.ts'

/** One line of the index and its frame; every field may lie. */
export interface Entry {
  path: string
  mode: number
  length: number
  sha256: string
  frame: number
  readonly bytes: Uint8Array
}

export function entry(path: string, content: Uint8Array | string = path, change: Partial<Entry> = {}): Entry {
  const raw = Buffer.from(content)
  const bytes = change.bytes ?? zstdCompressSync(raw, { pledgedSrcSize: raw.length })
  return { path, mode: 0o644, length: raw.length, sha256: sha256(raw), frame: bytes.length, ...change, bytes }
}

/** A pack written by hand, so that it can break rules and shares no mistake with `publish/pack.ts`. Entries stay in their order. */
export function packOf(entries: readonly Entry[]): { pack: Buffer; index: Buffer; content: ReturnType<typeof sha256> } {
  const lines = (keys: readonly (keyof Entry)[]) => JSON.stringify({ files: entries }, ['files', ...keys])
  const index = Buffer.from(lines(['path', 'mode', 'length', 'sha256', 'frame']))
  const header = Buffer.alloc(packHeaderBytes)
  packMagic.copy(header)
  header.writeUInt32BE(index.length, packMagic.length)
  const pack = Buffer.concat([header, index, ...entries.map(({ bytes }) => bytes)])
  return { pack, index, content: sha256(Buffer.from(lines(['path', 'mode', 'length', 'sha256']))) }
}

export interface ReleaseFixture {
  readonly release: Verified<Release>
  /** The artifact as the store hands it out; close it. */
  content(): Promise<Verified<StoredArtifact>>
}

export function releaseOf(tree: Tree, sequence = 1, about: Partial<Release> = {}): ReleaseFixture {
  const entries = Object.entries(tree).map(([path, content]) => entry(path, content))
  return signedPack(
    entries.sort((a, b) => comparePaths(a.path, b.path)),
    { sequence, ...about },
  )
}

/** The canary that `sigmesh publish --canary` adds to these files. */
export function canaryFor(tree: Tree): Canary {
  const files = Object.entries(tree).map(([path, content]) => entry(path, content))
  return canaryOf(files as unknown as readonly ContentFile[])
}

/** Everything about it is rightly signed, also when `pack` or the entries are evil. */
export function signedPack(
  entries: readonly Entry[],
  about: Partial<Release> = {},
  pack = packOf(entries).pack,
): ReleaseFixture {
  const unpacked = entries.reduce((sum, { length }) => sum + length, 0)
  const release: Release = {
    channel: 'clamav',
    sequence: 1,
    published: '2026-11-22T12:00:00Z',
    content: packOf(entries).content,
    files: entries.length,
    unpacked,
    ...about,
    full: artifactFor(pack),
  }
  return { release: markVerified(release), content: () => stored(release.full, pack) }
}

function artifactFor(pack: Buffer): Artifact {
  const pieceLength = choosePieceLength(pack.length)
  return {
    sha256: sha256(pack),
    length: pack.length,
    pieceLength,
    piecesRoot: piecesRoot(sha256Bytes(pack)),
    infohash: asInfohash('0'.repeat(40)),
  }
}

async function stored(artifact: Artifact, pack: Buffer): Promise<Verified<StoredArtifact>> {
  const directory = await mkdtemp(join(tmpdir(), 'sigmesh-pack-'))
  await writeFile(join(directory, 'pack'), pack)
  const handle = await open(join(directory, 'pack'))
  await rm(directory, { recursive: true })
  const close = () => handle.close()
  return markVerified({ artifact, handle, close, [Symbol.asyncDispose]: close })
}
