/**
 * The node: every part made, joined and ended in one place.
 *
 *   state_dir/identity.json  who it is for the origin
 *   state_dir/trust       what it trusts          state_dir/artifacts   what it fetches and serves
 *   state_dir/roots       for its neighbours      state_dir/site-key.json   by which it knows them
 *   state_dir/ledger.json figures by channel      state_dir/history     what happened, a line each
 */
import { join } from 'node:path'
import type { Artifact } from '../core/artifact.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import { describeError } from '../core/errors.ts'
import { type Stoppable, stopAll } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import { hour, MiB, second } from '../core/units.ts'
import { version } from '../core/version.ts'
import { openInstaller } from '../install/installer.ts'
import { openArtifactStore } from '../store/artifact-store.ts'
import { lockDirectory } from '../store/directory-lock.ts'
import { makeDirectory } from '../store/durable.ts'
import { openJournal } from '../store/journal.ts'
import { RootFiles } from '../store/root-files.ts'
import { openTrustStore } from '../store/trust-store.ts'
import type { EngineOptions, SwarmEngine } from '../swarm/engine.ts'
import { type Ear, listenToOrigin } from '../swarm/events/listen.ts'
import type { NodePlace } from '../swarm/events/protocol.ts'
import { Limits } from '../swarm/limits/limits.ts'
import { ownQuestions } from '../swarm/neighbour-line.ts'
import { allowNetworks, followLanAddress } from '../swarm/networks.ts'
import { OriginClient } from '../swarm/origin-client.ts'
import { Channel, type ChannelParts } from './channel.ts'
import type { NodeConfig } from './config.ts'
import { mostHistoryEntries } from './control-protocol.ts'
import { type ControlHandlers, startControlServer } from './control-server.ts'
import type { ExchangeParts } from './exchange.ts'
import { Exchanges } from './exchanges.ts'
import { handlersOf, summarise } from './handlers.ts'
import { startHousekeeping } from './housekeeping.ts'
import { loadIdentity } from './identity.ts'
import { Ledger } from './ledger.ts'
import { nobody, type RunningNeighbourhood, startNeighbourhood } from './neighbourhood.ts'
import { refresh } from './refresh.ts'
import { startRunner, startSchedule } from './schedule.ts'
import { historyEntry } from './status.ts'
import { Trust } from './trust.ts'
import { WakeUp } from './wake-up.ts'

/** Loaded when chosen: webtorrent alone takes 30 MB and half a second that a native node does not need. */
const engines = {
  native: async (options: EngineOptions) => (await import('../swarm/native/engine.ts')).startNativeEngine(options),
  webtorrent: async (options: EngineOptions) =>
    (await import('../swarm/webtorrent/engine.ts')).startWebtorrentEngine(options),
}

export interface RunningNode extends Stoppable, ControlHandlers {
  /** Where LAN peers reach it. */
  readonly lanPort: number
  /** One line for `systemctl status`. */
  summary(): string
}

export interface Surroundings {
  readonly log: Log
  readonly clock?: Clock
  /** In [0, 1). */
  readonly random?: () => number
}

/**
 * Start a node. When it resolves, the node answers on its control socket, serves what it had, and its schedule runs.
 *
 * @throws StoreError `state_busy` when another node uses the state directory, `disk_failed`, `disk_full`; ConfigError; SwarmError
 *   `swarm_listen`. Nothing is left running then. A channel that is out of order does not count: `sigmesh status` tells of it.
 */
export async function startNode(config: NodeConfig, surroundings: Surroundings): Promise<RunningNode> {
  const started: Stoppable[] = []
  try {
    return await assemble(config, { clock: systemClock, random: Math.random, ...surroundings }, started)
  } catch (error) {
    await stopAll(started).catch(() => {}) // the first error is the one to tell
    throw error
  }
}

/** Takes part in the end: what was started last stops first. */
type Start = <Part extends Stoppable>(part: Part) => Part

