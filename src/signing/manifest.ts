/**
 * A channel's manifest: the verified targets role of that name, and the releases in it. This file mints `Verified`: for a role that the
 * chain of signatures from the pinned root has reached, and for no more than what the delegation grants it.
 */

import { asSha256 } from '../core/digest.ts'
import { parseRelease, type Release, type TargetDescription } from '../core/release.ts'
import type { TrustState } from '../core/trust-state.ts'
import { markVerified, type Verified } from '../core/verified.ts'
import { findDelegation, grants } from './target-search.ts'
import type { TrustWalk } from './trust-step.ts'
import { refreshRepository, type TrustedRepository } from './trusted-repository.ts'

export interface Manifest {
  readonly channel: string
  readonly version: number
  /** ms since 1970. */
  readonly expires: number
  /** By path; all below `<channel>/`. */
  readonly targets: ReadonlyMap<string, TargetDescription>
}

export interface RefreshedTrust {
  /** The last state kept. */
  readonly state: TrustState
  /** In the order of the channels asked for. */
  readonly manifests: readonly Verified<Manifest>[]
}

/**
 * One refresh of a node: the repository, then each channel. See trust-step.ts for what the driver does.
 *
 * @param now The machine's clock, ms since 1970.
 * @param channels Names; ask for one at a time where one bad channel must not keep the others from their news.
 * @throws TrustError with any code but `release_malformed`; every state kept before it stays good.
 */
export function* refreshTrust(
  state: TrustState,
  { now, channels }: { readonly now: number; readonly channels: readonly string[] },
): TrustWalk<RefreshedTrust> {
  const repository = yield* refreshRepository(state, { now })
  const manifests: Verified<Manifest>[] = []
  for (const channel of channels) manifests.push(yield* loadManifest(repository, channel))
  return { state: repository.state, manifests }
}

function* loadManifest(repository: TrustedRepository, channel: string): TrustWalk<Verified<Manifest>> {
  const { delegations } = yield* repository.targets('targets', repository.root.roles.targets)
  const delegation = findDelegation(delegations, channel)
  const { version, expires, targets } = yield* repository.targets(channel, delegation.role)
  // What a channel's key signs outside its grant is not an error, it is nothing: so a stranger's client sees it, too.
  const granted = [...targets].filter(([path]) => path.startsWith(`${channel}/`) && grants(delegation, path))
  return markVerified({
    channel,
    version,
    expires,
    targets: new Map(
      granted.map(([path, { length, hashes, custom }]) => [
        path,
        { length, sha256: asSha256(hashes.get('sha256')!), custom },
      ]),
    ),
  })
}

/**
 * The releases of a verified manifest, oldest first. Targets that are not ours are left out.
 *
 * @throws TrustError `release_malformed` when one claims to be ours and is not what a node needs.
 */
export function releasesOf({ channel, targets }: Verified<Manifest>): Verified<Release>[] {
  return [...targets]
    .flatMap(([path, target]) => parseRelease(channel, path, target) ?? [])
    .sort((a, b) => a.sequence - b.sequence)
    .map(release => markVerified(release))
}
