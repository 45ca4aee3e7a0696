/**
 * The neighbours of this node, and what they are good for. What they say comes by beacon, what they show by HTTP, and both are only offers:
 *
 *   a newer snapshot      a reason to look now (wake-up.ts), and a place to look at (refresh.ts)
 *   an artifact           an address for the swarm, which checks every piece; its torrent, and a small one itself, checked against the manifest
 */
import type { Artifact } from '../core/artifact.ts'
import type { Clock } from '../core/clock.ts'
import type { Infohash } from '../core/digest.ts'
import { DownloadError } from '../core/errors.ts'
import { type Stoppable, stopAll } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import { torrentUrlPath } from '../core/release.ts'
import { second } from '../core/units.ts'
import { type BeaconView, LanBeacon } from '../swarm/beacon/lan-beacon.ts'
import type { Neighbour } from '../swarm/beacon/neighbours.ts'
import { DialBack, type ReachOutcome } from '../swarm/dial-back.ts'
import type { PeerAddress } from '../swarm/engine.ts'
import type { NodePlace } from '../swarm/events/protocol.ts'
import { readBundleUrlPath } from '../swarm/metadata-bundle.ts'
import { askNeighbour, type NeighbourClient } from '../swarm/neighbour-client.ts'
import { NeighbourLine } from '../swarm/neighbour-line.ts'
import { type NeighbourServer, startNeighbourServer } from '../swarm/neighbour-server.ts'
import { allowNetworks } from '../swarm/networks.ts'
import type { OriginClient } from '../swarm/origin-client.ts'
import { smallUrlPath } from '../swarm/small-artifact.ts'
import type { Traffic } from '../swarm/traffic.ts'
import type { NodeConfig } from './config.ts'
import type { Shelf } from './shelf.ts'
import { shuffled } from './shuffled.ts'
import { SiteKeyKeeper } from './site-key.ts'

/** What is served and told of: the parts that exist only once the rest of the node does. */
export interface Holdings {
  shelf(): Shelf
  /** Of the artifacts in exchange, the newest first. */
  artifacts(): readonly Artifact[]
  torrent(artifact: Artifact): Promise<Uint8Array | undefined>
  /** All of a small one, see small-artifact.ts. */
  small(artifact: Artifact): Promise<Uint8Array | undefined>
  /** A neighbour whose word is worth something speaks of this snapshot. */
  onSnapshot(snapshot: number): void
}