async function assemble(config: NodeConfig, surroundings: Required<Surroundings>, started: Stoppable[]) {
  const start: Start = part => {
    started.push(part)
    return part
  }
  const { log, clock, random } = surroundings
  await makeDirectory(config.state_dir)
  start(await lockDirectory(config.state_dir))

  const { node, site } = config
  const key = await loadIdentity(config.state_dir)
  const limits = start(new Limits(config.limits, clock))
  const connections = config.limits.wan_connections
  const origin = start(new OriginClient(config.origin, { connections }, { key, pin: config.origin_pin }))
  const engine = start(await startEngine(config))
  const lan = ownLanAddress(config, clock)
  const near: { neighbourhood?: RunningNeighbourhood } = {}
  const neighbourhood = () => near.neighbourhood ?? nobody
  const meshed = { ...surroundings, origin, engine, limits, lanAddress: lan, neighbourhood }
  const exchanges = await startExchanges(config, meshed, start)
  const history = await openJournal(join(config.state_dir, 'history'), historyEntry, mostHistoryEntries)
  const trust = await openTrust(config, surroundings)
  const report: ChannelParts['report'] = (about, signal) => origin.report({ ...about, node, site, version }, signal)
  let looked: { from: string; at: number } | undefined
  const refreshChannel: ChannelParts['refresh'] = async (channel, signal) => {
    const refreshed = await refresh(channel, { trust, origin, neighbourhood, log }, signal)
    looked = { from: refreshed.from, at: clock.now() }
    return refreshed
  }
  const channels = await openChannels(
    config,
    { ...surroundings, refresh: refreshChannel, exchanges, history, report },
    start,
  )

  const runners = startRunners(channels, { retryMs: config.retry_s * second, clock, random }, start)
  const checkAll = () => {
    for (const runner of runners.values()) void runner.run()
  }
  const lookAfresh = () => {
    for (const runner of runners.values()) void runner.runAfresh()
  }
  const wakeUp = start(new WakeUp({ held: () => trust.shelf.versions.snapshot, wake: lookAfresh, clock }))
  const schedule = start(startSchedule(config.schedule, config.schedule_jitter_s * second, checkAll, { clock, random }))
  const lanAddress = () => `${lan()}:${engine.port}`
  const ended = startEnd(start)
  const place = () => ({ node, site, lan: lan() })
  if (config.lan.beacon.enabled) {
    const holdings = {
      shelf: () => trust.shelf,
      artifacts: () => exchanges.held(),
      torrent: (artifact: Artifact) => exchanges.torrent(artifact),
      small: (artifact: Artifact) => exchanges.small(artifact),
      onSnapshot: (snapshot: number) => void wakeUp.hear(snapshot),
    }
    near.neighbourhood = start(
      await startNeighbourhood(config, {
        ...surroundings,
        origin,
        port: engine.port,
        traffic: engine.traffic,
        place,
        lanAddress: lan,
        holdings,
      }),
    )
  }
  const ear = config.push
    ? start(startEar({ ...surroundings, origin, place, wakeUp, neighbourhood: near.neighbourhood }))
    : undefined
  const heard = { ear, neighbourhood: near.neighbourhood, trust, looked: () => looked }
  const about = {
    config,
    limits,
    ...heard,
    engine,
    exchanges,
    channels,
    runners,
    schedule,
    history,
    clock,
    origin,
    lanAddress,
    ended,
  }
  const handlers = handlersOf(about)
  start(await startControlServer(config.control_socket, handlers))
  start(startHousekeeping({ channels, exchanges, clock, log }))
  if (config.check_on_start) checkAll()
  log.info({ node, site, origin: config.origin, lanPort: engine.port, channels: [...runners.keys()] }, 'the node runs')
  return {
    ...handlers,
    lanPort: engine.port,
    summary: () => summarise(handlers.status()),
    stop: () => stopAll(started),
  }
}

/** @returns What aborts when the daemon stops, before the parts that were started earlier. */
function startEnd(start: <Part extends Stoppable>(part: Part) => Part): AbortSignal {
  const ended = new AbortController()
  start({ stop: async () => ended.abort(new DOMException('the daemon is stopping', 'AbortError')) })
  return ended.signal
}

function startEngine({ engine, lan, limits }: NodeConfig): Promise<SwarmEngine> {
  return engines[engine]({
    listen: { host: lan.listen, port: lan.port },
    networks: lan.networks,
    maxPeers: lan.max_peers,
    maxConnections: limits.lan_connections - (lan.beacon.enabled ? ownQuestions : 0),
  })
}

interface EarParts extends Required<Surroundings> {
  readonly origin: OriginClient
  readonly wakeUp: WakeUp
  place(): NodePlace
  readonly neighbourhood: RunningNeighbourhood | undefined
}

function startEar({ origin, wakeUp, place, neighbourhood, ...surroundings }: EarParts): Ear {
  return listenToOrigin({
    ...surroundings,
    client: origin,
    request: place,
    onNews: ({ snapshot, generation }) => {
      wakeUp.hear(snapshot)
      neighbourhood?.hearGeneration(generation)
    },
  })
}

/** The tracker takes an address that no neighbour can dial for "the one you see". */
const anyAddress = '0.0.0.0'

function ownLanAddress({ lan }: NodeConfig, clock: Clock): () => string {
  const now = followLanAddress(allowNetworks(lan.networks), clock)
  return () => lan.address ?? now() ?? anyAddress
}

type MeshParts = Omit<ExchangeParts, 'artifacts' | 'node' | 'site' | 'stallMs'>

async function startExchanges(config: NodeConfig, parts: MeshParts, start: Start): Promise<Exchanges> {
  const { node, site, state_dir, store, stall_s } = config
  const options = { quotaBytes: store.quota_mib * MiB, clock: parts.clock }
  const artifacts = start(await openArtifactStore(join(state_dir, 'artifacts'), options))
  return start(new Exchanges({ ...parts, artifacts, node, site, stallMs: stall_s * second }, store.seed_hours * hour))
}

/** What cannot be read of it is the failure of each channel that needs it, and the node starts all the same. */
async function openTrust({ state_dir, root }: NodeConfig, { clock, log }: Required<Surroundings>): Promise<Trust> {
  const store = await openTrustStore(join(state_dir, 'trust'))
  const trust = new Trust({ store, roots: new RootFiles(join(state_dir, 'roots')), rootFile: root, clock })
  await trust
    .open()
    .catch(error => log.warn({ ...describeError(error) }, 'what was trusted before is not shown to neighbours'))
  return trust
}

type ChannelSurroundings = Omit<ChannelParts, 'ledger' | 'openInstaller'>

/** All channels of the accept list. One whose directory cannot be used is there all the same, and tries again by itself. */
async function openChannels(
  { channels: accepted, state_dir }: NodeConfig,
  parts: ChannelSurroundings,
  start: Start,
): Promise<readonly Channel[]> {
  const { clock, log } = parts
  const ledger = await Ledger.open(state_dir)
  const channels = Object.entries(accepted).map(([name, target]) =>
    start(
      new Channel(name, {
        ...parts,
        ledger,
        openInstaller: () =>
          openInstaller(
            name,
            { ...target, releases: target.releases ?? join(state_dir, 'install', name) },
            { clock, log },
          ),
      }),
    ),
  )
  for (const channel of channels) await channel.open()
  return channels
}

function startRunners(channels: readonly Channel[], options: Parameters<typeof startRunner>[1], start: Start) {
  return new Map(
    channels.map(channel => [channel.name, start(startRunner(signal => channel.cycle(signal), options))] as const),
  )
}
