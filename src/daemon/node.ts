/**
 * The node: every part made, joined and ended in one place.
 *
 *   state_dir/identity.json  who it is for the origin
 *   state_dir/trust       what it trusts          state_dir/artifacts   what it fetches and serves
 *   state_dir/ledger.json figures by channel      state_dir/history     what happened, a line each
 */
import { join } from 'node:path'
import { type Clock, systemClock } from '../core/clock.ts'
import { describeError } from '../core/errors.ts'
import { type Stoppable, stopAll } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import { hour, MiB, minute, second } from '../core/units.ts'
import { version } from '../core/version.ts'
import { openInstaller } from '../install/installer.ts'
import { openArtifactStore } from '../store/artifact-store.ts'
import { lockDirectory } from '../store/directory-lock.ts'
import { makeDirectory } from '../store/durable.ts'
import { openJournal } from '../store/journal.ts'
import { openTrustStore } from '../store/trust-store.ts'
import type { EngineOptions, SwarmEngine } from '../swarm/engine.ts'
import { allowNetworks, lanAddress } from '../swarm/networks.ts'
import { OriginClient } from '../swarm/origin-client.ts'
import { Channel, type ChannelParts } from './channel.ts'
import type { NodeConfig } from './config.ts'
import { mostHistoryEntries } from './control-protocol.ts'
import { type ControlHandlers, startControlServer } from './control-server.ts'
import { Exchanges } from './exchanges.ts'
import { handlersOf, summarise } from './handlers.ts'
import { loadIdentity } from './identity.ts'
import { Ledger } from './ledger.ts'
import { startRunner, startSchedule } from './schedule.ts'
import { historyEntry } from './status.ts'
import { Trust } from './trust.ts'

/** Loaded when chosen: webtorrent alone takes 30 MB and half a second that a native node does not need. */
const engines = {
  native: async (options: EngineOptions) => (await import('../swarm/native/engine.ts')).startNativeEngine(options),
  webtorrent: async (options: EngineOptions) =>
    (await import('../swarm/webtorrent/engine.ts')).startWebtorrentEngine(options),
}

/** How often figures go to the disk and old artifacts from it. */
const housekeepingMs = minute

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
 *   `swarm_listen`; TrustError `trust_damaged`; InstallError. Nothing is left running then.
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

/** Parts end in the reverse of the order in which they are started here. */
async function assemble(config: NodeConfig, { log, clock, random }: Required<Surroundings>, started: Stoppable[]) {
  const start = <Part extends Stoppable>(part: Part): Part => {
    started.push(part)
    return part
  }
  await makeDirectory(config.state_dir)
  start(await lockDirectory(config.state_dir))

  const { node, site } = config
  const key = await loadIdentity(config.state_dir)
  const origin = start(new OriginClient(config.origin, {}, { key, pin: config.origin_pin }))
  const engine = start(await startEngine(config))
  const artifacts = start(
    await openArtifactStore(join(config.state_dir, 'artifacts'), { quotaBytes: config.store.quota_mib * MiB, clock }),
  )
  const trustStore = await openTrustStore(join(config.state_dir, 'trust'))
  const trust = new Trust({ store: trustStore, rootFile: config.root, origin, clock })
  const stallMs = config.stall_s * second
  const lan = () => ownLanAddress(config)
  const exchangeParts = { origin, artifacts, engine, node, site, lanAddress: lan, stallMs, clock, random, log }
  const exchanges = start(new Exchanges(exchangeParts, config.store.seed_hours * hour))
  const records = {
    ledger: await Ledger.open(config.state_dir),
    history: await openJournal(join(config.state_dir, 'history'), historyEntry, mostHistoryEntries),
  }

  const channels: Channel[] = []
  start({ stop: () => saveAll(channels) })
  const report: ChannelParts['report'] = (about, signal) => origin.report({ ...about, node, site, version }, signal)
  for (const [name, channelConfig] of Object.entries(config.channels)) {
    const installer = start(await openInstaller(name, channelConfig, { clock, log }))
    const channel = new Channel(name, { trust, exchanges, installer, ...records, report, clock, log })
    await channel.recover()
    channels.push(channel)
  }
  const runners = new Map(
    channels.map(channel => [
      channel.name,
      start(startRunner(signal => channel.cycle(signal), { retryMs: config.retry_s * second, clock, random })),
    ]),
  )
  const checkAll = () => {
    for (const runner of runners.values()) void runner.run()
  }
  const schedule = start(startSchedule(config.schedule, config.schedule_jitter_s * second, checkAll, { clock, random }))
  const handlers = handlersOf({
    config,
    engine,
    exchanges,
    channels,
    runners,
    schedule,
    history: records.history,
    clock,
    lanAddress: () => `${lan()}:${engine.port}`,
  })
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

function startEngine({ engine, lan }: NodeConfig): Promise<SwarmEngine> {
  const options = { listen: { host: lan.listen, port: lan.port }, networks: lan.networks, maxPeers: lan.max_peers }
  return engines[engine](options)
}

/** The tracker takes an address that no neighbour can dial for "the one you see". */
const anyAddress = '0.0.0.0'

function ownLanAddress({ lan }: NodeConfig): string {
  return lan.address ?? lanAddress(allowNetworks(lan.networks)) ?? anyAddress
}

/** Figures to the disk, and what was served long enough off it. */
function startHousekeeping({ channels, exchanges, clock, log }: HousekeepingParts): Stoppable {
  const ended = new AbortController()
  const serving = Promise.all(channels.map(channel => channel.serveAgain(ended.signal)))
  const done = (async () => {
    for (;;) {
      await clock.sleep(housekeepingMs, ended.signal)
      await exchanges.expire(clock.now()).catch(error => log.warn({ ...describeError(error) }, 'old artifacts stay'))
      await saveAll(channels)
    }
  })().catch(error => {
    if (!ended.signal.aborted) throw error
  })
  return {
    async stop() {
      ended.abort(new DOMException('the daemon is stopping', 'AbortError'))
      await Promise.all([done, serving])
    },
  }
}

interface HousekeepingParts {
  readonly channels: readonly Channel[]
  readonly exchanges: Exchanges
  readonly clock: Clock
  readonly log: Log
}

async function saveAll(channels: readonly Channel[]): Promise<void> {
  for (const channel of channels) await channel.save()
}
