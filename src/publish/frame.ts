/**
 * One file of a pack as one zstd frame. Same bytes in, same bytes out, with the same version of Node: level, window and the size of
 * the chunks that reach the compressor are fixed, and the frame states its content size and carries no checksum (SHA-256 does that).
 */
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { constants, createZstdCompress, type ZstdOptions, zstdCompress } from 'node:zlib'
import { frameWindowLog } from '../core/pack-format.ts'
import { MiB } from '../core/units.ts'

/** Read and compress in steps of this; a file up to this size is compressed in one call, without a stream's overhead. */
export const chunkBytes = MiB

/** 35 MB/s on the machine that also measured DESIGN.md; 12 gains 2 % for twice the time, 19 gains 12 % for twenty times. */
const level = 9

const options = (length: number): ZstdOptions => ({
  pledgedSrcSize: length,
  params: {
    [constants.ZSTD_c_compressionLevel]: level,
    [constants.ZSTD_c_windowLog]: frameWindowLog,
    [constants.ZSTD_c_contentSizeFlag]: 1,
    [constants.ZSTD_c_checksumFlag]: 0,
  },
})

const compressAll = promisify<Uint8Array, ZstdOptions, Buffer>(zstdCompress)

/**
 * Compress the chunks of a file.
 *
 * @param length Bytes of the file.
 * @param chunks `chunkBytes` each, but the last; not touched again by whoever made them.
 * @param write Called with the bytes of the frame, in order; awaited, so that no more than a few chunks are in memory.
 * @returns Bytes of the frame.
 */
export async function compressFrame(
  length: number,
  chunks: AsyncIterable<Uint8Array>,
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<number> {
  let frame = 0
  const sink = async (compressed: AsyncIterable<Uint8Array>) => {
    for await (const bytes of compressed) {
      frame += bytes.length
      await write(bytes)
    }
  }
  if (length > chunkBytes) await pipeline(chunks, createZstdCompress(options(length)), sink)
  else await sink(compressAtOnce(length, chunks))
  return frame
}

async function* compressAtOnce(length: number, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  yield await compressAll(Buffer.concat(parts), options(length))
}
