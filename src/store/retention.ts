/**
 * Which artifacts go when space is needed. Pure. First those whose seeding time is over, the longest over first; then the least recently
 * used. What is in use never goes; callers leave it out of `idle`.
 */
import type { Sha256 } from '../core/digest.ts'

export interface IdleArtifact {
  readonly sha256: Sha256
  /** What it counts against the quota: its whole length, also when it is half fetched. */
  readonly bytes: number
  /** What its removal gives back to the disk. */
  readonly allocated: number
  /** Serve it until then, ms since 1970; 0 when nobody said. */
  readonly seedUntil: number
  /** Last opened or closed, ms since 1970. */
  readonly usedAt: number
}

/** Bytes that are missing, zero or less when none are. */
export interface Shortage {
  readonly quota: number
  readonly disk: number
}

/** @returns What to remove, no more than it takes; or what cannot be met even by removing all, and then nothing need be removed. */
export function chooseForRoom<T extends IdleArtifact>(idle: readonly T[], now: number, short: Shortage) {
  const chosen: T[] = []
  let { quota, disk } = short
  for (const artifact of removalOrder(idle, now)) {
    if (quota <= 0 && disk <= 0) break
    chosen.push(artifact)
    quota -= artifact.bytes
    disk -= artifact.allocated
  }
  if (quota > 0) return { unmet: 'quota' as const }
  if (disk > 0) return { unmet: 'disk' as const }
  return { remove: chosen }
}

/** @returns All whose time is over, and as many more as the quota demands. */
export function chooseForSweep<T extends IdleArtifact>(idle: readonly T[], now: number, overQuota: number): T[] {
  const expired = idle.filter(artifact => artifact.seedUntil <= now)
  const still = overQuota - expired.reduce((sum, artifact) => sum + artifact.bytes, 0)
  const others = idle.filter(artifact => artifact.seedUntil > now)
  const chosen: T[] = []
  let freed = 0
  for (const artifact of removalOrder(others, now)) {
    if (freed >= still) break
    chosen.push(artifact)
    freed += artifact.bytes
  }
  return [...expired, ...chosen]
}

function removalOrder<T extends IdleArtifact>(idle: readonly T[], now: number): T[] {
  const expired = (artifact: T) => artifact.seedUntil <= now
  return idle.toSorted((a, b) => {
    if (expired(a) !== expired(b)) return expired(a) ? -1 : 1
    return expired(a) ? a.seedUntil - b.seedUntil : a.usedAt - b.usedAt
  })
}
