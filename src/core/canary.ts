/**
 * The canary: a signature of no virus at all, in a ClamAV database of its own, that is different in every release. A clamd that finds it
 * works with this release and no other. Nothing else proves that: RELOAD answers before the load, and VERSION tells of official databases.
 *
 *   sigmesh-canary.hsb   <SHA-256 of the probe>:<its length>:Sigmesh.Canary.<32 hex digits>
 *   the probe            "sigmesh canary Sigmesh.Canary.<32 hex digits>\n"
 *
 * `sigmesh publish --canary` adds it; the digits are from the content of the other files, so that the same content is still the same
 * release. By hash and not by pattern: only a file that is the probe and nothing else is ever found, no text that quotes it.
 */
import { sha256 } from './digest.ts'
import { type ContentFile, contentDigest } from './pack-format.ts'

/** Its name in a release. ClamAV goes by the ending: hashes of whole files. */
export const canaryPath = 'sigmesh-canary.hsb'
export const canaryLimitBytes = 200

export interface Canary {
  /** clamd's word for the find, without the `.UNOFFICIAL` that it puts behind. */
  readonly name: string
  /** What has to be found. */
  readonly probe: Buffer
}

/** @param files All of a release but the canary. */
export function canaryOf(files: readonly ContentFile[]): Canary {
  return canaryNamed(`Sigmesh.Canary.${contentDigest(files).slice(0, 32)}`)
}

/** The bytes of the database. */
export function encodeCanary({ name, probe }: Canary): Buffer {
  return Buffer.from(`${sha256(probe)}:${probe.length}:${name}\n`)
}

/** The inverse. @returns undefined when it is not exactly what `encodeCanary` writes. */
export function decodeCanary(bytes: Uint8Array): Canary | undefined {
  const [, name] = /^[0-9a-f]{64}:\d{1,3}:(Sigmesh\.Canary\.[0-9a-f]{32})\n$/.exec(Buffer.from(bytes).toString()) ?? []
  if (name === undefined) return undefined
  const canary = canaryNamed(name)
  return encodeCanary(canary).equals(bytes) ? canary : undefined
}

function canaryNamed(name: string): Canary {
  return { name, probe: Buffer.from(`sigmesh canary ${name}\n`) }
}
