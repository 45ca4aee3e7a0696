/**
 * Which pieces of a half-fetched artifact were stored, so that a restart need not hash what was never there. A hint, never a proof:
 * after a power cut the journal may be on the disk and the piece not, so whatever it lists is hashed again before it counts.
 *
 *   offset 0   8 bytes   "SGMPIEC1"
 *          8   records   4 bytes piece index, 4 bytes CRC-32 of those four; big-endian; in the order of storing
 *
 * A record that does not fit its CRC, or is cut off, is passed over. Appending costs one small write for all the pieces that came
 * while the last one was under way.
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { MiB } from '../core/units.ts'
import { onDisk } from './disk-error.ts'
import { writeFileDurably } from './durable.ts'
import { writeAt } from './file-bytes.ts'
import { Mutex } from './mutex.ts'
import { readSmallFile } from './small-file.ts'

const magic = Buffer.from('SGMPIEC1', 'latin1')
const recordBytes = 8

/** The pieces that the journal at `path` lists; undefined when there is none, or none that this version can read. */
export async function readPieceJournal(path: string): Promise<Iterable<number> | undefined> {
  const bytes = await readSmallFile(path, MiB)
  return bytes === undefined || bytes === 'too large' ? undefined : decode(bytes)
}

export class PieceJournal {
  readonly #path: string
  readonly #handle: FileHandle
  readonly #turns = new Mutex()
  #end: number
  #waiting: number[] = []
  #nextFlush: Promise<void> | undefined

  private constructor(path: string, handle: FileHandle, end: number) {
    this.#path = path
    this.#handle = handle
    this.#end = end
  }

  /** Start a journal at `path` that lists `pieces`, instead of whatever is there. @throws StoreError. */
  static async start(path: string, pieces: Iterable<number>): Promise<PieceJournal> {
    const bytes = Buffer.concat([magic, encode([...pieces])])
    await writeFileDurably(path, bytes)
    const handle = await onDisk(path, () => open(path, constants.O_WRONLY | constants.O_NOFOLLOW))
    return new PieceJournal(path, handle, bytes.length)
  }

  /** Resolves when a kill of this process can no longer lose the entry. @throws StoreError. */
  add(index: number): Promise<void> {
    this.#waiting.push(index)
    this.#nextFlush ??= this.#turns.run(() => this.#flush())
    return this.#nextFlush
  }

  async close(): Promise<void> {
    await this.#turns.run(() => this.#handle.close())
  }

  async #flush(): Promise<void> {
    this.#nextFlush = undefined
    const records = encode(this.#waiting.splice(0))
    // At a place of our own choosing, not at the end of the file: half a record of a failed write is written over by the next.
    await onDisk(this.#path, () => writeAt(this.#handle, records, this.#end), records.length)
    this.#end += records.length
  }
}

function encode(indexes: readonly number[]): Buffer {
  const records = Buffer.alloc(indexes.length * recordBytes)
  for (const [n, index] of indexes.entries()) {
    const at = n * recordBytes
    records.writeUInt32BE(index, at)
    records.writeUInt32BE(crc32(records.subarray(at, at + 4)), at + 4)
  }
  return records
}

function decode(bytes: Buffer): Iterable<number> | undefined {
  if (!bytes.subarray(0, magic.length).equals(magic)) return undefined
  const indexes = new Set<number>()
  for (let at = magic.length; at + recordBytes <= bytes.length; at += recordBytes) {
    if (crc32(bytes.subarray(at, at + 4)) === bytes.readUInt32BE(at + 4)) indexes.add(bytes.readUInt32BE(at))
  }
  return indexes
}
