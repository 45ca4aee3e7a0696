import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { KiB, second } from '../core/units.ts'
import { framePayloadBytes, type Limiter, onTheLine } from '../swarm/limits/limiter.ts'
import type { ByteRange } from './byte-range.ts'

const chunkBytes = 128 * KiB
/** Under a limit a chunk is worth so much time of it: what leaves in one go is what the others on the line have to wait for. */
const pacedMs = 10
const smallestPacedBytes = 2 * framePayloadBytes

export interface ArtifactStreamOptions {
  readonly range: ByteRange
  readonly pieceLength: number
  /** All of them have to let every byte pass. */
  readonly limiters: readonly Limiter[]
  /** Asked before a byte of each piece: may it be sent still? */
  keeps(piece: number): boolean
  /** Hears of every chunk that goes out. */
  sent(bytes: number): void
  /** Called once, in whatever way it ends, with the bytes that did not go out. */
  ended(unsent: number): void
}

/**
 * Open an artifact for sending.
 *
 * @param file Of our own making. A link in its place is not followed.
 * @throws Error when it is not a regular file of exactly `length` bytes: the disk is not as the manifest says.
 */
export async function openArtifact(file: string, length: number): Promise<FileHandle> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  const stat = await handle.stat()
  if (stat.isFile() && stat.size === length) return handle
  await handle.close()
  throw new Error(`${file} has ${stat.size} bytes, not ${length}`)
}

/**
 * A range of an artifact on its way out. It stops in mid-transfer, with an error, at the first byte of a piece that its lease has
 * lost: somebody else was told to fetch that, and the line is not to carry it twice.
 */
export class ArtifactStream extends Readable {
  readonly #handle: FileHandle
  readonly #options: ArtifactStreamOptions
  #at: number
  readonly #over = new AbortController()

  /** @param handle Closed with the stream. */
  constructor(handle: FileHandle, options: ArtifactStreamOptions) {
    super({ highWaterMark: options.limiters.length > 0 ? smallestPacedBytes : chunkBytes })
    this.#handle = handle
    this.#options = options
    this.#at = options.range.start
  }

  override async _read(): Promise<void> {
    try {
      this.push(await this.#next())
    } catch (error) {
      this.destroy(error as Error)
    }
  }

  async #next(): Promise<Buffer | null> {
    const { range, pieceLength, limiters, keeps, sent } = this.#options
    if (this.#at >= range.end) return null
    const piece = Math.floor(this.#at / pieceLength)
    const wanted = Math.min(this.#pacedBytes(), range.end - this.#at, (piece + 1) * pieceLength - this.#at)
    for (const limiter of limiters) await limiter.pass(onTheLine(wanted), this.#over.signal)
    if (!keeps(piece)) throw new Error(`the lease on piece ${piece} is over`)
    const { bytesRead, buffer } = await this.#handle.read(Buffer.allocUnsafe(wanted), 0, wanted, this.#at)
    if (bytesRead === 0) throw new Error('the artifact has become shorter')
    this.#at += bytesRead
    sent(bytesRead)
    return buffer.subarray(0, bytesRead)
  }

  /** Whole frames. */
  #pacedBytes(): number {
    const slowest = Math.min(...this.#options.limiters.map(({ bytesPerSecond }) => bytesPerSecond))
    const frames = Math.floor((slowest * pacedMs) / second / framePayloadBytes)
    return Math.min(chunkBytes, Math.max(smallestPacedBytes, frames * framePayloadBytes))
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#over.abort(new Error('the transfer has ended'))
    this.#options.ended(this.#options.range.end - this.#at)
    // A read under way ends first: closing waits for it.
    this.#handle.close().then(
      () => done(error),
      failure => done(error ?? failure),
    )
  }
}
