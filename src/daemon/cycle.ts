/**
 * One pass of a node over one channel. Everything that matters happens here, in this order; each step is a room of its own.
 *
 *   refresh  signatures, rollback, expiry          signing, driven by trust.ts
 *   choose   the newest release, if newer          here
 *   reserve  space until the end, or none of it    store
 *   obtain   slice by WAN, the rest by LAN         exchange.ts, over swarm and store
 *   verify   the whole, and the descriptor of it   store
 *   install  stage, test, switch, reload, health   install
 */
import type { DownloadError } from '../core/errors.ts'
import type { Release } from '../core/release.ts'
import type { Verified } from '../core/verified.ts'
import type { Installer } from '../install/installer.ts'
import type { StoredArtifact } from '../store/artifact-store.ts'
import type { Activity } from './status.ts'

export interface CycleParts {
  /** The releases of the channel that are signed, and why the origin could not be asked for newer ones. Throws TrustError or DownloadError. */
  refresh(
    signal: AbortSignal,
  ): Promise<{ readonly releases: readonly Verified<Release>[]; readonly trouble?: DownloadError }>
  /** Space for the artifact and for its install, before their first byte; given back when disposed of. */
  reserve(release: Verified<Release>, signal: AbortSignal): Promise<AsyncDisposable>
  /** Fetch every piece of the artifact; it is served to the neighbours from then on. */
  obtain(release: Verified<Release>, signal: AbortSignal): Promise<void>
  /** The whole artifact, checked. */
  verify(release: Verified<Release>, signal: AbortSignal): Promise<Verified<StoredArtifact>>
  readonly installer: Pick<Installer, 'installed' | 'eligible' | 'install' | 'finishReload'>
  /** Told what the cycle is doing, for `sigmesh status`. */
  enter(activity: Activity, offered?: Release): void
}

/**
 * @returns The release that is in place now, and whether this cycle put it there.
 * @throws What went wrong at any step; `trouble` when that is why nothing newer is known.
 */
export async function runCycle(
  { refresh, reserve, obtain, verify, installer, enter }: CycleParts,
  signal: AbortSignal,
): Promise<{ outcome: 'installed' | 'current'; sequence: number }> {
  enter('refreshing')
  const { releases, trouble } = await refresh(signal)
  const installed = await installer.installed()
  enter('refreshing', newest(releases))
  const offered = newest(await installer.eligible(releases)) // not what failed here, nor anything while it is held
  if (!offered || offered.sequence <= (installed?.sequence ?? 0)) {
    await installer.finishReload(signal) // what failed or was cut off last time
    if (trouble) throw trouble // nothing to do, as far as anybody here knows
    return { outcome: 'current', sequence: installed?.sequence ?? 0 }
  }
  enter('obtaining', offered)
  await using _space = await reserve(offered, signal)
  await obtain(offered, signal)
  enter('verifying', offered)
  await using content = await verify(offered, signal)
  enter('installing', offered)
  await installer.install(content, offered, signal) // takes only what is Verified
  return { outcome: 'installed', sequence: offered.sequence }
}

/** A node never goes back: an older release that comes to the top of the manifest is not news. */
function newest(releases: readonly Verified<Release>[]): Verified<Release> | undefined {
  return releases.reduce<Verified<Release> | undefined>(
    (best, release) => (best && best.sequence >= release.sequence ? best : release),
    undefined,
  )
}
