/**
 * Making a signing request: what shall be in force next. Every change takes the file of the role as it is in force, with the next version,
 * and throws away the signatures that it had: they were for something else.
 *
 *   keys of root, targets, snapshot, timestamp      change the root
 *   keys of a channel                               change the targets role, which delegates to it
 *
 * Where a change takes away a key whose signature a file in force leans on, that file comes along, to be signed by the keys that are left.
 */
import { PublishError } from '../core/errors.ts'
import { type Release, releaseCustom, targetPath } from '../core/release.ts'
import { channelName } from '../core/schema.ts'
import type { JsonObject } from './json.ts'
import { defaultLifetimes, type Lifetimes } from './lifetimes.ts'
import { topLevelRoles } from './metadata.ts'
import { admitKey, type PublicKey } from './public-key.ts'
import type { Repository } from './repository.ts'
import { formatTime, specVersion } from './sign-metadata.ts'
import { fileOf, type RoleFiles, type SigningRequest, unsignedFile, waitingFiles } from './signing-request.ts'
import { votersOf } from './threshold.ts'

export interface Dates {
  /** ms since 1970. */
  readonly now: number
  /** Default: `defaultLifetimes`. */
  readonly lifetimes?: Lifetimes | undefined
}

export interface KeyChange {
  readonly add?: readonly PublicKey[]
  /** Key ids. */
  readonly remove?: readonly string[]
  readonly threshold?: number | undefined
}

type RoleJson = { readonly keyids: readonly string[]; readonly threshold: number }
type KeysJson = Readonly<Record<string, JsonObject>>

/** For a repository that is not there yet: a root without keys, and channels without keys. */
export function requestForNew(channels: readonly string[], dates: Dates): SigningRequest {
  const nobody = { keyids: [], threshold: 1 }
  const roles = Object.fromEntries(topLevelRoles.map(name => [name, nobody]))
  const root = fresh('root', 'root', { consistent_snapshot: true, keys: {}, roles }, dates)
  const targets = fresh('targets', 'targets', { targets: {}, delegations: { keys: {}, roles: [] } }, dates)
  const empty: SigningRequest = { published: { channels: new Map() }, next: { root, targets, channels: new Map() } }
  return channels.reduce((request, channel) => withChannel(request, channel, dates), empty)
}

/** @param renew Roles that are signed again as they are, to last longer. */
export function requestFor(repository: Repository, renew: readonly string[], dates: Dates): SigningRequest {
  const { root, targets, channels } = repository
  const request: SigningRequest = { published: { root, targets, channels }, next: { channels: new Map() } }
  return renew.reduce((sum, role) => withFile(sum, role, {}, dates), request)
}

/** A request for a channel's next manifest alone. */
export function requestReleases(
  repository: Repository,
  channel: string,
  releases: readonly Release[],
  dates: Dates,
): SigningRequest {
  const describe = (release: Release) => ({
    length: release.full.length,
    hashes: { sha256: release.full.sha256 },
    custom: { ...releaseCustom(release) } as JsonObject,
  })
  const targets = Object.fromEntries(releases.map(each => [targetPath(channel, each.sequence), describe(each)]))
  return withFile(requestFor(repository, [], dates), channel, { targets }, dates)
}

/**
 * Change who may sign for a role. A channel that does not exist is made.
 *
 * @throws PublishError `request_unusable` for a role, a key or a threshold that cannot be. TrustError `metadata_malformed` for a key that
 *   `admitKey` refuses.
 */
export function changeKeys(request: SigningRequest, name: string, change: KeyChange, dates: Dates): SigningRequest {
  change.add?.forEach(admitKey)
  if (topLevelRoles.some(role => role === name)) {
    const root = inForce(request, 'root')
    const roles = root.roles as Readonly<Record<string, RoleJson>>
    const next = { ...roles, [name]: changed(name, roles[name]!, change) }
    const keys = keyTable(root.keys as KeysJson, Object.values(next), change.add)
    return withResigned(withFile(request, 'root', { keys, roles: next as unknown as JsonObject }, dates), dates)
  }
  const known = hasChannel(request, name) ? request : withChannel(request, name, dates)
  const { keys, roles, ...rest } = inForce(known, 'targets').delegations as unknown as {
    keys: KeysJson
    roles: (RoleJson & { name: string })[]
  }
  const next = roles.map(role => (role.name === name ? { ...role, ...changed(name, role, change) } : role))
  const delegations = { ...rest, keys: keyTable(keys, next, change.add), roles: next } as unknown as JsonObject
  return withResigned(withFile(known, 'targets', { delegations }, dates), dates)
}

