/**
 * From what the operator has to an artifact: walk, compress each file into a frame, put head and frames together, hash.
 *
 *   source/               scratch.frames          target
 *     a.ndb      ──zstd──▶  frame of a      ┌──▶  head with index
 *     b/c.yar    ──zstd──▶  frame of b/c  ──┴──▶  frames          ──▶ SHA-256, pieces
 *
 * The index stands before the frames and needs their lengths, hence the scratch file. No more than a few chunks are ever in memory.
 */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { canaryOf, canaryPath, encodeCanary } from '../core/canary.ts'
import { type Sha256, sha256 } from '../core/digest.ts'
import { comparePaths, contentDigest, encodePackHead, type PackFile } from '../core/pack-format.ts'
import { readAt } from '../store/file-bytes.ts'
import { ArtifactHasher, type ArtifactHashes } from './artifact-hash.ts'
import { chunkBytes, compressFrame } from './frame.ts'
import { changed, checkUnchanged, type SourceFile, stampOf, unreadable, walkSource } from './source-tree.ts'

export interface PackProgress {
  /** Bytes of the source that are packed, and that there are. */
  readonly done: number
  readonly total: number
}

export interface PackedRelease {
  /** SHA-256 of the content index. */
  readonly content: Sha256
  readonly files: number
  /** Bytes of all files together. */
  readonly unpacked: number
  readonly artifact: ArtifactHashes
}

export interface PackOptions {
  /** Add ClamAV's canary (core/canary.ts), instead of one that the source may have. Default: the source as it is. */
  readonly canary?: boolean
  readonly onProgress?: (progress: PackProgress) => void
  readonly signal?: AbortSignal
}

/**
 * Pack a file or a directory.
 *
 * @param source Only read. A file is packed under its own name.
 * @param target Where the artifact is written; must not exist. `<target>.frames` beside it is used on the way and removed.
 * @returns Once the artifact is written and flushed to the disk (its directory entry is not: the caller moves it anyway).
 * @throws PublishError `source_unreadable` (also: it changed meanwhile); ContentError `pack_path` | `pack_limit`. Then nothing is
 *   left at `target`. A fault of the target's disk is the system's own error. An aborted `signal` rejects with its own reason.
 */
export async function packSource(source: string, target: string, options: PackOptions = {}): Promise<PackedRelease> {
  const scratch = `${target}.frames`
  const { signal } = options
  try {
    const tree = await walkSource(source, signal)
    const taken = options.canary ? tree.filter(({ path }) => path !== canaryPath) : tree
    if (taken.length === 0) throw unreadable(source, 'has nothing but a canary in it')
    const packed = await writeFrames(taken, scratch, options)
    await checkUnchanged(source, tree, signal)
    const files = options.canary ? await addCanary(packed, scratch) : packed
    const artifact = await assemble(files, scratch, target, signal)
    const unpacked = files.reduce((sum, { length }) => sum + length, 0)
    return { content: contentDigest(files), files: files.length, unpacked, artifact }
  } catch (error) {
    await rm(target, { force: true })
    throw error
  } finally {
    await rm(scratch, { force: true })
  }
}

/** A file, and where its frame is in the scratch file. */
interface PlacedFile extends PackFile {
  readonly start: number
}

async function writeFrames(tree: readonly SourceFile[], scratch: string, { onProgress, signal }: PackOptions) {
  const total = tree.reduce((sum, { length }) => sum + length, 0)
  const packed: PlacedFile[] = []
  let done = 0
  let start = 0
  await using out = await open(scratch, 'wx', 0o600)
  for (const { path, location, length, executable, stamp } of tree) {
    await using file = await openSource(location, stamp)
    const hash = createHash('sha256')
    const chunks = readExactly(file, 0, length, location, bytes => {
      hash.update(bytes)
      done += bytes.length
      onProgress?.({ done, total })
      signal?.throwIfAborted()
    })
    const frame = await compressFrame(length, chunks, bytes => out.writeFile(bytes))
    packed.push({ path, mode: executable ? 0o755 : 0o644, length, sha256: hash.digest('hex') as Sha256, frame, start })
    start += frame
  }
  return packed
}

/** Its frame goes behind the others, since it is made from what they hold; its place in the pack is by its name. */
async function addCanary(others: readonly PlacedFile[], scratch: string): Promise<PlacedFile[]> {
  const bytes = encodeCanary(canaryOf(others))
  const start = bytesOf(others)
  await using out = await open(scratch, 'a')
  const frame = await compressFrame(bytes.length, chunkOf(bytes), part => out.writeFile(part))
  const canary = { path: canaryPath, mode: 0o644, length: bytes.length, sha256: sha256(bytes), frame, start } as const
  return [...others, canary].sort((a, b) => comparePaths(a.path, b.path))
}

async function* chunkOf(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}

async function assemble(files: readonly PlacedFile[], scratch: string, target: string, signal?: AbortSignal) {
  const head = encodePackHead(files)
  const hasher = new ArtifactHasher(head.length + bytesOf(files))
  await using out = await open(target, 'wx', 0o644)
  await using frames = await open(scratch, 'r')
  const append = async (bytes: Uint8Array) => {
    signal?.throwIfAborted()
    hasher.update(bytes)
    await out.writeFile(bytes)
  }
  await append(head)
  for (const { start, end } of runsOf(files))
    for await (const bytes of readExactly(frames, start, end, scratch)) await append(bytes)
  await out.sync()
  return hasher.finish()
}

/** Frames that follow each other are read as one: there may be a great many small ones. */
function runsOf(files: readonly PlacedFile[]): { start: number; end: number }[] {
  const runs: { start: number; end: number }[] = []
  for (const { start, frame } of files) {
    const last = runs.at(-1)
    if (last?.end === start) last.end += frame
    else runs.push({ start, end: start + frame })
  }
  return runs
}

function bytesOf(files: readonly PackFile[]): number {
  return files.reduce((sum, { frame }) => sum + frame, 0)
}

/** Not following a link and not waiting for a pipe that somebody has put there since the walk. */
async function openSource(location: string, stamp: string): Promise<FileHandle> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const file = await open(location, flags).catch(error => {
    throw unreadable(location, `cannot be read: ${error.message}`, error)
  })
  if (stampOf(await file.stat({ bigint: true })) === stamp) return file
  await file.close()
  throw changed(location)
}

/** The bytes from `start` to `end`, in chunks of `chunkBytes` but the last. @throws PublishError `source_unreadable` when there are fewer. */
async function* readExactly(
  file: FileHandle,
  start: number,
  end: number,
  location: string,
  seen?: (bytes: Uint8Array) => void,
) {
  for (let at = start; at < end; ) {
    const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, end - at))
    const filled = await readAt(file, chunk, at).catch(error => {
      throw unreadable(location, `cannot be read: ${error.message}`, error)
    })
    if (filled < chunk.length) throw changed(location)
    at += chunk.length
    seen?.(chunk)
    yield chunk
  }
}
