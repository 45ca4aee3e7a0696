/**
 * A value on the disk twice, in the files `a` and `b` of one directory, so that a torn, lost or rotten file costs at most a step back.
 *
 *   sigmesh-generation 1 42 118 9f86d0…\n     format, serial (higher is newer), length of the rest, SHA-256 of serial, length and rest
 *   …118 bytes…
 *
 * A slot is good or it is not: cut short, grown, or with any bit changed, it does not count.
 */
import { join } from 'node:path'
import { sha256 } from '../core/digest.ts'
import { StoreError } from '../core/errors.ts'
import { MiB } from '../core/units.ts'
import { makeDirectory, removeLeftovers, writeFilesDurably } from './durable.ts'
import { readSmallFile } from './small-file.ts'

export const slots = ['a', 'b'] as const
export type Slot = (typeof slots)[number]

export interface Generation {
  readonly slot: Slot
  readonly serial: number
  readonly bytes: Buffer
}

export interface Found {
  /** Newest first. */
  readonly good: readonly Generation[]
  /** Why slots that exist do not count. */
  readonly damage: readonly Error[]
}

const limitBytes = 64 * MiB
const headerLine = /^sigmesh-generation 1 (\d{1,15}) (\d{1,15}) ([0-9a-f]{64})\n/

export class Generations {
  readonly #directory: string

  /** @param directory Made when the first generation is written. */
  constructor(directory: string) {
    this.#directory = directory
  }

  /** Does not reject for what the slots hold, nor for a slot that cannot be read: that is damage. */
  async read(): Promise<Found> {
    const found = await Promise.all(slots.map(slot => this.#readSlot(slot)))
    const good = found.filter((each): each is Generation => each !== undefined && !(each instanceof Error))
    const damage = found.filter(each => each instanceof Error)
    return { good: good.toSorted((x, y) => y.serial - x.serial), damage }
  }

  /** Replace these slots, in their order. When it rejects, each holds the old generation or the new one. @throws StoreError. */
  async write(generations: readonly Generation[]): Promise<void> {
    await makeDirectory(this.#directory)
    await writeFilesDurably(
      this.#directory,
      generations.map(each => [each.slot, encode(each)]),
    )
  }

  /** Take away what a crash in the middle of `write` left. @throws StoreError. */
  async clean(): Promise<void> {
    await makeDirectory(this.#directory)
    await removeLeftovers(this.#directory)
  }

  async #readSlot(slot: Slot): Promise<Generation | Error | undefined> {
    const path = this.#path(slot)
    let file: Awaited<ReturnType<typeof readSmallFile>>
    try {
      file = await readSmallFile(path, limitBytes)
    } catch (error) {
      if (error instanceof StoreError) return error // an unreadable sector must not hide the other slot
      throw error
    }
    if (file === undefined) return undefined
    return (file === 'too large' ? undefined : decode(slot, file)) ?? new Error(`${path} is damaged`)
  }

  #path(slot: Slot): string {
    return join(this.#directory, slot)
  }
}

function encode({ serial, bytes }: Generation): Buffer {
  const header = `sigmesh-generation 1 ${serial} ${bytes.length} ${checksum(serial, bytes)}\n`
  return Buffer.concat([Buffer.from(header, 'latin1'), bytes])
}

function decode(slot: Slot, file: Buffer): Generation | undefined {
  const header = headerLine.exec(file.subarray(0, 200).toString('latin1'))
  if (!header) return undefined
  const bytes = file.subarray(header[0].length)
  const serial = Number(header[1])
  const good = bytes.length === Number(header[2]) && checksum(serial, bytes) === header[3]
  return good ? { slot, serial, bytes } : undefined
}

function checksum(serial: number, bytes: Uint8Array): string {
  return sha256(Buffer.concat([Buffer.from(`${serial} ${bytes.length}\n`, 'latin1'), bytes]))
}
