/**
 * One small value in a JSON file: counters, records. Replaced whole; a reader never sees a half. What cannot be read as the schema
 * says counts as lost, and is kept aside as `NAME.damaged` for whoever wants to know why.
 */
import type { z } from '../core/schema.ts'
import { MiB } from '../core/units.ts'
import { renameDurably, writeFileDurably } from './durable.ts'
import { Mutex } from './mutex.ts'
import { readSmallFile } from './small-file.ts'

const limitBytes = MiB

export class JsonFile<T> {
  readonly #path: string
  readonly #schema: z.ZodType<T>
  readonly #turns = new Mutex()

  /** @param schema Of the parsed value, which must come back from `JSON.stringify` as it was. */
  constructor(path: string, schema: z.ZodType<T>) {
    this.#path = path
    this.#schema = schema
  }

  /** @returns undefined when there is no file, or none that is good. @throws StoreError. */
  read(): Promise<T | undefined> {
    return this.#turns.run(async () => {
      const bytes = await readSmallFile(this.#path, limitBytes)
      if (bytes === undefined) return undefined
      const value = bytes === 'too large' ? undefined : this.#parse(bytes)
      if (value === undefined) await renameDurably(this.#path, `${this.#path}.damaged`)
      return value
    })
  }

  /** @throws StoreError; the old value stays, or the new one is there whole. */
  write(value: T): Promise<void> {
    return this.#turns.run(() => writeFileDurably(this.#path, `${JSON.stringify(value)}\n`))
  }

  #parse(bytes: Buffer): T | undefined {
    try {
      return this.#schema.safeParse(JSON.parse(bytes.toString('utf8'))).data
    } catch (error) {
      if (error instanceof SyntaxError) return undefined
      throw error
    }
  }
}
