/**
 * Spec 5.2 and 5.3: from the trusted root to the newest, one version at a time, each signed by a threshold of the one before and of
 * itself. Each is kept before the next is asked for, so that a chain cut anywhere goes on from there.
 */
import { TrustError } from '../core/errors.ts'
import type { TrustFloor, TrustState } from '../core/trust-state.ts'
import { fetchOptional, requireVersion } from './file-checks.ts'
import { type Root, readMetadata, type SignedFile } from './metadata.ts'
import type { RoleKeys } from './metadata-shapes.ts'
import { limitBytes, mostNewRoots, ourRules, type Rules } from './rules.ts'
import type { Session } from './session.ts'
import { requireThreshold } from './threshold.ts'
import { bottom, forgetVersionsBelowRoot, raise, requireNotBelow } from './trust-floor.ts'
import type { TrustWalk } from './trust-step.ts'

const file = 'root.json'

/**
 * The first state of a node, from a root that an administrator pinned. It may be expired and old: the chain goes on from it.
 *
 * @param floor What an earlier state of this node left, so that pinning again (after a loss) does not allow an older repository.
 * @throws TrustError `metadata_malformed`, or `metadata_unsigned` when the root does not even sign itself.
 */
export function pinRoot(bytes: Uint8Array, floor: TrustFloor = bottom): TrustState {
  const root = readTrustedRoot(bytes, ourRules)
  return { files: new Map([[file, bytes]]), floor: raise(floor, rootVersion(root.body)) }
}

/** @throws TrustError `metadata_malformed` | `_unsigned` | `_mismatch` | `_rollback` | `_too_large`. Whether the last root has expired is
 *   for the caller: spec 5.3.10 asks only when the chain has ended. */
export function* refreshRoot(session: Session, trusted: Root): TrustWalk<Root> {
  let root = trusted
  for (let count = 0; count < mostNewRoots; count++) {
    const next = yield* fetchNextRoot(session, root)
    if (!next) break
    yield* keepRoot(session, root, next)
    root = next.body
  }
  // A chain that ends below what this node has trusted is a replay of an old repository to a node that was pinned again.
  requireNotBelow(session.floor, 'root', root.version, file)
  return root
}

/** Spec 5.2. @throws TrustError `trust_damaged` when the state has no good root. */
export function loadRoot(session: Session): Root {
  const bytes = session.state.files.get(file)
  if (!bytes) throw new TrustError('trust_damaged', 'this node has no trusted root; pin it again')
  try {
    return readTrustedRoot(bytes, session.rules).body
  } catch (cause) {
    if (!(cause instanceof TrustError)) throw cause
    throw new TrustError('trust_damaged', `the trusted root on this node is not intact: ${cause.message}`, { cause })
  }
}

function* fetchNextRoot(session: Session, root: Root): TrustWalk<SignedFile<Root> | undefined> {
  const name = `${root.version + 1}.${file}`
  const bytes = yield* fetchOptional(name, limitBytes.root)
  if (!bytes) return undefined
  const next = session.verify('root', name, bytes, root.roles.root)
  requireThreshold(next, next.body.roles.root, name)
  requireNotBelow(raise(bottom, [['root', root.version + 1]]), 'root', next.body.version, name)
  requireVersion(name, next.body.version, { version: root.version + 1 })
  return next
}

/** Spec 5.3.7, 5.3.8 and 5.3.11. */
function* keepRoot(session: Session, root: Root, next: SignedFile<Root>): TrustWalk<void> {
  const floor = raise(session.floor, rootVersion(next.body))
  const timestampRotated = tookKeyAway(root.roles.timestamp, next.body.roles.timestamp)
  const snapshotRotated = tookKeyAway(root.roles.snapshot, next.body.roles.snapshot)
  // Only a root that this node sees for the first time may forget versions. Else losing the files and walking the old chain again would.
  const isNews = next.body.version > (session.floor.versions.get('root') ?? 0)
  if (!isNews || !(timestampRotated || snapshotRotated)) return yield* session.keep(file, next.bytes, floor)
  const files = new Map(session.state.files).set(file, next.bytes)
  files.delete('timestamp.json')
  // Where only the timestamp's key was rotated, the snapshot is trusted no longer either, but its bytes may serve again if the new
  // timestamp lists them.
  if (snapshotRotated) files.delete('snapshot.json')
  yield* session.revise({ files, floor: forgetVersionsBelowRoot(floor) })
}

/**
 * "Rotated" in the sense of spec 5.3.11. A key that is merely added recovers nothing, and forgetting then would let whoever sits on the line
 * replay what the old keys, still listed, have signed.
 */
function tookKeyAway(before: RoleKeys, after: RoleKeys): boolean {
  const left = new Set([...after.keys.values()].map(key => key.identity))
  return [...before.keys.values()].some(key => !left.has(key.identity))
}

function readTrustedRoot(bytes: Uint8Array, rules: Rules): SignedFile<Root> {
  const root = readMetadata('root', file, bytes, rules)
  requireThreshold(root, root.body.roles.root, file)
  return root
}

function rootVersion({ version }: Root): [string, number][] {
  return [['root', version]]
}
