/**
 * Metadata and torrents: files of up to some MiB that every node of the company asks for at the same time. Each is held in memory once,
 * however many are being served from it, as long as it is the same file on disk.
 */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { isSystemError } from '../store/disk-error.ts'

export interface SmallFile {
  readonly bytes: Buffer
  /** Another one for other bytes; quoted, as HTTP wants it. */
  readonly etag: string
}

export class SmallFiles {
  readonly #limitBytes: number
  readonly #cacheBytes: number
  /** The longest unused first. */
  readonly #cache = new Map<string, SmallFile>()
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
      return this.#keep(path, { etag, bytes: await handle.readFile() })
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ELOOP', 'ENOTDIR')) return undefined
      throw error
    }
  }

  #keep(path: string, file: SmallFile): SmallFile {
    this.#bytes += file.bytes.length - (this.#cache.get(path)?.bytes.length ?? 0)
    this.#cache.delete(path)
    this.#cache.set(path, file)
    for (const [oldest, { bytes }] of this.#cache) {
      if (this.#bytes <= this.#cacheBytes) break
      this.#cache.delete(oldest)
      this.#bytes -= bytes.length
    }
    return file
  }
}
