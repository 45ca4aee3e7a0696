/**
 * A release as the channel's manifest signs it. The manifest is the TUF targets role of the channel; each artifact is one target,
 * and what is ours stands in the target's `custom`:
 *
 *   "clamav/42.full.pack": {
 *     "length": 25165824,
 *     "hashes": { "sha256": "ab…" },
 *     "custom": { "sigmesh": {
 *       "format": 1, "sequence": 42, "kind": "full", "published": "2026-11-22T12:00:00Z", "label": "daily 27810", "priority": "emergency",
 *       "content": "0d…", "files": 3, "unpacked": 61000000,
 *       "pieceLength": 262144, "piecesRoot": "cd…", "infohash": "ef…" } } }
 *
 * The origin serves that target at `/targets/clamav/<sha256>.42.full.pack`, as every TUF client expects of a repository with
 * consistent snapshots, and its torrent at `/torrents/<sha256>.torrent`.
 */
import { type Artifact, largestPieceBytes, mostPieces, pieceCount, smallestPieceBytes } from './artifact.ts'
import type { Sha256 } from './digest.ts'
import { TrustError } from './errors.ts'
import { channelName, infohashHex, sha256Hex, utcSecond, wholeNumber, z } from './schema.ts'

export interface Release {
  readonly channel: string
  /** Strictly growing within the channel, from 1. */
  readonly sequence: number
  /** UTC, to the second. */
  readonly published: string
  /** What the publisher calls it; for people only. */
  readonly label?: string
  /** The publisher asks for no limits. Whether that counts is for each machine, and for the origin, to say. */
  readonly priority?: 'emergency'
  /** SHA-256 of the content index (see pack-format.ts): what the unpacked tree must be. */
  readonly content: Sha256
  readonly files: number
  /** Bytes of all files together. */
  readonly unpacked: number
  /** The whole release in one pack. */
  readonly full: Artifact
}

const custom = z.strictObject({
  format: z.literal(1),
  sequence: wholeNumber.min(1),
  kind: z.literal('full'),
  published: utcSecond,
  label: z.string().max(200).optional(),
  priority: z.literal('emergency').optional(),
  content: sha256Hex,
  files: wholeNumber.min(1),
  unpacked: wholeNumber,
  pieceLength: wholeNumber
    .min(smallestPieceBytes)
    .max(largestPieceBytes)
    .refine(n => (n & (n - 1)) === 0, 'expected a power of two'),
  piecesRoot: sha256Hex,
  infohash: infohashHex,
})

/** A target as any TUF repository describes one, after the metadata has been verified. */
export interface TargetDescription {
  readonly length: number
  readonly sha256: Sha256
  readonly custom: unknown
}

export function targetPath(channel: string, sequence: number): string {
  return `${channel}/${sequence}.full.pack`
}

/** Where the origin serves the artifact's bytes. */
export function artifactUrlPath(release: Release): string {
  return `/targets/${release.channel}/${release.full.sha256}.${release.sequence}.full.pack`
}

/** Where the origin serves the artifact's torrent, which also carries the piece hashes. */
export function torrentUrlPath(artifact: Artifact): string {
  return `/torrents/${artifact.sha256}.torrent`
}

/** The `custom` of a release's target. The inverse of `parseRelease`. */
export function releaseCustom(release: Release): { sigmesh: z.input<typeof custom> } {
  const { sequence, published, label, priority, content, files, unpacked, full } = release
  const { pieceLength, piecesRoot, infohash } = full
  const ours = { format: 1 as const, kind: 'full' as const, sequence, published, content, files, unpacked }
  return { sigmesh: { ...ours, ...optional({ label, priority }), pieceLength, piecesRoot, infohash } }
}

/**
 * Read one target of a verified manifest.
 *
 * @returns undefined when the target is not one of ours (no `custom.sigmesh`): a stranger's target is not an error.
 * @throws TrustError `release_malformed` when it claims to be ours and is not what a node needs.
 */
export function parseRelease(channel: string, path: string, target: TargetDescription): Release | undefined {
  if (!isRecord(target.custom) || !Object.hasOwn(target.custom, 'sigmesh')) return undefined
  const parsed = z.safeParse(custom, target.custom.sigmesh)
  if (!parsed.success) throw malformed(path, z.prettifyError(parsed.error))
  channelName.parse(channel)
  const { format, kind, pieceLength, piecesRoot, infohash, label, priority, ...rest } = parsed.data
  if (path !== targetPath(channel, rest.sequence)) throw malformed(path, `sequence ${rest.sequence} belongs elsewhere`)
  const full = { sha256: target.sha256, length: target.length, pieceLength, piecesRoot, infohash }
  if (full.length < 1) throw malformed(path, 'an artifact is never empty')
  if (pieceCount(full) > mostPieces) throw malformed(path, `more than ${mostPieces} pieces`)
  return { channel, ...rest, ...optional({ label, priority }), full }
}

/** Keys without a value are left out. */
function optional({ label, priority }: { label: string | undefined; priority: Release['priority'] | undefined }) {
  return { ...(label === undefined ? {} : { label }), ...(priority === undefined ? {} : { priority }) }
}

function malformed(path: string, detail: string): TrustError {
  return new TrustError('release_malformed', `target ${path} is not a release this node can use: ${detail}`, { path })
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
