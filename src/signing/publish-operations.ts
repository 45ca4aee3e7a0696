/**
 * What an operator does with a repository that exists: add a channel, sign its releases, renew what is about to expire. Each returns the new
 * files in the order in which they must become visible, after our own client has accepted them.
 */
import { type Release, releaseCustom, targetPath } from '../core/release.ts'
import { requireAccepted } from './client-check.ts'
import { type RoleSetup, withDelegation } from './create-repository.ts'
import type { JsonObject } from './json.ts'
import { rolesDue } from './lifetimes.ts'
import type { MetadataFile, Repository } from './repository.ts'
import { type Revision, revise, roleOf, type Signing } from './revise-repository.ts'

/**
 * @throws TypeError when the channel exists, or its name cannot be. PublishError `key_unusable` (the targets, snapshot, timestamp and the
 *   channel's own keys must be at hand) | `repository_refused`. TrustError `metadata_malformed` for a key that `admitKey` refuses.
 */
export function addChannel(repository: Repository, name: string, setup: RoleSetup, signing: Signing): MetadataFile[] {
  if (repository.channels.has(name)) throw new TypeError(`the channel ${name} exists`)
  const delegations = withDelegation(repository.targets.signed.delegations as JsonObject | undefined, name, setup)
  const revision = { targets: { delegations }, channels: new Map([[name, { targets: {} }]]) }
  return publish(repository, revision, [name], signing)
}

/**
 * Make `releases` the whole list of a channel: those that are not named are no longer offered. The top-level targets role is renewed with
 * it when it is due and its keys are at hand.
 *
 * @throws TypeError when the channel does not exist, or a release is of another channel or there twice.
 *   PublishError `key_unusable` | `repository_refused`.
 */
export function signReleases(
  repository: Repository,
  channel: string,
  releases: readonly Release[],
  signing: Signing,
): MetadataFile[] {
  if (!repository.channels.has(channel)) throw new TypeError(`there is no channel ${channel}`)
  const targets = Object.fromEntries(
    releases.map(release => [targetPath(channel, release.sequence), describe(release)]),
  )
  if (Object.keys(targets).length < releases.length) throw new TypeError('a release is there twice')
  if (releases.some(release => release.channel !== channel)) throw new TypeError(`a release is not of ${channel}`)
  const due = rolesDue(repository, signing.now, signing.lifetimes).includes('targets')
  const renewed = due && canSign(repository, 'targets', signing) ? {} : undefined
  return publish(repository, { targets: renewed, channels: new Map([[channel, { targets }]]) }, [channel], signing)
}

/**
 * Sign roles again as they are, with a new version and expiry.
 *
 * @param roles `timestamp`, `snapshot`, `targets` or channels; what stands above them is signed too. See `rolesDue`. None: no files.
 * @throws TypeError for another name. PublishError `key_unusable` | `repository_refused`.
 */
export function renew(repository: Repository, roles: readonly string[], signing: Signing): MetadataFile[] {
  const known = ['timestamp', 'snapshot', 'targets', ...repository.channels.keys()]
  const stranger = roles.find(role => !known.includes(role))
  if (stranger !== undefined) throw new TypeError(`cannot renew ${stranger}`)
  if (roles.length === 0) return []
  const channels = roles.filter(role => repository.channels.has(role))
  const revision = {
    targets: roles.includes('targets') ? {} : undefined,
    channels: new Map(channels.map(name => [name, {}])),
    timestampOnly: roles.every(role => role === 'timestamp'),
  }
  return publish(repository, revision, channels, signing)
}

/** Whether the keys at hand meet the threshold of `role`. */
export function canSign(repository: Repository, role: string, { keyring }: Pick<Signing, 'keyring'>): boolean {
  const keys = roleOf(repository, role)
  if (!keys) return false
  return new Set(keyring.filter(key => keys.keys.has(key.public.id)).map(key => key.public.id)).size >= keys.threshold
}

function publish(
  repository: Repository,
  revision: Revision,
  channels: readonly string[],
  signing: Signing,
): MetadataFile[] {
  const files = revise(repository, revision, signing)
  requireAccepted(repository, files, channels, signing.now)
  return files
}

function describe(release: Release): JsonObject {
  const { length, sha256 } = release.full
  return { length, hashes: { sha256 }, custom: { ...releaseCustom(release) } as JsonObject }
}
