/**
 * A repository after a refresh, and spec 5.6: targets roles, the top-level one and the delegated ones, loaded when they are needed, each
 * verified against the role that delegates to it.
 */
import { TrustError } from '../core/errors.ts'
import type { TrustState } from '../core/trust-state.ts'
import { describedLimit, fetchRequired, requireDescribed, requireVersion } from './file-checks.ts'
import type { Root, SignedFile, Snapshot, Targets } from './metadata.ts'
import type { FileDescription, RoleKeys } from './metadata-shapes.ts'
import { honourTrustedFiles, refreshSnapshot, refreshTimestamp } from './online-roles.ts'
import { loadRoot, refreshRoot } from './root-chain.ts'
import { limitBytes, ourRules, type Rules } from './rules.ts'
import { Session, unlessRefused } from './session.ts'
import { requireThreshold } from './threshold.ts'
import { raise } from './trust-floor.ts'
import type { TrustWalk } from './trust-step.ts'

/**
 * Spec 5.1 to 5.6.6: the newest root, timestamp, snapshot and top-level targets.
 *
 * @param now The machine's clock at the start, ms since 1970; time stands still for the whole refresh.
 * @throws TrustError; every state kept before stays good, and the next refresh goes on from the last one.
 */
export function* refreshRepository(
  state: TrustState,
  { now, rules = ourRules }: { readonly now: number; readonly rules?: Rules },
): TrustWalk<TrustedRepository> {
  const session = new Session(state, now, rules)
  const trusted = loadRoot(session)
  honourTrustedFiles(session, trusted)
  const root = yield* refreshRoot(session, trusted)
  const timestamp = yield* refreshTimestamp(session, root)
  const snapshot = yield* refreshSnapshot(session, root, timestamp)
  const repository = new TrustedRepository(session, root, snapshot)
  yield* repository.targets('targets', root.roles.targets)
  return repository
}

export class TrustedRepository {
  readonly root: Root
  readonly #session: Session
  readonly #snapshot: Snapshot
  /** Targets roles verified in this refresh, by name. The snapshot fixes their bytes, so they are read once. */
  readonly #loaded = new Map<string, SignedFile<Targets>>()

  constructor(session: Session, root: Root, snapshot: Snapshot) {
    this.root = root
    this.#session = session
    this.#snapshot = snapshot
  }

  /** The last state kept, for the next refresh. */
  get state(): TrustState {
    return this.#session.state
  }

  /**
   * The targets role `name` as `delegator` trusts it. Verified for every delegator anew: two roles may delegate to one name, with
   * different keys, and what one of them accepts says nothing to the other.
   *
   * @throws TrustError `metadata_missing` | `_too_large` | `_mismatch` | `_malformed` | `_unsigned` | `_expired`, `clock_rollback`.
   */
  *targets(name: string, delegator: RoleKeys): TrustWalk<Targets> {
    const loaded = this.#loaded.get(name)
    if (loaded) requireThreshold(loaded, delegator, name)
    const file = loaded ?? this.#stored(name, delegator) ?? (yield* this.#fetch(name, delegator))
    this.#loaded.set(name, file)
    return file.body
  }

  /** The file of an earlier refresh, if it is the very one that the snapshot lists now. */
  #stored(name: string, delegator: RoleKeys): SignedFile<Targets> | undefined {
    const bytes = this.#session.state.files.get(fileName(name))
    return bytes && unlessRefused(() => this.#verify(name, fileName(name), bytes, delegator))
  }

  *#fetch(name: string, delegator: RoleKeys): TrustWalk<SignedFile<Targets>> {
    const description = this.#describe(name)
    const path = this.root.consistentSnapshot ? `${description.version}.${fileName(name)}` : fileName(name)
    const bytes = yield* fetchRequired(path, describedLimit(path, description, limitBytes.targets))
    const file = this.#verify(name, path, bytes, delegator)
    yield* this.#session.keep(fileName(name), bytes, raise(this.#session.floor, [[name, file.body.version]]))
    return file
  }

  /** Spec 5.6.2 to 5.6.5. No rollback check of its own: the version is the snapshot's, and that was checked. */
  #verify(name: string, path: string, bytes: Uint8Array, delegator: RoleKeys): SignedFile<Targets> {
    const description = this.#describe(name)
    requireDescribed(path, bytes, description)
    const file = this.#session.verify('targets', path, bytes, delegator)
    requireVersion(path, file.body.version, description)
    this.#session.requireUnexpired(path, file.body.expires)
    return file
  }

  #describe(name: string): FileDescription {
    const description = this.#snapshot.meta.get(name)
    if (description) return description
    throw new TrustError('metadata_mismatch', `the snapshot does not list the delegated role ${name}`, { name })
  }
}

/** A role's file. Percent-encoded, so that no role name (our own rules allow no such names) reaches out of a folder. */
function fileName(role: string): string {
  return `${encodeURIComponent(role)}.json`
}
