/**
 * Where a refresh looks, and in which order. Whoever is asked, the same rules verify what comes; so the nearest that claims to have more
 * is asked first, and the line is spared.
 *
 *   1 neighbours that say they are ahead of us       two of them, the newest first
 *   2 the origin
 *   3 if it does not answer: neighbours that are where we are, and what this node has verified before
 *
 * Each is asked for all that is new in one answer (swarm/metadata-bundle.ts), and for the files that are not in it by themselves.
 *
 * In the third case nobody can say whether something newer is held back. What is known is obtained and installed all the same; and if there
 * is nothing to do, the cycle fails with what is wrong with the origin, so that it shows.
 */
import { DownloadError, describeError, TrustError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Release } from '../core/release.ts'
import type { Verified } from '../core/verified.ts'
import type { Neighbour } from '../swarm/beacon/neighbours.ts'
import type { MetadataBundle } from '../swarm/metadata-bundle.ts'
import type { OriginClient } from '../swarm/origin-client.ts'
import type { Neighbourhood } from './neighbourhood.ts'
import type { MetadataSource, Trust } from './trust.ts'

export interface RefreshParts {
  readonly trust: Trust
  readonly origin: Pick<OriginClient, 'metadata' | 'metadataAfter'>
  neighbourhood(): Neighbourhood
  readonly log: Log
}

export interface Refreshed {
  readonly releases: readonly Verified<Release>[]
  /** Who showed them: `origin`, `cache`, or the name of a neighbour. */
  readonly from: string
  /** Why the origin could not be asked. */
  readonly trouble?: DownloadError
}

const mostTries = 2

/** @throws TrustError, StoreError, ConfigError as `Trust.refresh`; DownloadError. An aborted `signal` rejects with its reason. */
export async function refresh(channel: string, parts: RefreshParts, signal: AbortSignal): Promise<Refreshed> {
  const before = parts.trust.shelf.versions.snapshot
  const refreshed = await look(channel, parts, signal)
  if (parts.trust.shelf.versions.snapshot > before) parts.neighbourhood().announce()
  return refreshed
}

async function look(channel: string, parts: RefreshParts, signal: AbortSignal): Promise<Refreshed> {
  const { trust, origin } = parts
  const ahead = await fromNeighbours(channel, trust.shelf.versions.snapshot + 1, parts, signal)
  if (ahead) return ahead
  try {
    const after = (root: number, snapshot: number) => origin.metadataAfter(root, snapshot, channel, signal)
    const file: MetadataSource = (path, limitBytes) => origin.metadata(`/metadata/${path}`, limitBytes, signal)
    return { releases: await trust.refresh(channel, inOne(trust, after, file), signal), from: 'origin' }
  } catch (trouble) {
    if (signal.aborted || !(trouble instanceof DownloadError)) throw trouble
    const near = await fromNeighbours(channel, trust.shelf.versions.snapshot, parts, signal)
    if (near) return { ...near, trouble }
    return { ...(await fromCache(channel, parts, trouble, signal)), trouble }
  }
}

/**
 * What is new in one answer, where there is one; the files that are not in it by themselves. Asked for with the first file: before this walk
 * has its turn, another may see something newer, and an answer that has waited for it would be a rollback.
 */
function inOne(
  { shelf: { root, versions } }: Trust,
  after: (root: number, snapshot: number) => Promise<MetadataBundle | undefined>,
  file: MetadataSource,
): MetadataSource {
  let asked: ReturnType<typeof after> | undefined
  return async (path, limitBytes) => {
    if (root > 0) asked ??= after(root, versions.snapshot)
    const bundle = await asked
    // A newer root would be in it; a file that is not may be too long for it.
    if (bundle && path === `${root + 1}.root.json`) return bundle.get(path)
    return bundle?.get(path) ?? file(path, limitBytes)
  }
}

async function fromNeighbours(
  channel: string,
  least: number,
  parts: RefreshParts,
  signal: AbortSignal,
): Promise<Refreshed | undefined> {
  const neighbourhood = parts.neighbourhood()
  for (const neighbour of neighbourhood.withSnapshot(least).slice(0, mostTries)) {
    const releases = await fromNeighbour(channel, neighbour, neighbourhood, parts, signal)
    if (releases) return { releases, from: neighbour.node }
  }
  return undefined
}

/** @returns undefined when it cannot show what it claims. */
async function fromNeighbour(
  channel: string,
  neighbour: Neighbour,
  neighbourhood: Neighbourhood,
  { trust, log }: RefreshParts,
  signal: AbortSignal,
): Promise<readonly Verified<Release>[] | undefined> {
  try {
    const releases = await neighbourhood.ask(
      neighbour,
      (client, patience) => {
        const after = (root: number, snapshot: number) => client.metadataAfter(root, snapshot, channel, patience)
        const file: MetadataSource = (path, limitBytes) => client.metadata(path, limitBytes, patience)
        return trust.refresh(channel, inOne(trust, after, file), patience)
      },
      signal,
    )
    if (trust.shelf.versions.snapshot >= neighbour.snapshot) return releases
    neighbourhood.disprove(neighbour, 'wrong')
    return undefined
  } catch (error) {
    signal.throwIfAborted()
    const isTheirs = error instanceof TrustError || error instanceof DownloadError || isTimeout(error)
    if (!isTheirs) throw error // our disk, our pinned root
    log.debug({ neighbour: neighbour.node, ...describeError(error) }, 'no metadata from a neighbour')
    // It need not have every channel: what it lacks is no lie.
    const lacks = error instanceof TrustError && error.code === 'metadata_missing'
    neighbourhood.disprove(neighbour, error instanceof TrustError && !lacks ? 'wrong' : 'absent')
    return undefined
  }
}

/** @throws The trouble with the origin, when what was verified before is not good enough any more, or nothing was. */
async function fromCache(
  channel: string,
  { trust }: RefreshParts,
  trouble: DownloadError,
  signal: AbortSignal,
): Promise<Refreshed> {
  const { shelf } = trust
  try {
    return { releases: await trust.refresh(channel, async path => shelf.find(path), signal), from: 'cache' }
  } catch (error) {
    throw error instanceof TrustError ? trouble : error
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'TimeoutError'
}
