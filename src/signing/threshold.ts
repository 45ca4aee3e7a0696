/**
 * Are there enough signatures? One vote a key: not a signature, and not a key id, because one key can be listed under many ids. All
 * signatures are over the canonical form of the whole `signed` part, `_type` included, so that no statement passes for another kind.
 */
import { TrustError } from '../core/errors.ts'
import type { SignedFile } from './metadata.ts'
import type { RoleKeys } from './metadata-shapes.ts'
import { isAdmissible, verifySignature } from './public-key.ts'

/**
 * @param name The file, for the sentence of the error.
 * @throws TrustError `metadata_unsigned` with fewer than `role.threshold` votes. Signatures that do not hold, or are of keys that the role
 *   does not list, count for nothing and do no harm.
 */
export function requireThreshold(file: SignedFile<unknown>, role: RoleKeys, name: string): void {
  const votes = countVotes(file, role)
  if (votes >= role.threshold) return
  throw new TrustError(
    'metadata_unsigned',
    `${name} has ${votes} valid signature${votes === 1 ? '' : 's'} of its role's keys, and needs ${role.threshold}`,
    { name, votes, threshold: role.threshold },
  )
}

/** Stops at the threshold: what is not needed is not verified. */
function countVotes({ payload, signatures }: SignedFile<unknown>, { keys, threshold }: RoleKeys): number {
  const voters = new Set<string>()
  for (const { keyid, sig } of signatures) {
    if (voters.size >= threshold) break
    const key = keys.get(keyid)
    if (!key || voters.has(key.identity)) continue
    if (verifySignature(key, payload, sig) && isAdmissible(key)) voters.add(key.identity)
  }
  return voters.size
}

/** Whose votes a file has, by key id; one id a key. All are verified, for who wants to know which signatures are still missing. */
export function votersOf({ payload, signatures }: SignedFile<unknown>, { keys }: RoleKeys): string[] {
  const voters = new Map<string, string>()
  for (const { keyid, sig } of signatures) {
    const key = keys.get(keyid)
    if (key && !voters.has(key.identity) && verifySignature(key, payload, sig) && isAdmissible(key))
      voters.set(key.identity, keyid)
  }
  return [...voters.values()]
}
