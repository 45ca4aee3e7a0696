/**
 * Which artifacts go when space is needed. Pure. First those whose seeding time is over, the longest over first; then the least recently
 * used. What is in use never goes; callers leave it out of `idle`.
 */
import type { Sha256 } from '../core/digest.ts'
import { day } from '../core/units.ts'

/** What nobody gave a time is mostly half fetched: after a restart the next cycle goes on with it, if it is not too long ago. */
const unclaimedMs = day

export interface IdleArtifact {
  readonly sha256: Sha256
  /** What it counts against the quota: its whole length, also when it is half fetched. */
  readonly bytes: number
  /** What its removal gives back to the disk. */
  readonly allocated: number
  /** Serve it until then, ms since 1970; 0 when nobody said: then it is over a day after its last use. */
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
  const expired = idle.filter(artifact => isOver(artifact, now))
  const still = overQuota - expired.reduce((sum, artifact) => sum + artifact.bytes, 0)
  const others = idle.filter(artifact => !isOver(artifact, now))
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
  return idle.toSorted((a, b) => {
    if (isOver(a, now) !== isOver(b, now)) return isOver(a, now) ? -1 : 1
    return isOver(a, now) ? endOf(a) - endOf(b) : a.usedAt - b.usedAt
  })
}

function isOver(artifact: IdleArtifact, now: number): boolean {
  return endOf(artifact) <= now
}

function endOf({ seedUntil, usedAt }: IdleArtifact): number {
  return seedUntil > 0 ? seedUntil : usedAt + unclaimedMs
}
