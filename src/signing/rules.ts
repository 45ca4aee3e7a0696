/**
 * Limits of everything that is fetched or read, and the extra strictness that our own repositories live under.
 *
 * `ourRules` is what a node uses. `tufRules` is for the public conformance suite, whose repositories use names and hashes that ours never
 * do: it relaxes our additions, never the specification.
 */
import { day, KiB, MiB } from '../core/units.ts'

export const limitBytes = {
  root: 512 * KiB,
  timestamp: 16 * KiB,
  snapshot: 2 * MiB,
  /** The top-level targets role, and each delegated one. */
  targets: 8 * MiB,
} as const

/** Spec 5.3.3, its number Y: new roots in one refresh. The next refresh goes on from there. */
export const mostNewRoots = 1024
/** Spec 5.6.7.1: roles that one search may visit. */
export const mostRolesVisited = 32
/** Counted before the first one is verified: verifying costs milliseconds each. */
export const mostSignatures = 64
export const mostKeys = 256
export const mostDelegations = 1024
export const mostTargets = 65_536

/**
 * How far this machine's clock may stand behind the time it has already believed before "nothing new" is no longer believed either.
 * The life of a timestamp: within it, expiry still does its work, and a clock that ran ahead and was set right is no alarm.
 */
export const clockToleranceMs = 1 * day

export interface Rules {
  /** Of delegated roles, which are file names too. */
  readonly roleName: RegExp
  readonly targetPath: RegExp
  readonly pathPattern: RegExp
  /** Every target has a SHA-256 and no other hash; else any will do. */
  readonly sha256OnTargets: boolean
  /** The root must switch consistent snapshots on. */
  readonly consistentSnapshots: boolean
}

const segment = '(?!\\.{1,2}(?:/|$))[A-Za-z0-9._-]+'
const patternSegment = '(?!\\.{1,2}(?:/|$))[A-Za-z0-9._*?-]+'

export const ourRules: Rules = {
  roleName: /^[a-z][a-z0-9-]{0,63}$/,
  targetPath: new RegExp(`^(?=.{1,1024}$)${segment}(?:/${segment})*$`),
  pathPattern: new RegExp(`^(?=.{1,1024}$)${patternSegment}(?:/${patternSegment})*$`),
  sha256OnTargets: true,
  consistentSnapshots: true,
}

const anything = /^.{1,1024}$/su

export const tufRules: Rules = {
  roleName: anything,
  targetPath: anything,
  pathPattern: anything,
  sha256OnTargets: false,
  consistentSnapshots: false,
}
