/**
 * Metadata and torrents: files of up to some MiB that every node of the company asks for at the same time. Each is held in memory once,
 * however many are being served from it, as long as it is the same file on disk.
 */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { promisify } from 'node:util'
import { constants as zlib, brotliCompress as zlibBrotliCompress } from 'node:zlib'
import { KiB } from '../core/units.ts'
import { isSystemError } from '../store/disk-error.ts'

const brotliCompress = promisify(zlibBrotliCompress)
/** The best compression takes a second a MiB, and whoever asks first waits for it. */
const bestUpToBytes = 32 * KiB

export class SmallFile {
  readonly bytes: Buffer
  /** Another one for other bytes; quoted, as HTTP wants it. */
  readonly etag: string
  #brotli: Promise<Buffer | undefined> | undefined

  constructor(bytes: Buffer, etag: string) {
    this.bytes = bytes
    this.etag = etag
  }

  /** Compressed once, when it is first asked for. @returns undefined when that makes it no shorter. */
  brotli(): Promise<Buffer | undefined> {
    this.#brotli ??= this.#compress()
    return this.#brotli
  }

  /** What it may take in memory, compressed too. */
  get heldBytes(): number {
    return 2 * this.bytes.length
  }

  async #compress(): Promise<Buffer | undefined> {
    const quality = this.bytes.length <= bestUpToBytes ? zlib.BROTLI_MAX_QUALITY : 5
    const params = { [zlib.BROTLI_PARAM_QUALITY]: quality, [zlib.BROTLI_PARAM_SIZE_HINT]: this.bytes.length }
    const compressed = await brotliCompress(this.bytes, { params })
    // A copy: what zlib gives is a part of a block of 16 KiB, and would hold it.
    return compressed.length < this.bytes.length ? Buffer.from(new Uint8Array(compressed).buffer) : undefined
  }
}

export class SmallFiles {
  readonly #limitBytes: number
  readonly #cacheBytes: number
  /** The longest unused first. */
  readonly #cache = new Map<string, SmallFile>()
  /** By path and tag: who asks meanwhile gets the same, else each of them would compress a copy of his own. */
  readonly #reading = new Map<string, Promise<SmallFile>>()
  #bytes = 0

  /** @param limitBytes Larger files are not served. @param cacheBytes What is held at most, all together. */
  constructor(limitBytes: number, cacheBytes: number) {
    this.#limitBytes = limitBytes
    this.#cacheBytes = cacheBytes
  }

  /**
   * @param path Of our own making. A link in its place is not followed.
   * @returns undefined when there is no such regular file, or it is too large.
   */
  async read(path: string): Promise<SmallFile | undefined> {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
    try {
      await using handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
      const stat = await handle.stat({ bigint: true })
      if (!stat.isFile() || stat.size > this.#limitBytes) return undefined
      const etag = `"${stat.ino.toString(36)}-${stat.size.toString(36)}-${stat.mtimeNs.toString(36)}"`
      const known = this.#cache.get(path)
      if (known?.etag === etag) return this.#keep(path, known)
      const turn = `${path} ${etag}`
      const reading = this.#reading.get(turn)
      if (reading) return await reading
      const fresh = handle.readFile().then(bytes => this.#keep(path, new SmallFile(bytes, etag)))
      this.#reading.set(turn, fresh)
      return await fresh.finally(() => this.#reading.delete(turn))
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ELOOP', 'ENOTDIR')) return undefined
      throw error
    }
  }

  #keep(path: string, file: SmallFile): SmallFile {
    this.#bytes += file.heldBytes - (this.#cache.get(path)?.heldBytes ?? 0)
    this.#cache.delete(path)
    this.#cache.set(path, file)
    for (const [oldest, { heldBytes }] of this.#cache) {
      if (this.#bytes <= this.#cacheBytes) break
      this.#cache.delete(oldest)
      this.#bytes -= heldBytes
    }
    return file
  }
}
