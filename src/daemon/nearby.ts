/**
 * What a neighbour gives at once of an artifact, before this node joins the swarm: its torrent, and all of a small one. Either is checked
 * against the manifest here; who shows something else, or nothing, costs a moment and no more.
 */
import type { Artifact } from '../core/artifact.ts'
import { sha256 } from '../core/digest.ts'
import { describeError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { second } from '../core/units.ts'
import type { Neighbour } from '../swarm/beacon/neighbours.ts'
import type { Limiter } from '../swarm/limits/limiter.ts'
import { readMetainfo } from '../swarm/metainfo.ts'
import type { NeighbourClient } from '../swarm/neighbour-client.ts'
import { isSmall, smallWithinMs } from '../swarm/small-artifact.ts'
import type { Neighbourhood } from './neighbourhood.ts'
import { shuffled } from './shuffled.ts'

export interface NearbyParts {
  neighbourhood(): Neighbourhood
  /** In [0, 1). */
  readonly random: () => number
  readonly log: Log
}

/** A torrent, and what it says. */
export interface Torrent {
  readonly metainfo: Uint8Array
  /** 32 bytes a piece. */
  readonly pieceHashes: Uint8Array
  /** All of the artifact, when it is small and a neighbour gave it with the torrent. */
  readonly content?: Uint8Array | undefined
}

const mostAsked = 2
/** Then the swarm. */
const contentWithinMs = smallWithinMs + second

/** Would `takeNearby` bring all of it, as far as anybody knows? */
export function isNearby(artifact: Artifact, neighbourhood: Neighbourhood): boolean {
  return isSmall(artifact) && neighbourhood.holding(artifact.infohash).length > 0
}

/**
 * @param lanDown The limit of what comes from neighbours.
 * @returns undefined when no neighbour shows the right torrent. @throws The reason of `signal`.
 */
export async function takeNearby(
  artifact: Artifact,
  { neighbourhood, random, log }: NearbyParts,
  lanDown: Limiter,
  signal: AbortSignal,
): Promise<Torrent | undefined> {
  const near = neighbourhood()
  const ask = async (holder: Neighbour, client: NeighbourClient, patience: AbortSignal) => {
    const metainfo = await client.torrent(artifact, patience)
    const { pieceHashes } = readMetainfo(metainfo, artifact)
    if (!isSmall(artifact)) return { metainfo, pieceHashes }
    const soon = AbortSignal.any([patience, AbortSignal.timeout(contentWithinMs)])
    const content = await smallOf(client, artifact, lanDown, soon).catch(error => {
      patience.throwIfAborted()
      log.debug({ neighbour: holder.node, ...describeError(error) }, 'a neighbour has not all of a small artifact yet')
      return undefined
    })
    const isRight = content === undefined || sha256(content) === artifact.sha256
    if (!isRight) near.disprove(holder, 'wrong')
    return { metainfo, pieceHashes, content: isRight ? content : undefined }
  }
  for (const holder of shuffled(near.holding(artifact.infohash), random).slice(0, mostAsked)) {
    try {
      return await near.ask(holder, (client, patience) => ask(holder, client, patience), signal)
    } catch (error) {
      signal.throwIfAborted()
      log.debug({ neighbour: holder.node, ...describeError(error) }, 'no torrent from a neighbour')
    }
  }
  return undefined
}

async function smallOf(client: NeighbourClient, artifact: Artifact, lanDown: Limiter, signal: AbortSignal) {
  await lanDown.pass(artifact.length, signal)
  return client.small(artifact, signal)
}
