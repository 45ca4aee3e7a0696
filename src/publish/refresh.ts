/**
 * Signing again what is about to expire, with the releases as they are. A timer at the operator's runs it; the online keys (timestamp,
 * snapshot) are enough most of the time, and no key of a channel is needed until half of its life is over.
 */
import { resolve } from 'node:path'
import { type Lifetimes, rolesDue } from '../signing/lifetimes.ts'
import { canSign, renew } from '../signing/publish-operations.ts'
import { loadKeyring } from './key-files.ts'
import { OperatorDirectory } from './operator-directory.ts'

export interface RefreshResult {
  /** Roles that were due and are signed again. Those above them were signed with them. */
  readonly renewed: readonly string[]
  /** Roles that are due and whose keys are not here. */
  readonly keysMissing: readonly string[]
}

/**
 * @param now ms since 1970.
 * @param keys Where the keys are. Default: the directory's own; what is under a passphrase is not at hand here.
 * @returns Once readers see the new signatures.
 * @throws PublishError `repository_missing` | `_damaged` | `_refused`, `key_unusable`; StoreError `state_busy` during a publish,
 *   `disk_full` | `disk_failed`. Readers still have the old state.
 */
export async function refreshMetadata(
  directory: string,
  now: number,
  { lifetimes, keys }: { readonly lifetimes?: Lifetimes; readonly keys?: string } = {},
): Promise<RefreshResult> {
  const place = new OperatorDirectory(resolve(directory))
  const lock = await place.lock()
  try {
    const repository = await place.readRepository()
    const signing = { keyring: await loadKeyring(keys ?? place.keys), now, ...(lifetimes && { lifetimes }) }
    const due = rolesDue(repository, now, lifetimes)
    const renewed = due.filter(role => canSign(repository, role, signing))
    await place.writeMetadata(renew(repository, renewed, signing))
    return { renewed, keysMissing: due.filter(role => !renewed.includes(role)) }
  } finally {
    await lock.stop()
  }
}
