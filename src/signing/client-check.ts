/**
 * The last step before anything is published: our own client, as it stands after the last publish, takes the new files. What it would
 * refuse is not published.
 */
import { PublishError, TrustError } from '../core/errors.ts'
import type { TrustState } from '../core/trust-state.ts'
import { refreshTrust, releasesOf } from './manifest.ts'
import type { MetadataFile, MetadataFiles, Repository } from './repository.ts'
import { runAgainst } from './repository.ts'
import { bottom } from './trust-floor.ts'

/**
 * @param before What nodes trust now; its root alone for a new repository.
 * @param channels Those that change. Another one that has expired must not keep these from being published.
 * @throws PublishError `repository_refused`.
 */
export function requireAccepted(
  before: Pick<Repository, 'root'> & Partial<Repository>,
  files: readonly MetadataFile[],
  channels: readonly string[],
  now: number,
): void {
  try {
    const { manifests } = runAgainst(overlay(before, files), refreshTrust(trustIn(before), { now, channels }))
    manifests.forEach(releasesOf)
  } catch (cause) {
    if (!(cause instanceof TrustError)) throw cause
    throw new PublishError('repository_refused', `nodes would refuse this: ${cause.message}`, { cause })
  }
}

/** The state of a node that has seen all of the old repository. Its floor is lost, which is the harder case: the files must do. */
function trustIn({
  root,
  timestamp,
  snapshot,
  targets,
  channels,
}: Pick<Repository, 'root'> & Partial<Repository>): TrustState {
  const files = { root, timestamp, snapshot, targets, ...Object.fromEntries(channels ?? []) }
  const present = Object.entries(files).flatMap(([role, file]) => (file ? [[`${role}.json`, file.bytes] as const] : []))
  return { files: new Map(present), floor: bottom }
}

/** The metadata folder as it will be. */
function overlay({ timestamp, snapshot }: Partial<Repository>, files: readonly MetadataFile[]): MetadataFiles {
  const folder = new Map<string, Uint8Array>()
  if (timestamp) folder.set('timestamp.json', timestamp.bytes)
  if (snapshot) folder.set(`${snapshot.body.version}.snapshot.json`, snapshot.bytes)
  for (const { name, bytes } of files) folder.set(name, bytes)
  return folder
}
