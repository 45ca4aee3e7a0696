/**
 * The pack: what an artifact is inside. Written by `publish/pack.ts`, read by `install/unpack.ts`, and only after the whole
 * artifact has matched its signed SHA-256.
 *
 *   offset 0   8 bytes   "SIGMESH1"
 *          8   4 bytes   length of the index, unsigned, big-endian
 *         12   index     UTF-8 JSON, canonical: this exact key order, no white space, files sorted by path (by UTF-8 bytes)
 *                        {"files":[{"path":"daily.ndb","mode":420,"length":120,"sha256":"ab…","frame":96},…]}
 *          …   frames    one zstd frame a file, `frame` bytes each, in the order of the index, up to the last byte
 *
 * The content of a release, `content` in the manifest, is the SHA-256 of the same JSON without the `frame` keys: what the tree
 * is, however it was compressed.
 *
 * The signature says who made a pack, not that it is harmless: a stolen or careless publisher's pack is still read as hostile input.
 */
import { type Sha256, sha256 } from './digest.ts'
import { ContentError } from './errors.ts'
import { pathChecker } from './pack-path.ts'
import { MiB } from './units.ts'

export const packMagic = Buffer.from('SIGMESH1', 'latin1')
export const packHeaderBytes = packMagic.length + 4
export const indexLimitBytes = 64 * MiB
export const packLimitFiles = 200_000
/** A pack that unpacks to more than this has to be some bytes itself: zstd makes 10 GB of 300 KB, and signatures do not. */
export const ratioFreeBytes = 256 * MiB
export const ratioLimit = 1000
/** log2 of the largest zstd window: 8 MiB of memory for a reader, whatever a frame asks for. */
export const frameWindowLog = 23

/** A file may be run or not; everything else about it (owner, setuid, times) is the node's business. */
export type FileMode = 0o644 | 0o755

/** One file of a content tree. */
export interface ContentFile {
  readonly path: string
  readonly mode: FileMode
  /** Bytes. */
  readonly length: number
  readonly sha256: Sha256
}

/** One file of a pack. */
export interface PackFile extends ContentFile {
  /** Bytes of its zstd frame, 1 or more. */
  readonly frame: number
}

/** What a reader is willing to unpack. */
export interface PackLimits {
  /** Files at most; `packLimitFiles` holds beside it. */
  readonly files: number
  /** Bytes of all files together. */
  readonly bytes: number
}

