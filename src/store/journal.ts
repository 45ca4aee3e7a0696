/**
 * A short memory of what happened: one JSON value a line, the newest last, only the last few hundred kept. A torn or damaged line is
 * passed over; the rest stays readable, also with `tail -f`.
 */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import type { z } from '../core/schema.ts'
import { MiB } from '../core/units.ts'
import { onDisk } from './disk-error.ts'
import { writeFileDurably } from './durable.ts'
import { writeAt } from './file-bytes.ts'
import { Mutex } from './mutex.ts'
import { readSmallFile } from './small-file.ts'

const limitBytes = 16 * MiB

/**
 * Open the journal at `path`; the file is made by the first entry.
 *
 * @param schema Of one parsed line; what it refuses, an older version's entry perhaps, is passed over.
 * @param limit Entries that are kept. The file holds up to twice as many before it is rewritten.
 * @throws StoreError.
 */
export async function openJournal<T>(path: string, schema: z.ZodType<T>, limit: number): Promise<Journal<T>> {
  const bytes = await readSmallFile(path, limitBytes)
  if (bytes === undefined) return new Journal(path, limit, [], 0)
  const lines = bytes === 'too large' ? [] : bytes.toString('utf8').split('\n')
  const entries = lines.flatMap(line => parseLine(line, schema))
  // A line without its end would swallow the next entry: start the file anew then, as when it has grown too long.
  const sound = lines.at(-1) === '' && entries.length === lines.length - 1
  return new Journal(path, limit, entries.slice(-limit), sound ? entries.length : 'rewrite')
}

export class Journal<T> {
  readonly #path: string
  readonly #limit: number
  readonly #turns = new Mutex()
  #entries: readonly T[]
  #linesInFile: number | 'rewrite'

  /** Use `openJournal`. */
  constructor(path: string, limit: number, entries: readonly T[], linesInFile: number | 'rewrite') {
    this.#path = path
    this.#limit = limit
    this.#entries = entries
    this.#linesInFile = linesInFile
  }

  /** The newest `count` entries, oldest of them first. */
  last(count: number): readonly T[] {
    return count > 0 ? this.#entries.slice(-count) : []
  }

  /** Resolves when the entry is on the disk. @throws StoreError; the entry is shown by `last` all the same, until a restart. */
  append(entry: T): Promise<void> {
    return this.#turns.run(async () => {
      this.#entries = [...this.#entries, entry].slice(-this.#limit)
      const full = this.#linesInFile === 'rewrite' || this.#linesInFile >= 2 * this.#limit
      const entries = this.#entries
      const lines = full ? entries.length : Number(this.#linesInFile) + 1
      this.#linesInFile = 'rewrite' // unless all goes well
      if (full) await writeFileDurably(this.#path, entries.map(toLine).join(''))
      else await appendLine(this.#path, toLine(entry))
      this.#linesInFile = lines
    })
  }
}

function toLine(entry: unknown): string {
  return `${JSON.stringify(entry)}\n`
}

function parseLine<T>(line: string, schema: z.ZodType<T>): T[] {
  try {
    const parsed = schema.safeParse(JSON.parse(line))
    return parsed.success ? [parsed.data] : []
  } catch (error) {
    if (error instanceof SyntaxError) return []
    throw error
  }
}

async function appendLine(path: string, line: string): Promise<void> {
  const { O_WRONLY, O_CREAT, O_NOFOLLOW } = constants
  await onDisk(path, async () => {
    const handle = await open(path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0o600)
    try {
      await writeAt(handle, Buffer.from(line), (await handle.stat()).size)
      await handle.datasync()
    } finally {
      await handle.close()
    }
  })
}
