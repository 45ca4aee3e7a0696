/**
 * One refresh: a fixed time, the state as kept so far, and the checks that every file of metadata goes through on its way in.
 *
 * Two times. `clock` is what this machine says; `time` is what expiry is judged by: the later of the clock and the latest time that
 * this node has believed before. So a clock set back does not un-expire anything.
 */
import { TrustError } from '../core/errors.ts'
import type { TrustFloor, TrustState } from '../core/trust-state.ts'
import type { BodyOf, Kind, SignedFile } from './metadata.ts'
import { readMetadata } from './metadata.ts'
import type { RoleKeys } from './metadata-shapes.ts'
import { ourRules, type Rules } from './rules.ts'
import { requireThreshold } from './threshold.ts'
import { raise } from './trust-floor.ts'
import type { TrustWalk } from './trust-step.ts'

export class Session {
  readonly clock: number
  readonly time: number
  readonly rules: Rules
  #state: TrustState
  /** What `trusted` has found, by name: the walk asks for the same files in several places. */
  readonly #read = new Map<string, { bytes: Uint8Array; role: RoleKeys; file: SignedFile<unknown> | undefined }>()

  /** @param now The fixed start time of spec 5.1, ms since 1970. */
  constructor(state: TrustState, now: number, rules: Rules = ourRules) {
    this.#state = state
    this.clock = now
    this.time = Math.max(now, state.floor.time)
    this.rules = rules
  }

  /** As of the last file that was accepted. */
  get state(): TrustState {
    return this.#state
  }

  get floor(): TrustFloor {
    return this.#state.floor
  }

  /** Accept a verified file, and with it the versions it vouches for. */
  *keep(name: string, bytes: Uint8Array, floor: TrustFloor): TrustWalk<void> {
    this.#state = { files: new Map(this.#state.files).set(name, bytes), floor }
    yield { do: 'keep', state: this.#state }
  }

  /** A change without a new file: a raised floor, or files that are trusted no longer. */
  *revise(state: TrustState): TrustWalk<void> {
    this.#state = state
    yield { do: 'keep', state }
  }

  /** What a file already trusted vouches for counts even when the floor was lost. Not kept at once: the next `keep` carries it. */
  honour(versions: Iterable<readonly [string, number]>): void {
    this.#state = { files: this.#state.files, floor: raise(this.#state.floor, versions) }
  }

  /**
   * A file kept earlier, if it is still there, whole, and signed by `role`. Not when it is lost, torn or no longer trusted: then
   * the rules go on as if it had never been there, above the floor.
   */
  trusted<K extends Kind>(kind: K, name: string, role: RoleKeys): SignedFile<BodyOf<K>> | undefined {
    const bytes = this.#state.files.get(name)
    if (!bytes) return undefined
    const known = this.#read.get(name)
    if (known?.bytes === bytes && known.role === role) return known.file as SignedFile<BodyOf<K>> | undefined
    const file = unlessRefused(() => this.verify(kind, name, bytes, role))
    this.#read.set(name, { bytes, role, file })
    return file
  }

  /** Shape and signatures. @throws TrustError `metadata_malformed` | `metadata_unsigned`. */
  verify<K extends Kind>(kind: K, name: string, bytes: Uint8Array, role: RoleKeys): SignedFile<BodyOf<K>> {
    const file = readMetadata(kind, name, bytes, this.rules)
    requireThreshold(file, role, name)
    return file
  }

  /**
   * A freeze shows as expiry (spec 5.3.10, 5.4.4, 5.5.6, 5.6.5).
   *
   * @throws TrustError `metadata_expired`; `clock_rollback` when only this machine's clock, set back, says that it is not.
   */
  requireUnexpired(name: string, expires: number): void {
    if (expires > this.time) return
    const at = new Date(expires).toISOString()
    if (expires <= this.clock) {
      throw new TrustError(
        'metadata_expired',
        `${name} expired at ${at}; whoever answers holds back newer metadata, or has none`,
        {
          name,
          expires: at,
        },
      )
    }
    throw clockRollback(this, `${name}, which expired at ${at}, would count as valid again`)
  }
}

export function clockRollback({ clock, time }: Session, consequence: string): TrustError {
  const [now, believed] = [new Date(clock).toISOString(), new Date(time).toISOString()]
  return new TrustError(
    'clock_rollback',
    `the clock says ${now}, but it was ${believed} when this node last refreshed: ${consequence}`,
    { clock: now, believed },
  )
}

/** The value, or undefined when the rules refuse it; every other error is rethrown. */
export function unlessRefused<T>(check: () => T): T | undefined {
  try {
    return check()
  } catch (error) {
    if (error instanceof TrustError) return undefined
    throw error
  }
}
