/**
 * What this machine has installed of one channel, and how far an install has come. One small file, replaced whole; it is journal and
 * record in one:
 *
 *   { "format": 1, "channel": "clamav",
 *     "installed": { "directory": "42-0d3f…", "sequence": 42, "label": "daily 27810", "content": "0d3f…", "since": 1795349000000 },
 *     "previous": { … 41 … },
 *     "next": null,                  not null from before an install unpacks, or a roll back switches, until the switch is recorded
 *     "reloadPending": false,        true from the switch until reload and health have succeeded
 *     "refused": null,               the release that must not be tried again, and why
 *     "hold": null }                 an admin wants nothing new: { "since": …, "until": null or ms since 1970 }
 *
 * It is never believed alone: in force is what the link `current` points at.
 */
import { InstallError } from '../core/errors.ts'
import type { Release } from '../core/release.ts'
import { channelName, sha256Hex, wholeNumber, z } from '../core/schema.ts'

/** Of a message that is kept or reported: characters. */
export const messageLimit = 1000

/** Name of a release's directory: sequence, the content's first 16 digits, and a number when it was put there again as a repair. */
export const directoryPattern = /^[1-9]\d{0,15}-[0-9a-f]{16}(?:-[1-9]\d{0,5})?$/

const installedRelease = z.strictObject({
  directory: z.string().regex(directoryPattern),
  sequence: wholeNumber.min(1),
  /** What the publisher calls it; for people only. */
  label: z.string().max(200).optional(),
  content: sha256Hex,
  /** Ms since 1970. */
  since: wholeNumber,
})

const refusedRelease = z.strictObject({
  sequence: wholeNumber.min(1),
  content: sha256Hex,
  /** Ms since 1970. */
  at: wholeNumber,
  /** What it failed with; null when an admin rolled back by hand. */
  code: z.enum(['install_test_failed', 'install_rolled_back']).nullable(),
  message: z.string().max(messageLimit),
})

const hold = z.strictObject({
  /** Ms since 1970. */
  since: wholeNumber,
  /** Ms since 1970; null for "until it is released". */
  until: wholeNumber.nullable(),
})

export const installRecord = z.strictObject({
  format: z.literal(1),
  channel: channelName,
  installed: installedRelease.nullable(),
  /** The release to go back to: the last one that was loaded without complaint. Never removed. */
  previous: installedRelease.nullable(),
  /** What `installed` and `previous` will be when the link has been switched. */
  next: z
    .strictObject({
      installed: installedRelease,
      previous: installedRelease.nullable(),
      /** Absent: as it is. */
      refused: refusedRelease.nullable().optional(),
    })
    .nullable(),
  reloadPending: z.boolean(),
  // Older versions wrote neither.
  refused: refusedRelease.nullable().default(null),
  hold: hold.nullable().default(null),
})
export type InstallRecord = Readonly<z.output<typeof installRecord>>
export type RecordedRelease = Readonly<z.output<typeof installedRelease>>
export type RefusedRelease = Readonly<z.output<typeof refusedRelease>>
export type Hold = Readonly<z.output<typeof hold>>

export function emptyRecord(channel: string): InstallRecord {
  return {
    format: 1,
    channel,
    installed: null,
    previous: null,
    next: null,
    reloadPending: false,
    refused: null,
    hold: null,
  }
}

export function describeRelease(
  { sequence, label, content }: Release,
  directory: string,
  since: number,
): RecordedRelease {
  return { directory, sequence, ...(label === undefined ? {} : { label }), content, since }
}

export function refusalOf(
  { sequence, content }: RecordedRelease,
  { code, message }: Pick<RefusedRelease, 'code' | 'message'>,
  at: number,
): RefusedRelease {
  return { sequence, content, at, code, message: message.slice(0, messageLimit) }
}

/** The record after a crash or an install: finished when the link points at what was to come, else undone. */
export function settle(record: InstallRecord, inForce: string | undefined): InstallRecord {
  if (!record.next) return record
  if (record.next.installed.directory !== inForce) return { ...record, next: null }
  const { refused = record.refused, ...next } = record.next
  return { ...record, ...next, refused, next: null, reloadPending: true }
}

/** @throws InstallError `install_failed` when `release` would take the node back, or is another under the same number. */
export function checkOrder({ installed }: Pick<InstallRecord, 'installed'>, release: Release): void {
  const { channel, sequence, content } = release
  if (!installed || sequence > installed.sequence) return
  if (sequence === installed.sequence && content === installed.content) return
  const what = sequence < installed.sequence ? 'is older than' : 'has other content than'
  throw new InstallError(
    'install_failed',
    `release ${sequence} ${what} the installed release ${installed.sequence}; a node never goes back by itself`,
    { channel, sequence, installed: installed.sequence },
  )
}

/** What the record says about releases to come. */
export type Standing = Pick<InstallRecord, 'installed' | 'previous' | 'refused' | 'hold'>

/**
 * May this release be installed by itself?
 *
 *  - the one that is installed already: always, since it may have to be repaired
 *  - nothing else while an admin holds the channel
 *  - nothing up to the one that failed here: the releases between were passed over, and a roll back is not to bring them up
 */
export function mayInstall(
  { installed, refused, hold }: Standing,
  { sequence }: Pick<Release, 'sequence'>,
  now: number,
) {
  if (sequence === installed?.sequence) return true
  if (isHeld(hold, now)) return false
  return refused === null || sequence > refused.sequence
}

/** @param now Ms since 1970. */
export function isHeld(hold: Hold | null, now: number): boolean {
  return hold !== null && (hold.until === null || now < hold.until)
}

/** Directories that must not be removed. */
export function heldDirectories({ installed, previous, next }: InstallRecord): ReadonlySet<string> {
  const held = [installed, previous, next?.installed, next?.previous]
  return new Set(held.flatMap(release => (release ? [release.directory] : [])))
}
