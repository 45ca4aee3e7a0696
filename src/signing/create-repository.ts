/** A new repository: which keys sign for which role, and its first files. */
import { channelName } from '../core/schema.ts'
import { requireAccepted } from './client-check.ts'
import type { JsonObject } from './json.ts'
import { defaultLifetimes } from './lifetimes.ts'
import { type TopLevelRole, topLevelRoles } from './metadata.ts'
import { admitKey, type PublicKey } from './public-key.ts'
import type { MetadataFile } from './repository.ts'
import { resign, revise, type Signing, versioned } from './revise-repository.ts'

/** Who signs for a role. */
export interface RoleSetup {
  readonly keys: readonly PublicKey[]
  /** 1 to the number of keys. */
  readonly threshold: number
}

export interface RepositoryPlan {
  readonly roles: Readonly<Record<TopLevelRole, RoleSetup>>
  /** By name; each gets the delegation of `<name>/*`. May be empty: channels can be added later. */
  readonly channels: ReadonlyMap<string, RoleSetup>
}

/**
 * @returns The files in the order in which they must become visible, the timestamp last.
 * @throws PublishError `key_unusable` when the keyring cannot meet a threshold. TrustError `metadata_malformed` for a key that `admitKey`
 *   refuses. TypeError for a name or a threshold that cannot be.
 */
export function createRepository({ roles, channels }: RepositoryPlan, signing: Signing): MetadataFile[] {
  const { root: lifetime } = signing.lifetimes ?? defaultLifetimes
  const listed = topLevelRoles.map(name => [name, roleJson(roles[name])] as const)
  const keys = keyTableOf(topLevelRoles.map(name => roles[name]))
  const fields = { consistent_snapshot: true, keys, roles: Object.fromEntries(listed) }
  const rootKeys = { threshold: roles.root.threshold, keys: new Map(roles.root.keys.map(key => [key.id, key])) }
  const root = resign('root', 'root', undefined, fields, rootKeys, lifetime, signing)

  const delegations = [...channels].reduce((sum, [name, setup]) => withDelegation(sum, name, setup), noDelegations)
  const empty = new Map([...channels.keys()].map(name => [name, { targets: {} }]))
  const files = revise({ root }, { targets: { targets: {}, delegations }, channels: empty }, signing)
  requireAccepted({ root }, files, [...channels.keys()], signing.now)
  return [versioned('root', root), ...files]
}

const noDelegations: JsonObject = { keys: {}, roles: [] }

/** The `delegations` of a targets role and one more, at the end: in the search order, earlier channels come first. */
export function withDelegation(delegations: JsonObject | undefined, name: string, setup: RoleSetup): JsonObject {
  if (!channelName.safeParse(name).success) throw new TypeError(`no name for a channel: ${name}`)
  const { keys, roles } = (delegations ?? noDelegations) as { keys: JsonObject; roles: JsonObject[] }
  // Terminating: nobody else may speak for the paths of a channel.
  const role = { name, ...roleJson(setup), terminating: true, paths: [`${name}/*`] }
  return { ...delegations, keys: { ...keys, ...keyTableOf([setup]) }, roles: [...roles, role] }
}

function roleJson({ keys, threshold }: RoleSetup) {
  if (!Number.isInteger(threshold) || threshold < 1 || threshold > new Set(keys.map(key => key.identity)).size) {
    throw new TypeError(`a threshold of ${threshold} cannot be met by ${keys.length} keys`)
  }
  keys.forEach(admitKey)
  return { keyids: keys.map(key => key.id), threshold }
}

function keyTableOf(setups: readonly RoleSetup[]): JsonObject {
  return Object.fromEntries(setups.flatMap(({ keys }) => keys.map(key => [key.id, key.json])))
}