/** The order of files in an index: by the UTF-8 bytes of their paths. (JavaScript's own order differs beyond U+FFFF.) */
export function comparePaths(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/**
 * The bytes of a pack up to its first frame.
 *
 * @param files In the order of their frames, which is that of `comparePaths`.
 * @throws ContentError `pack_path` | `pack_limit` | `pack_malformed` (not in order): nobody could read that pack.
 */
export function encodePackHead(files: readonly PackFile[]): Buffer {
  checkFiles(files)
  checkRatio(
    files,
    files.reduce((sum, { frame }) => sum + frame, 0),
  )
  const index = encodeFiles(files, packEntry)
  if (index.length > indexLimitBytes) throw tooMuch(`its index has ${index.length} bytes`, `${indexLimitBytes}`)
  const header = Buffer.alloc(packHeaderBytes)
  packMagic.copy(header)
  header.writeUInt32BE(index.length, packMagic.length)
  return Buffer.concat([header, index])
}

/**
 * Bytes of the index, from the first `packHeaderBytes` of a pack.
 *
 * @throws ContentError `pack_malformed` when it is not a pack, `pack_limit` when the index is larger than `indexLimitBytes`.
 */
export function readIndexLength(header: Uint8Array): number {
  const bytes = Buffer.from(header.buffer, header.byteOffset, header.length)
  if (bytes.length !== packHeaderBytes || !bytes.subarray(0, packMagic.length).equals(packMagic))
    throw malformed('does not begin like a pack')
  const length = bytes.readUInt32BE(packMagic.length)
  if (length > indexLimitBytes) throw tooMuch(`its index has ${length} bytes`, `${indexLimitBytes}`)
  return length
}

/**
 * Read the index of a pack.
 *
 * @param frameBytes What follows the index in the artifact; the frames must fill it exactly.
 * @throws ContentError `pack_malformed` | `pack_path` | `pack_limit`.
 */
export function decodeIndex(index: Uint8Array, frameBytes: number, limits: PackLimits): PackFile[] {
  const files = parseFiles(index, limits, packPattern, toPackFile)
  checkFiles(files)
  let left = frameBytes
  for (const { frame } of files) {
    left -= frame
    if (left < 0) break
  }
  if (left !== 0) throw malformed(`does not have the ${frameBytes} bytes of frames that its index promises`)
  checkRatio(files, frameBytes)
  return files
}

/** The content of a release: its name by what the tree is. */
export function contentDigest(files: readonly ContentFile[]): Sha256 {
  return sha256(encodeContent(files))
}

/** The bytes whose SHA-256 is the content: what a node keeps to look after an installed tree. */
export function encodeContent(files: readonly ContentFile[]): Buffer {
  return encodeFiles(files, contentEntry)
}

/** The inverse of `encodeContent`. @throws ContentError as `decodeIndex`, but for the frames. */
export function decodeContent(bytes: Uint8Array): ContentFile[] {
  const files = parseFiles(
    bytes,
    { files: packLimitFiles, bytes: Number.MAX_SAFE_INTEGER },
    contentPattern,
    toContentFile,
  )
  checkFiles(files)
  return files
}

const packEntry = ({ path, mode, length, sha256, frame }: PackFile) =>
  JSON.stringify({ path, mode, length, sha256, frame })

const contentEntry = ({ path, mode, length, sha256 }: ContentFile) => JSON.stringify({ path, mode, length, sha256 })

function encodeFiles<File extends ContentFile>(files: readonly File[], entry: (file: File) => string): Buffer {
  return Buffer.from(`{"files":[${files.map(entry).join(',')}]}`)
}

const fields = '"path":"([^"\\\\]{1,1024})","mode":(420|493),"length":(0|[1-9]\\d{0,15}),"sha256":"([0-9a-f]{64})"'
const contentPattern = new RegExp(`\\{${fields}\\}`, 'y')
const packPattern = new RegExp(`\\{${fields},"frame":([1-9]\\d{0,15})\\}`, 'y')

/**
 * Not JSON.parse: the canonical form is regular (no path needs an escape), so it is read entry by entry, and a hostile index
 * costs no more than its own bytes. JSON.parse of 64 MiB of "[" would take gigabytes before any check.
 */
function parseFiles<File extends ContentFile>(
  index: Uint8Array,
  limits: PackLimits,
  pattern: RegExp,
  toFile: (match: RegExpExecArray) => File,
): File[] {
  const text = decodeText(index)
  const head = '{"files":['
  if (!text.startsWith(head)) throw malformed('has an index that does not begin like one')
  const mostFiles = Math.min(limits.files, packLimitFiles)
  const files: File[] = []
  let at = head.length
  let unpacked = 0
  for (;;) {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (!match) throw malformed(`has an index that breaks at its file ${files.length + 1}`)
    if (files.length === mostFiles) throw tooMuch('it has more files', `${mostFiles}`)
    const file = toFile(match)
    unpacked += file.length
    if (unpacked > limits.bytes) throw tooMuch(`it unpacks to ${unpacked} bytes or more`, `${limits.bytes}`)
    files.push(file)
    at += match[0].length
    if (text[at] !== ',') break
    at++
  }
  if (text.slice(at, at + 3) !== ']}') throw malformed('has an index that does not end like one')
  return files
}

function toContentFile([, path, mode, length, hex]: RegExpExecArray): ContentFile {
  return { path: path!, mode: Number(mode) as FileMode, length: safe(length), sha256: hex as Sha256 }
}

function toPackFile(match: RegExpExecArray): PackFile {
  return { ...toContentFile(match), frame: safe(match[5]) }
}

function safe(digits: string | undefined): number {
  const length = Number(digits)
  if (!Number.isSafeInteger(length)) throw malformed(`has a length of ${digits} bytes`)
  return length
}

function decodeText(index: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(index)
  } catch (error) {
    throw new ContentError('pack_malformed', 'the pack has an index that is not UTF-8', { cause: error })
  }
}

function checkFiles(files: readonly ContentFile[]): void {
  if (files.length === 0) throw malformed('is empty')
  if (files.length > packLimitFiles) throw tooMuch(`it has ${files.length} files`, `${packLimitFiles}`)
  const checkPath = pathChecker()
  let previous: Buffer | undefined
  for (const { path } of files) {
    checkPath(path)
    const bytes = Buffer.from(path)
    if (previous && Buffer.compare(previous, bytes) >= 0) throw malformed(`is not sorted at ${JSON.stringify(path)}`)
    previous = bytes
  }
}

function checkRatio(files: readonly ContentFile[], frameBytes: number): void {
  const unpacked = files.reduce((sum, { length }) => sum + length, 0)
  if (unpacked > ratioFreeBytes && unpacked > frameBytes * ratioLimit)
    throw tooMuch(`its ${frameBytes} bytes unpack to ${unpacked}`, `${ratioLimit} times as many`)
}

function malformed(detail: string): ContentError {
  return new ContentError('pack_malformed', `the pack ${detail}`)
}

function tooMuch(found: string, limit: string): ContentError {
  return new ContentError('pack_limit', `the pack is refused: ${found}, the limit is ${limit}`)
}