function changed(
  name: string,
  role: RoleJson,
  { add = [], remove = [], threshold = role.threshold }: KeyChange,
): RoleJson {
  const stranger = remove.find(id => !role.keyids.includes(id))
  if (stranger !== undefined) throw unusable(`${name} has no key ${stranger}`)
  const keyids = [...new Set([...role.keyids.filter(id => !remove.includes(id)), ...add.map(({ id }) => id)])]
  if (threshold < 1 || threshold > keyids.length)
    throw unusable(`${name} would need ${threshold} of ${keyids.length} keys; add keys first, or give --threshold`)
  return { keyids, threshold }
}

/** Only keys that a role lists; what nobody lists any more is not carried on. */
function keyTable(before: KeysJson, roles: readonly RoleJson[], added: readonly PublicKey[] = []): JsonObject {
  const known = { ...before, ...Object.fromEntries(added.map(key => [key.id, key.json])) }
  return Object.fromEntries([...new Set(roles.flatMap(({ keyids }) => keyids))].map(id => [id, known[id]!]))
}

function hasChannel({ published, next }: SigningRequest, name: string): boolean {
  return (next.targets ?? published.targets)?.body.delegations.some(each => each.name === name) ?? false
}

function withChannel(request: SigningRequest, name: string, dates: Dates): SigningRequest {
  if (!channelName.safeParse(name).success)
    throw unusable(`no role and no channel can be called ${JSON.stringify(name.slice(0, 80))}`)
  const { keys, roles } = inForce(request, 'targets').delegations as { keys: JsonObject; roles: JsonObject[] }
  // Terminating: nobody else may speak for the paths of a channel.
  const role = { name, keyids: [], threshold: 1, terminating: true, paths: [`${name}/*`] }
  const { next, ...rest } = withFile(request, 'targets', { delegations: { keys, roles: [...roles, role] } }, dates)
  const channels = new Map(next.channels).set(name, fresh('targets', name, { targets: {} }, dates))
  return { ...rest, next: { ...next, channels } }
}

/** The files in force that the keys of tomorrow have not signed enough come along. */
function withResigned(request: SigningRequest, dates: Dates): SigningRequest {
  const { published } = request
  const all: RoleFiles = { ...published, ...(request.next.root && { root: request.next.root }) }
  const everything = {
    published,
    next: { ...all, channels: new Map([...published.channels, ...request.next.channels]) },
  }
  const delegations = {
    ...everything,
    next: { ...everything.next, ...(request.next.targets && { targets: request.next.targets }) },
  }
  return waitingFiles(delegations)
    .filter(({ role }) => role !== 'root' && fileOf(published, role) && !fileOf(request.next, role))
    .filter(({ file, authorities }) => authorities.some(({ role }) => votersOf(file, role).length < role.threshold))
    .reduce((sum, { role }) => withFile(sum, role, {}, dates), request)
}

/** The request with the next version of a role: as it is in the request, else as it is in force, but for `fields`. */
function withFile(request: SigningRequest, role: string, fields: JsonObject, dates: Dates): SigningRequest {
  const { published, next } = request
  const before = fileOf(published, role)
  const signed: JsonObject = {
    ...(fileOf(next, role) ?? before)?.signed,
    version: (before?.body.version ?? 0) + 1,
    expires: formatTime(dates.now + lifetimeOf(role, dates)),
    ...fields,
  }
  if (role === 'root') return { published, next: { ...next, root: unsignedFile('root', role, signed) } }
  const file = unsignedFile('targets', role, signed)
  if (role === 'targets') return { published, next: { ...next, targets: file } }
  if (!hasChannel(request, role)) throw unusable(`there is no channel ${role}`)
  return { published, next: { ...next, channels: new Map(next.channels).set(role, file) } }
}

function fresh<K extends 'root' | 'targets'>(kind: K, role: string, fields: JsonObject, dates: Dates) {
  const expires = formatTime(dates.now + lifetimeOf(role, dates))
  return unsignedFile(kind, role, { _type: kind, spec_version: specVersion, version: 1, expires, ...fields })
}

function lifetimeOf(role: string, { lifetimes = defaultLifetimes }: Dates): number {
  return role === 'root' || role === 'targets' ? lifetimes[role] : lifetimes.channel
}

function inForce({ published, next }: SigningRequest, role: 'root' | 'targets'): JsonObject {
  const file = fileOf(next, role) ?? fileOf(published, role)
  if (file) return file.signed
  throw unusable(`it holds no ${role}`)
}

function unusable(detail: string): PublishError {
  return new PublishError('request_unusable', `this cannot be requested: ${detail}`)
}
