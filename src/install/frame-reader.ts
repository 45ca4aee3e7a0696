/**
 * One frame of a pack back into the bytes of its file. A frame is believed in nothing: not in how much it unpacks to, nor in the
 * memory it asks for, nor in where it ends.
 */
import type { FileHandle } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { constants, createZstdDecompress, type ZlibOptions, type ZstdOptions, zstdDecompress } from 'node:zlib'
import { ContentError } from '../core/errors.ts'
import { frameWindowLog } from '../core/pack-format.ts'
import { KiB, MiB } from '../core/units.ts'
import { onDisk } from '../store/disk-error.ts'
import { readAt } from '../store/file-bytes.ts'

const chunkBytes = 256 * KiB
/** Up to here, file and frame are taken in one call: a pack of many small files would spend its time on streams. */
const smallBytes = MiB

const params = { [constants.ZSTD_d_windowLogMax]: frameWindowLog }

interface Whole {
  readonly buffer: Buffer
  readonly engine: { readonly bytesWritten: number }
}
// The types of Node lack `info`, which tells how much of the input was used.
const decompressAll = promisify(zstdDecompress) as unknown as (
  frame: Uint8Array,
  options: ZstdOptions & Pick<ZlibOptions, 'info'>,
) => Promise<Whole>

export interface Frame {
  /** Where the frame begins in the artifact. */
  readonly start: number
  /** Bytes of the frame, and of what it must unpack to. */
  readonly frame: number
  readonly length: number
}

/**
 * Unpack one frame.
 *
 * @param write Gets exactly `length` bytes, in order, or the call fails: what comes next from a bomb is never handed on. Awaited.
 * @throws ContentError `pack_malformed` when the frame is not one, needs a larger window, or unpacks to fewer or more bytes.
 *   What `write` and the disk throw passes through. An aborted `signal` rejects with its reason.
 */
export async function readFrame(
  handle: FileHandle,
  { start, frame, length }: Frame,
  write: (bytes: Uint8Array) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const small = frame <= smallBytes && length <= smallBytes
  const limited = limit(length, write)
  const used = await (small ? readAtOnce : readInSteps)(handle, { start, frame, length }, limited.write, signal).catch(
    error => {
      signal?.throwIfAborted()
      throw isZstdError(error)
        ? new ContentError('pack_malformed', `a frame of the pack is no good: ${error.message}`, { cause: error })
        : error
    },
  )
  if (limited.left() !== 0 || used !== frame)
    throw new ContentError('pack_malformed', `a frame of the pack does not unpack to the ${length} bytes it promises`)
}

async function readAtOnce(
  handle: FileHandle,
  { start, frame, length }: Frame,
  write: (bytes: Uint8Array) => Promise<void>,
) {
  const bytes = await readPart(handle, start, frame)
  // One byte is the least limit that zlib takes.
  const { buffer, engine } = await decompressAll(bytes, { params, info: true, maxOutputLength: Math.max(1, length) })
  await write(buffer)
  return engine.bytesWritten
}

async function readInSteps(
  handle: FileHandle,
  { start, frame }: Frame,
  write: (bytes: Uint8Array) => Promise<void>,
  signal?: AbortSignal,
) {
  const zstd = createZstdDecompress({ params, chunkSize: chunkBytes })
  const sink = async (raw: AsyncIterable<Uint8Array>) => {
    for await (const bytes of raw) await write(bytes)
  }
  await pipeline(chunksOf(handle, start, frame), zstd, sink, signal ? { signal } : {})
  return zstd.bytesWritten
}

async function* chunksOf(handle: FileHandle, start: number, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < length; at += chunkBytes)
    yield await readPart(handle, start + at, Math.min(chunkBytes, length - at))
}

/** @throws ContentError `content_mismatch` when the artifact ends before: somebody cut it after it was checked. */
export async function readPart(handle: FileHandle, start: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length)
  if ((await onDisk('the artifact', () => readAt(handle, bytes, start))) === length) return bytes
  throw new ContentError('content_mismatch', 'the artifact on the disk is shorter than the one that was checked')
}

function limit(length: number, write: (bytes: Uint8Array) => Promise<void>) {
  let left = length
  return {
    left: () => left,
    write: async (bytes: Uint8Array) => {
      left -= bytes.length
      if (left < 0)
        throw new ContentError(
          'pack_malformed',
          `a frame of the pack unpacks to more than the ${length} bytes it promises`,
        )
      await write(bytes)
    },
  }
}

function isZstdError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && /^(?:ZSTD_|Z_|ERR_BUFFER_TOO_LARGE)/.test(String(error.code))
}
