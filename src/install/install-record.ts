/**
 * What this machine has installed of one channel, and how far an install has come. One small file, replaced whole; it is journal and
 * record in one:
 *
 *   { "format": 1, "channel": "clamav",
 *     "installed": { "directory": "42-0d3f…", "sequence": 42, "label": "daily 27810", "content": "0d3f…", "since": 1795349000000 },
 *     "previous": { … 41 … },
 *     "next": null,                  not null from before an install unpacks until it is over
 *     "reloadPending": false }       true from the switch until the reload command has succeeded
 *
 * It is never believed alone: in force is what the link `current` points at.
 */
import type { Release } from '../core/release.ts'
import { channelName, sha256Hex, wholeNumber, z } from '../core/schema.ts'

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

export const installRecord = z.strictObject({
  format: z.literal(1),
  channel: channelName,
  installed: installedRelease.nullable(),
  /** The release to go back to: the last one that was loaded without complaint. Never removed. */
  previous: installedRelease.nullable(),
  /** What `installed` and `previous` will be when the link has been switched. */
  next: z.strictObject({ installed: installedRelease, previous: installedRelease.nullable() }).nullable(),
  reloadPending: z.boolean(),
})
export type InstallRecord = Readonly<z.output<typeof installRecord>>
export type RecordedRelease = Readonly<z.output<typeof installedRelease>>

export function emptyRecord(channel: string): InstallRecord {
  return { format: 1, channel, installed: null, previous: null, next: null, reloadPending: false }
}

export function describeRelease(
  { sequence, label, content }: Release,
  directory: string,
  since: number,
): RecordedRelease {
  return { directory, sequence, ...(label === undefined ? {} : { label }), content, since }
}

/** The record after a crash or an install: finished when the link points at what was to come, else undone. */
export function settle(record: InstallRecord, inForce: string | undefined): InstallRecord {
  if (!record.next) return record
  if (record.next.installed.directory !== inForce) return { ...record, next: null }
  return { ...record, ...record.next, next: null, reloadPending: true }
}

/** Directories that must not be removed. */
export function heldDirectories({ installed, previous, next }: InstallRecord): ReadonlySet<string> {
  const held = [installed, previous, next?.installed, next?.previous]
  return new Set(held.flatMap(release => (release ? [release.directory] : [])))
}
