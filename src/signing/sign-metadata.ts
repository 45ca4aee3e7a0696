/** Making signed metadata files. Operator side only. */
import { PublishError } from '../core/errors.ts'
import { canonicalJson } from './canonical-json.ts'
import type { JsonObject } from './json.ts'
import type { RoleKeys } from './metadata-shapes.ts'
import type { PrivateKey } from './private-key.ts'

/** The version of the specification that our files are written by. */
export const specVersion = '1.0.34'

/** A metadata file with the signatures of `signers`, in that order. */
export function signMetadata(signed: JsonObject, signers: readonly PrivateKey[]): Uint8Array {
  const payload = canonicalJson(signed)
  const signatures = signers.map(key => ({
    keyid: key.public.id,
    sig: Buffer.from(key.sign(payload)).toString('hex'),
  }))
  return Buffer.from(`${JSON.stringify({ signatures, signed }, null, 1)}\n`)
}

/**
 * Those of `keyring` that may sign for a role.
 *
 * @throws PublishError `key_unusable` when they are fewer than the threshold.
 */
export function signersFor(name: string, role: RoleKeys, keyring: readonly PrivateKey[]): readonly PrivateKey[] {
  const byId = new Map(keyring.filter(key => role.keys.has(key.public.id)).map(key => [key.public.id, key]))
  if (byId.size >= role.threshold) return [...byId.values()]
  const missing = [...role.keys.keys()].filter(id => !byId.has(id)).map(id => id.slice(0, 12))
  throw new PublishError(
    'key_unusable',
    `${name} needs ${role.threshold} of its keys to sign, and ${byId.size} are at hand; not at hand: ${missing.join(', ')}`,
    { name, threshold: role.threshold, present: byId.size },
  )
}

/** As `expires` has it: to the second, rounded down. @param ms since 1970. */
export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}
