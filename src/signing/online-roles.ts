/**
 * Spec 5.4 and 5.5: the timestamp says which snapshot is the newest, the snapshot says which version of every targets role belongs to it.
 * Together they stop rollback, freeze and mix-and-match.
 */
import { TrustError } from '../core/errors.ts'
import { describedLimit, fetchRequired, requireDescribed, requireVersion } from './file-checks.ts'
import type { Root, SignedFile, Snapshot, Timestamp } from './metadata.ts'
import { clockToleranceMs, limitBytes } from './rules.ts'
import { clockRollback, type Session, unlessRefused } from './session.ts'
import { raise, requireNotBelow } from './trust-floor.ts'
import type { TrustWalk } from './trust-step.ts'

/**
 * What the files on this node vouch for counts, even when the newest floor was lost. Before the root is refreshed: a new root may take
 * back a key that signed them, and then their versions with it.
 *
 * @param root The trusted root as stored.
 */
export function honourTrustedFiles(session: Session, root: Root): void {
  const { versions } = session.floor
  // Files that are older than the floor have nothing to add to it. They could even undo the recovery that a later root has made.
  if (root.version < (versions.get('root') ?? 0)) return
  // A root and no snapshot: a rotation has just made the versions start anew. The bytes that are left are no witness against that.
  const startedAnew = versions.has('root') && !versions.has('snapshot')
  const timestamp = session.trusted('timestamp', 'timestamp.json', root.roles.timestamp)
  const snapshot = session.trusted('snapshot', 'snapshot.json', root.roles.snapshot)
  if (timestamp) session.honour(timestampVersions(timestamp.body))
  if (snapshot && !startedAnew) session.honour(listedVersions(snapshot.body))
}

/** @throws TrustError `metadata_missing` | `_too_large` | `_malformed` | `_unsigned` | `_rollback` | `_expired`, `clock_rollback`. */
export function* refreshTimestamp(session: Session, root: Root): TrustWalk<Timestamp> {
  const name = 'timestamp.json'
  const trusted = session.trusted('timestamp', name, root.roles.timestamp)
  const bytes = yield* fetchRequired(name, limitBytes.timestamp)
  // Spec 5.3.10. Asked after the request, as the reference client does: an origin that cannot be reached is the better explanation.
  session.requireUnexpired('root.json', root.expires)
  const offered = session.verify('timestamp', name, bytes, root.roles.timestamp)
  for (const [role, version] of timestampVersions(offered.body)) requireNotBelow(session.floor, role, version, name)

  // Spec 5.4.3.1: an equal version brings no news, so the file that is trusted stays, byte for byte.
  const isNews = offered.body.version !== trusted?.body.version
  const current = isNews ? offered : trusted
  session.requireUnexpired(name, current.body.expires)
  if (!isNews) requireCredibleClock(session)
  // The clock is believed, and becomes the floor's, only here: beside a signature that says "not long ago". A clock that is
  // far ahead finds everything expired, and so never gets stuck in the floor.
  const floor = raise(session.floor, timestampVersions(current.body), session.clock)
  yield* session.keep(name, current.bytes, floor)
  return current.body
}

/**
 * While the clock stands far before a time already believed, expiry cannot show that the newest metadata is held back. New metadata
 * is welcome even then (it is signed, and judged by the later time); "nothing new" is not believed.
 *
 * @throws TrustError `clock_rollback`.
 */
function requireCredibleClock(session: Session): void {
  if (session.time - session.clock <= clockToleranceMs) return
  throw clockRollback(session, 'with such a clock nobody can tell whether the newest metadata is held back')
}

/** @throws TrustError as `refreshTimestamp`, and `metadata_mismatch`. */
export function* refreshSnapshot(session: Session, root: Root, timestamp: Timestamp): TrustWalk<Snapshot> {
  const name = 'snapshot.json'
  const description = timestamp.snapshot
  const trusted = session.trusted('snapshot', name, root.roles.snapshot)
  const isCurrent = (file: SignedFile<Snapshot>) => {
    requireDescribed(name, file.bytes, description)
    requireCurrent(session, name, file, timestamp)
    return true
  }
  if (trusted && unlessRefused(() => isCurrent(trusted))) return trusted.body
  const path = root.consistentSnapshot ? `${description.version}.${name}` : name
  const bytes = yield* fetchRequired(path, describedLimit(path, description, limitBytes.snapshot))
  requireDescribed(path, bytes, description)
  const snapshot = session.verify('snapshot', path, bytes, root.roles.snapshot)
  requireCurrent(session, path, snapshot, timestamp)
  yield* session.keep(name, bytes, raise(session.floor, listedVersions(snapshot.body)))
  return snapshot.body
}

/** Spec 5.5.4 to 5.5.6. */
function requireCurrent(session: Session, name: string, { body }: SignedFile<Snapshot>, timestamp: Timestamp): void {
  requireVersion(name, body.version, timestamp.snapshot)
  for (const role of session.floor.versions.keys()) {
    if (['root', 'timestamp', 'snapshot'].includes(role)) continue
    const listed = body.meta.get(role)
    if (!listed) {
      throw new TrustError('metadata_rollback', `${name} no longer lists ${role}, which this node has trusted`, {
        name,
        role,
      })
    }
    requireNotBelow(session.floor, role, listed.version, name)
  }
  session.requireUnexpired(name, body.expires)
}

function listedVersions({ meta }: Snapshot): [string, number][] {
  return [...meta].map(([role, { version }]) => [role, version])
}

function timestampVersions({ version, snapshot }: Timestamp): [string, number][] {
  return [
    ['timestamp', version],
    ['snapshot', snapshot.version],
  ]
}
