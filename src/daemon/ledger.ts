/**
 * What a node remembers of a channel over restarts, for `sigmesh status` and `history`: bytes by source, the last check, the last
 * failure, and which release it serves. One small file; losing it loses figures, never safety.
 */
import { join } from 'node:path'
import { TrustError } from '../core/errors.ts'
import { parseRelease, type Release, releaseCustom, targetPath } from '../core/release.ts'
import { channelName, sha256Hex, wholeNumber, z } from '../core/schema.ts'
import { JsonFile } from '../store/json-file.ts'
import { type Bytes, byteTotals, failure, time } from './status.ts'

/** A release as the manifest described it, so that a restart can serve its artifact before the origin has answered. */
const servedRelease = z.strictObject({
  sequence: wholeNumber,
  length: wholeNumber,
  sha256: sha256Hex,
  custom: z.unknown(),
  /** Ms since 1970. */
  until: wholeNumber,
})
export type ServedRelease = z.infer<typeof servedRelease>

const channelLedger = z.strictObject({
  bytes: byteTotals,
  lastCheck: time.nullable(),
  lastSuccess: time.nullable(),
  failure: failure.nullable(),
  served: z.array(servedRelease),
})
export type ChannelLedger = z.infer<typeof channelLedger>

export const noBytes: Bytes = { wan: 0, lanIn: 0, lanOut: 0, wasted: 0 }

/** @returns A ledger of nothing yet. */
function blank(): ChannelLedger {
  return { bytes: { ...noBytes }, lastCheck: null, lastSuccess: null, failure: null, served: [] }
}

/** The book of all channels. Change an entry, then `save`. */
export class Ledger {
  readonly #file: JsonFile<Record<string, ChannelLedger>>
  readonly #entries: Record<string, ChannelLedger>
  #written: string

  private constructor(file: JsonFile<Record<string, ChannelLedger>>, entries: Record<string, ChannelLedger>) {
    this.#file = file
    this.#entries = entries
    this.#written = JSON.stringify(entries)
  }

  static async open(stateDirectory: string): Promise<Ledger> {
    const file = new JsonFile(join(stateDirectory, 'ledger.json'), z.record(channelName, channelLedger))
    return new Ledger(file, (await file.read()) ?? {})
  }

  /** The live entry of `channel`; a new one when there is none. */
  channel(channel: string): ChannelLedger {
    this.#entries[channel] ??= blank()
    return this.#entries[channel]
  }

  /** Writes only what has changed: an idle node leaves the disk asleep. @throws StoreError; the book on the disk stays as it was. */
  async save(): Promise<void> {
    const entries = JSON.stringify(this.#entries)
    if (entries === this.#written) return
    await this.#file.write(this.#entries)
    this.#written = entries
  }
}

export function subtractBytes(total: Bytes, less: Bytes): Bytes {
  return {
    wan: total.wan - less.wan,
    lanIn: total.lanIn - less.lanIn,
    lanOut: total.lanOut - less.lanOut,
    wasted: total.wasted - less.wasted,
  }
}

export function addBytes(total: Bytes, more: Bytes): Bytes {
  return {
    wan: total.wan + more.wan,
    lanIn: total.lanIn + more.lanIn,
    lanOut: total.lanOut + more.lanOut,
    wasted: total.wasted + more.wasted,
  }
}

export function noteRelease(release: Release, until: number): ServedRelease {
  const { sequence, full } = release
  return { sequence, length: full.length, sha256: full.sha256, custom: releaseCustom(release), until }
}

/** @returns undefined when the note is of another version of sigmesh: the artifact is then just not served. */
export function readNote(channel: string, { sequence, until: _, ...target }: ServedRelease): Release | undefined {
  try {
    return parseRelease(channel, targetPath(channel, sequence), target)
  } catch (error) {
    if (error instanceof TrustError) return undefined
    throw error
  }
}
