/**
 * What a refresh is about to ask for, in one answer in place of four: three round trips less, and three heads, for each node that wakes up.
 *
 *   GET /metadata/after/1/6/clamav        of a node that trusts root 1, and has seen snapshot 6
 *
 *   { "timestamp.json": "{…", "7.snapshot.json": "{…", "8.clamav.json": "{…" }          each file as text, byte for byte
 *   { "timestamp.json": "{…" }                                                          there is nothing new
 *
 * `2.root.json` is in it whenever there is one, so whoever does not find it need not ask. Any other file that would make it too long is left
 * out, and asked for by itself; so are all of them where the origin is a plain file server. Nothing is believed because it came this way.
 */
import { KiB } from '../core/units.ts'

/** Decompressed. */
export const bundleLimitBytes = 64 * KiB

/** By name, as in the metadata folder of a repository. */
export type MetadataBundle = ReadonlyMap<string, Uint8Array>

export function bundleUrlPath(root: number, snapshot: number, channel: string): string {
  return `/metadata/after/${root}/${snapshot}/${channel}`
}

const urlPath = /^\/metadata\/after\/(0|[1-9][0-9]{0,9})\/(0|[1-9][0-9]{0,9})\/([a-z][a-z0-9-]{0,63})$/

/** The inverse of `bundleUrlPath`. @returns undefined when it is none. */
export function readBundleUrlPath(path: string): { root: number; snapshot: number; channel: string } | undefined {
  const [, root, snapshot, channel] = urlPath.exec(path) ?? []
  if (root === undefined || snapshot === undefined || channel === undefined) return undefined
  return { root: Number(root), snapshot: Number(snapshot), channel }
}

/**
 * @param needed Files without which it would mislead. @param others Left out where they do not fit.
 * @returns undefined when a needed file does not fit. One that is no text, as it may be damaged, does not fit either.
 */
export function writeBundle(needed: MetadataBundle, others: MetadataBundle): Buffer | undefined {
  const texts: Record<string, string> = {}
  let bundle: Buffer | undefined
  for (const [name, bytes] of [...needed, ...others]) {
    const text = Buffer.from(bytes).toString('utf8')
    const longer = Buffer.from(JSON.stringify({ ...texts, [name]: text }))
    if (longer.length <= bundleLimitBytes && Buffer.from(text).equals(bytes)) {
      texts[name] = text
      bundle = longer
    } else if (needed.has(name)) return undefined
  }
  return bundle
}

/** Total. @returns undefined when it is no bundle, as the page that some servers show in place of what they do not have. */
export function readBundle(bytes: Uint8Array): MetadataBundle | undefined {
  try {
    const texts: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'))
    if (typeof texts !== 'object' || texts === null) return undefined
    const files = Object.entries(texts).map(([name, text]) => [name, text] as const)
    if (files.some(([, text]) => typeof text !== 'string') || !Object.hasOwn(texts, 'timestamp.json')) return undefined
    return new Map(files.map(([name, text]) => [name, Buffer.from(text)]))
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
