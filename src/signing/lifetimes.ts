/** How long signatures are good for: the longest that a hostile origin can hold back news, role by role. */
import { day } from '../core/units.ts'
import type { Repository } from './repository.ts'

/** Milliseconds from signing to expiry, by kind of role. */
export interface Lifetimes {
  readonly root: number
  readonly targets: number
  readonly channel: number
  readonly snapshot: number
  readonly timestamp: number
}

export const defaultLifetimes: Lifetimes = {
  root: 365 * day,
  targets: 90 * day,
  channel: 90 * day,
  snapshot: 7 * day,
  timestamp: 1 * day,
}

/**
 * Roles below the root with less than half of their life left, in the order of the list: channels, targets, snapshot, timestamp. The other
 * half is the time in which signing may fail and be mended before a node notices.
 *
 * @param now ms since 1970.
 */
export function rolesDue(repository: Repository, now: number, lifetimes: Lifetimes = defaultLifetimes): string[] {
  const { channels, targets, snapshot, timestamp } = repository
  const roles = [
    ...[...channels].map(([name, { body }]) => [name, body.expires, lifetimes.channel] as const),
    ['targets', targets.body.expires, lifetimes.targets] as const,
    ['snapshot', snapshot.body.expires, lifetimes.snapshot] as const,
    ['timestamp', timestamp.body.expires, lifetimes.timestamp] as const,
  ]
  return roles.filter(([, expires, lifetime]) => expires - now < lifetime / 2).map(([name]) => name)
}
