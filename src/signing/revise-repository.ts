/**
 * Signing a repository anew: some targets roles change, and what stands above them follows.
 *
 *   channel clamav changes     8.clamav.json   10.snapshot.json   timestamp.json
 *   timestamp renewed                                             timestamp.json
 *
 * Versions grow by one. The files come in the order in which they must become visible: a reader that sees the timestamp must be able to
 * fetch all that it leads to. Pure: the operations that use this are in create-repository.ts and publish-operations.ts.
 */
import { sha256 } from '../core/digest.ts'
import type { JsonObject } from './json.ts'
import { defaultLifetimes, type Lifetimes } from './lifetimes.ts'
import { type BodyOf, type Kind, readMetadata, type SignedFile, topLevelRoles } from './metadata.ts'
import type { RoleKeys } from './metadata-shapes.ts'
import type { PrivateKey } from './private-key.ts'
import type { MetadataFile, Repository } from './repository.ts'
import { formatTime, signersFor, signMetadata, specVersion } from './sign-metadata.ts'

/** What signing needs besides the repository. */
export interface Signing {
  /** Keys at hand, for whatever roles. Those that a role does not list are not used for it. */
  readonly keyring: readonly PrivateKey[]
  /** ms since 1970. */
  readonly now: number
  /** Default: `defaultLifetimes`. */
  readonly lifetimes?: Lifetimes
}

/** New fields of roles, without what every file has (`_type`, `version`, `expires`). Fields that are not named stay as they were. */
export interface Revision {
  readonly targets?: JsonObject | undefined
  /** By name; a channel must be delegated to by the targets role, the new one if it changes too. */
  readonly channels?: ReadonlyMap<string, JsonObject>
  /** Sign only a new timestamp, for the snapshot there is. */
  readonly timestampOnly?: boolean
}

/** A repository of which, at first, only the root exists. */
export type Foundation = Pick<Repository, 'root'> & Partial<Repository>

/** @throws PublishError `key_unusable` when the keyring has too few keys of a role that has to be signed. */
export function revise(before: Foundation, revision: Revision, signing: Signing): MetadataFile[] {
  const { roles } = before.root.body
  const { snapshot: snapshotMs, timestamp: timestampMs } = signing.lifetimes ?? defaultLifetimes
  const { targets, channels, files } = reviseTargetsRoles(before, revision, signing)

  let snapshot = before.snapshot
  if (!revision.timestampOnly || !snapshot) {
    const listed = [['targets', targets] as const, ...channels].map(([name, file]) => [
      `${name}.json`,
      describeFile(file),
    ])
    // A role once listed stays listed (spec 5.5.5), so what is there is only added to.
    const meta = { ...(snapshot?.signed.meta as JsonObject | undefined), ...Object.fromEntries(listed) }
    snapshot = resign('snapshot', 'snapshot', snapshot, { meta }, roles.snapshot, snapshotMs, signing)
    files.push(versioned('snapshot', snapshot))
  }
  const meta = { 'snapshot.json': describeFile(snapshot) }
  const { bytes } = resign('timestamp', 'timestamp', before.timestamp, { meta }, roles.timestamp, timestampMs, signing)
  return [...files, { name: 'timestamp.json', bytes }]
}

/** The channels and the top-level targets as they will be, and the new files among them. */
function reviseTargetsRoles(before: Foundation, revision: Revision, signing: Signing) {
  const { targets: targetsMs, channel: channelMs } = signing.lifetimes ?? defaultLifetimes
  const files: MetadataFile[] = []
  const targets = revision.targets
    ? resign('targets', 'targets', before.targets, revision.targets, before.root.body.roles.targets, targetsMs, signing)
    : before.targets!
  const channels = new Map(before.channels)
  for (const [name, fields] of revision.channels ?? []) {
    const { role } = targets.body.delegations.find(delegation => delegation.name === name)!
    const channel = resign('targets', name, channels.get(name), fields, role, channelMs, signing)
    channels.set(name, channel)
    files.push(versioned(name, channel))
  }
  if (revision.targets) files.push(versioned('targets', targets))
  return { targets, channels, files }
}

/** The next version of one file, signed and read back as everybody will read it. */
export function resign<K extends Kind>(
  kind: K,
  name: string,
  before: SignedFile<BodyOf<K>> | undefined,
  fields: JsonObject,
  role: RoleKeys,
  lifetimeMs: number,
  { keyring, now }: Signing,
): SignedFile<BodyOf<K>> {
  const signed: JsonObject = {
    ...before?.signed,
    _type: kind,
    spec_version: specVersion,
    version: (before?.body.version ?? 0) + 1,
    expires: formatTime(now + lifetimeMs),
    ...fields,
  }
  return readMetadata(kind, name, signMetadata(signed, signersFor(name, role, keyring)))
}

export function versioned(name: string, { bytes, body }: SignedFile<{ readonly version: number }>): MetadataFile {
  return { name: `${body.version}.${name}.json`, bytes }
}

export function describeFile({ bytes, body }: SignedFile<{ readonly version: number }>): JsonObject {
  return { version: body.version, length: bytes.length, hashes: { sha256: sha256(bytes) } }
}

/** Who may sign for `name` now: a channel by its delegation, the others by the root. Undefined for a channel that does not exist. */
export function roleOf({ root, targets }: Repository, name: string): RoleKeys | undefined {
  const topLevel = topLevelRoles.find(role => role === name)
  if (topLevel) return root.body.roles[topLevel]
  return targets.body.delegations.find(delegation => delegation.name === name)?.role
}
