/**
 * The floor under a node's trust: versions and a time that no loss, tearing or deletion of the metadata files takes back. Pure values;
 * `store` keeps them apart from the files. See core/trust-state.ts.
 */
import { TrustError } from '../core/errors.ts'
import type { TrustFloor } from '../core/trust-state.ts'

export const bottom: TrustFloor = { time: 0, versions: new Map() }

/** Only ever up: a lower version or time changes nothing. */
export function raise(floor: TrustFloor, versions: Iterable<readonly [string, number]>, time = 0): TrustFloor {
  const raised = new Map(floor.versions)
  for (const [role, version] of versions) raised.set(role, Math.max(version, raised.get(role) ?? 0))
  return { time: Math.max(floor.time, time), versions: raised }
}

/**
 * The recovery of spec 5.3.11: whoever stole the timestamp or snapshot key may have signed version 2^53 - 1 of anything below the
 * root, so a root that takes the key away makes all those versions start anew. The time and the root's own version stay.
 */
export function forgetVersionsBelowRoot(floor: TrustFloor): TrustFloor {
  return { time: floor.time, versions: new Map([...floor.versions].filter(([role]) => role === 'root')) }
}

/** @throws TrustError `metadata_rollback` when `version` is below the floor. Equal is no rollback. */
export function requireNotBelow(floor: TrustFloor, role: string, version: number, name: string): void {
  const trusted = floor.versions.get(role) ?? 0
  if (version >= trusted) return
  throw new TrustError(
    'metadata_rollback',
    `${name} offers version ${version} of ${role}, but this node has trusted version ${trusted}; the origin is stale, or someone replays it`,
    { name, role, offered: version, trusted },
  )
}
