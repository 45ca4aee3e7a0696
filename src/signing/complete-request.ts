/**
 * From a signed request to files for the readers: the thresholds are checked, snapshot and timestamp are signed around it, and our own client
 * has to accept the whole.
 */
import { PublishError } from '../core/errors.ts'
import { requireAccepted } from './client-check.ts'
import type { JsonObject } from './json.ts'
import { defaultLifetimes } from './lifetimes.ts'
import type { SignedFile } from './metadata.ts'
import type { MetadataFile, Repository } from './repository.ts'
import { describeFile, resign, type Signing, versioned } from './revise-repository.ts'
import { fileOf, missingSignatures, type SigningRequest, waitingFiles } from './signing-request.ts'

/**
 * @param before The repository; undefined for a new one.
 * @param signing The keyring needs the keys of snapshot and timestamp; others in it are not used.
 * @returns The files in the order in which they must become visible, the timestamp last.
 * @throws PublishError `signatures_missing`; `request_unusable` when the repository has moved on since it was made; `key_unusable`;
 *   `repository_refused`.
 */
export function completeRequest(
  before: Repository | undefined,
  request: SigningRequest,
  signing: Signing,
): MetadataFile[] {
  const waiting = waitingFiles(request)
  for (const { role, file } of waiting) requireNext(before, role, file)
  const missing = missingSignatures(rebased(before, request))
  if (missing.length > 0)
    throw new PublishError('signatures_missing', `not enough has been signed: ${missing.join('; ')}`)
  const root = request.next.root ?? before?.root
  const targets = request.next.targets ?? before?.targets
  if (!root || !targets) throw stale('it makes no whole repository')

  const { snapshot: snapshotMs, timestamp: timestampMs } = signing.lifetimes ?? defaultLifetimes
  const changed = waiting.filter(({ role }) => role !== 'root')
  // A role once listed stays listed (spec 5.5.5), so what is there is only added to.
  const meta = {
    ...(before?.snapshot.signed.meta as JsonObject | undefined),
    ...Object.fromEntries(changed.map(({ role, file }) => [`${role}.json`, describeFile(file)])),
  }
  const { roles } = root.body
  const snapshot = resign('snapshot', 'snapshot', before?.snapshot, { meta }, roles.snapshot, snapshotMs, signing)
  const listed = { 'snapshot.json': describeFile(snapshot) }
  const timestamp = resign(
    'timestamp',
    'timestamp',
    before?.timestamp,
    { meta: listed },
    roles.timestamp,
    timestampMs,
    signing,
  )
  const files = [
    ...changed.map(({ role, file }) => versioned(role, file)),
    versioned('snapshot', snapshot),
    // Where an online key is replaced, root and timestamp belong together: nothing stands between the two.
    ...(request.next.root ? [versioned('root', request.next.root)] : []),
    { name: 'timestamp.json', bytes: timestamp.bytes },
  ]
  const names = targets.body.delegations.map(({ name }) => name)
  requireAccepted(
    before ?? { root },
    files,
    before ? changed.map(({ role }) => role).filter(role => names.includes(role)) : names,
    signing.now,
  )
  return files
}

/** The thresholds are those of the repository on the disk, not of what the request says is published. */
function rebased(before: Repository | undefined, request: SigningRequest): SigningRequest {
  if (!before) return { ...request, published: { channels: new Map() } }
  const { root, targets, channels } = before
  return { published: { root, targets, channels }, next: request.next }
}

/** Two requests made side by side: only the first can be published, since the second one does not know of it. */
function requireNext(
  before: Repository | undefined,
  role: string,
  file: SignedFile<{ readonly version: number }>,
): void {
  const inForce = before && fileOf(before, role)
  const expected = (inForce?.body.version ?? 0) + 1
  if (file.body.version === expected) return
  throw stale(`it asks for version ${file.body.version} of ${role}, and version ${expected} is next`)
}

function stale(detail: string): PublishError {
  return new PublishError('request_unusable', `the request does not fit the repository: ${detail}; make it anew`)
}
