/**
 * Spec 5.6.7: which targets role speaks for a target path? A pre-order walk through the delegations in their order: the first role that
 * describes the target decides, and after a terminating delegation that matches, nobody else is asked.
 *
 *   targets ─┬─ A  (*.doc)            releases/a.tgz: asks targets, then B, then C
 *            └─ B  (releases/*) ─── C (releases/?.tgz)
 */
import { TrustError } from '../core/errors.ts'
import { hexDigest } from './hashes.ts'
import type { Delegation, RoleKeys, TargetFile } from './metadata-shapes.ts'
import { matchesPattern } from './path-pattern.ts'
import { mostRolesVisited } from './rules.ts'
import type { TrustWalk } from './trust-step.ts'
import type { TrustedRepository } from './trusted-repository.ts'

/**
 * @returns undefined when no role describes the target, or not within the first `mostRolesVisited`.
 * @throws TrustError when a role on the way is missing or refused: the search ends there (spec 5.6.7), because a role that is
 *   held back must not hand its targets to the next one.
 */
export function* findTarget(
  repository: Pick<TrustedRepository, 'root' | 'targets'>,
  path: string,
): TrustWalk<TargetFile | undefined> {
  const visited = new Set<string>()
  let pending: { readonly name: string; readonly role: RoleKeys }[] = [
    { name: 'targets', role: repository.root.roles.targets },
  ]
  for (let next = pending.pop(); next; next = pending.pop()) {
    if (visited.has(next.name)) continue
    if (visited.size >= mostRolesVisited) return undefined
    visited.add(next.name)

    const { targets, delegations } = yield* repository.targets(next.name, next.role)
    const found = targets.get(path)
    if (found) return found

    const granted = delegations.filter(delegation => grants(delegation, path))
    const last = granted.findIndex(({ terminating }) => terminating)
    if (last >= 0) pending = []
    // The stack's top is asked first.
    pending.push(...(last >= 0 ? granted.slice(0, last + 1) : granted).reverse())
  }
  return undefined
}

/** Whether a delegation trusts its role with `path`. One that names no paths at all trusts it with none. */
export function grants({ paths, pathHashPrefixes }: Delegation, path: string): boolean {
  if (paths) return paths.some(pattern => matchesPattern(pattern, path))
  const hash = hexDigest('sha256', Buffer.from(path, 'utf8'))!
  return pathHashPrefixes?.some(prefix => hash.startsWith(prefix)) ?? false
}

/** The delegation of the top-level targets role to `channel`. @throws TrustError `channel_unknown`. */
export function findDelegation(delegations: readonly Delegation[], channel: string): Delegation {
  const delegation = delegations.find(({ name }) => name === channel)
  if (delegation) return delegation
  throw new TrustError('channel_unknown', `the repository has no channel ${channel}`, { channel })
}