/** What an exchange and a refresh need of the neighbours. */
export interface Neighbourhood {
  /** Those at this snapshot or a newer one: the newest first, and in no order among equals. */
  withSnapshot(least: number): readonly Neighbour[]
  /** Ask one; see `askNeighbour`. */
  ask<T>(
    neighbour: Neighbour,
    ask: (client: NeighbourClient, signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T>
  /** It does not answer (`absent`), or cannot show what it claims. */
  disprove(neighbour: Neighbour, why: 'absent' | 'wrong'): void
  /** Those who have this artifact, or are fetching it. */
  holding(infohash: Infohash): readonly (PeerAddress & Neighbour)[]
  /** Hear of each who has, as soon as it says so. @returns Call it to hear no more. */
  onHolder(infohash: Infohash, listener: (peer: PeerAddress) => void): () => void
  /** What this node has, has changed. */
  announce(): void
}

export interface RunningNeighbourhood extends Neighbourhood, Stoppable {
  hearGeneration(generation: number): void
  view(): BeaconView & { readonly served: number }
  /** Ask some neighbours whether they can dial this node. Never throws, but for an aborted `signal`. */
  askReach(signal: AbortSignal): Promise<readonly Reached[]>
}

/** What came of asking one. `silent`: it did not answer, or does not know the question. */
export interface Reached {
  readonly neighbour: Neighbour
  readonly outcome: ReachOutcome | 'silent'
}

const mostAsked = 3
/** Two dials of two seconds each, theirs and ours, and the ways between. */
const askedMs = 6 * second

export interface NeighbourhoodParts {
  readonly origin: OriginClient
  /** Of the engine. */
  readonly port: number
  /** Of the engine. */
  readonly traffic: Traffic
  place(): NodePlace
  lanAddress(): string
  readonly holdings: Holdings
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
}

/** A node that has no beacon knows nobody. */
export const nobody: Neighbourhood = {
  withSnapshot: () => [],
  ask: () => Promise.reject(new Error('unreachable: there is nobody to ask')),
  disprove: () => {},
  holding: () => [],
  onHolder: () => () => {},
  announce: () => {},
}

const smallPath = /^\/artifacts\/[0-9a-f]{64}$/
const torrentPath = /^\/torrents\/[0-9a-f]{64}\.torrent$/
const metadataPath = /^\/metadata\/([a-z0-9.-]{1,100})$/

/** @throws SwarmError `swarm_listen`, StoreError. Nothing is left running then. */
export async function startNeighbourhood(
  { node, site, lan, limits, state_dir }: NodeConfig,
  parts: NeighbourhoodParts,
): Promise<RunningNeighbourhood> {
  const { holdings, clock, random, log } = parts
  const line = new NeighbourLine(parts.traffic, limits.lan_connections)
  const networks = allowNetworks(lan.networks)
  const listeners = new Map<Infohash, Set<(peer: PeerAddress) => void>>()
  const started: Stoppable[] = []
  const heard: { by?: LanBeacon } = {}
  const dialBack = new DialBack({ heard: name => heard.by?.neighbours.named(name, clock.monotonic()), line, clock })
  started.push(dialBack)
  const server = await startNeighbourServer({
    host: lan.listen,
    port: lan.http_port ?? (lan.port === 0 ? 0 : lan.port + 1),
    networks,
    line,
    find: path => find(path, holdings),
    reach: (asker, from) => dialBack.reach(asker, from),
  })
  started.push(server)
  try {
    const keeper = await SiteKeyKeeper.start({
      ...parts,
      stateDirectory: state_dir,
      onChange: () => {
        beacon.neighbours.clear()
        beacon.announce()
      },
    })
    started.push(keeper)
    const beacon: LanBeacon = new LanBeacon({
      ...parts,
      group: lan.beacon.group,
      port: lan.beacon.port,
      node,
      site,
      networks,
      ports: { port: parts.port, http: server.port },
      key: () => keeper.key(),
      onOtherKey: () => keeper.hearOther(),
      tell: () => ({ ...holdings.shelf().versions, artifacts: holdings.artifacts().map(({ infohash }) => infohash) }),
      onBeacon: told => {
        for (const infohash of told.artifacts)
          for (const listener of listeners.get(infohash) ?? []) listener({ host: told.address, port: told.port })
        if (!beacon.neighbours.isDistrusted(told.node, clock.monotonic())) holdings.onSnapshot(told.snapshot)
      },
    })
    started.push(beacon)
    heard.by = beacon
    return running(beacon, { node, line, keeper, server, listeners, clock, random, log }, started)
  } catch (error) {
    await stopAll(started)
    throw error
  }
}

interface RunningParts {
  /** This one's name. */
  readonly node: string
  readonly line: NeighbourLine
  readonly keeper: SiteKeyKeeper
  readonly server: NeighbourServer
  readonly listeners: Map<Infohash, Set<(peer: PeerAddress) => void>>
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
}

function running(
  beacon: LanBeacon,
  { node: ownName, line, keeper, server, listeners, clock, random, log }: RunningParts,
  started: readonly Stoppable[],
): RunningNeighbourhood {
  const { neighbours } = beacon
  const now = () => clock.monotonic()
  return {
    withSnapshot: least =>
      shuffled(neighbours.withSnapshot(least, now()), random).sort((a, b) => b.snapshot - a.snapshot),
    ask: (neighbour, ask, signal) => askNeighbour(neighbour, ask, line, signal),
    disprove({ node, snapshot }, why) {
      neighbours.disprove(node, why, now())
      log.debug({ neighbour: node, snapshot, why }, 'a neighbour did not show what it claims')
    },
    holding: infohash => neighbours.holding(infohash, now()).map(each => ({ ...each, host: each.address })),
    onHolder(infohash, listener) {
      const all = listeners.get(infohash) ?? new Set()
      listeners.set(infohash, all.add(listener))
      return () => {
        all.delete(listener)
        if (all.size === 0) listeners.delete(infohash)
      }
    },
    announce: () => beacon.announce(),
    hearGeneration: generation => keeper.hearGeneration(generation),
    view: () => ({ ...beacon.view(), served: server.served }),
    askReach: signal =>
      Promise.all(
        shuffled(neighbours.all(now()), random)
          .slice(0, mostAsked)
          .map(async neighbour => ({ neighbour, outcome: await askReach(neighbour, ownName, line, signal) })),
      ),
    stop: () => stopAll(started),
  }
}

async function askReach(
  neighbour: Neighbour,
  ownName: string,
  line: NeighbourLine,
  signal: AbortSignal,
): Promise<Reached['outcome']> {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(askedMs)])
  try {
    return await askNeighbour(neighbour, (client, inTime) => client.reach(ownName, inTime), line, patience)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof DownloadError || patience.aborted) return 'silent'
    throw error
  }
}

async function find(path: string, { shelf, artifacts, torrent, small }: Holdings): Promise<Uint8Array | undefined> {
  const after = readBundleUrlPath(path)
  if (after) return shelf().after(after.root, after.snapshot, after.channel)
  const [, name] = metadataPath.exec(path) ?? []
  if (name !== undefined) return shelf().find(name)
  const asked = (urlPath: (artifact: Artifact) => string) => artifacts().find(each => urlPath(each) === path)
  const ofTorrent = torrentPath.test(path) ? asked(torrentUrlPath) : undefined
  if (ofTorrent) return torrent(ofTorrent)
  const ofContent = smallPath.test(path) ? asked(smallUrlPath) : undefined
  return ofContent && small(ofContent)
}
