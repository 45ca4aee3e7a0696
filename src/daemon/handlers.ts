/** What the control socket answers: the parts of the node, in the shapes of status.ts. */
import type { Clock } from '../core/clock.ts'
import { ControlError, describeError } from '../core/errors.ts'
import { torrentUrlPath } from '../core/release.ts'
import { version } from '../core/version.ts'
import type { Journal } from '../store/journal.ts'
import type { SwarmEngine } from '../swarm/engine.ts'
import type { Ear } from '../swarm/events/listen.ts'
import type { Limits } from '../swarm/limits/limits.ts'
import type { OriginClient } from '../swarm/origin-client.ts'
import type { Channel } from './channel.ts'
import { describeChannel, describeHold, describePeers } from './channel-status.ts'
import type { NodeConfig } from './config.ts'
import type { ControlHandlers } from './control-server.ts'
import type { Exchanges } from './exchanges.ts'
import type { RunningNeighbourhood } from './neighbourhood.ts'
import type { Runner, Schedule } from './schedule.ts'
import type { CycleResult, HistoryEntry, NodeStatus } from './status.ts'
import { describeLimits, describeTraffic } from './traffic-status.ts'
import type { Trust } from './trust.ts'

export interface NodeParts {
  readonly config: NodeConfig
  readonly origin: OriginClient
  readonly limits: Limits
  readonly engine: SwarmEngine
  readonly exchanges: Exchanges
  readonly channels: readonly Channel[]
  readonly runners: ReadonlyMap<string, Runner<CycleResult>>
  readonly schedule: Schedule
  /** Undefined when node.toml wants none. */
  readonly ear: Ear | undefined
  /** The same. */
  readonly neighbourhood: RunningNeighbourhood | undefined
  readonly trust: Pick<Trust, 'shelf'>
  /** Where the last refresh looked. */
  looked(): { readonly from: string; readonly at: number } | undefined
  readonly history: Journal<HistoryEntry>
  readonly clock: Clock
  /** Aborts when the daemon stops. */
  readonly ended: AbortSignal
  /** The address and port that neighbours dial. */
  lanAddress(): string
}

export function handlersOf(parts: NodeParts): ControlHandlers {
  const { config, engine, exchanges, channels, runners, history, clock, ended } = parts
  const startedAt = iso(clock.now())
  const channelOf = (name: string): Channel =>
    channels.find(channel => channel.name === name) ?? unknownChannel(name, runners)
  return {
    status: () => ({
      version,
      node: config.node,
      site: config.site,
      origin: config.origin,
      engine: engine.name,
      lanAddress: parts.lanAddress(),
      startedAt,
      now: iso(clock.now()),
      push: describePush(parts.ear),
      limits: describeLimits(parts.limits.view()),
      traffic: describeTraffic(parts.origin, engine, parts.neighbourhood?.view()),
      metadata: describeMetadata(parts),
      beacon: parts.neighbourhood ? describeBeacon(parts.neighbourhood, parts) : null,
      channels: channels.map(channel => describeChannel(channel, exchanges, nextCheck(channel.name, parts))),
    }),
    peers: () => channels.flatMap(channel => describePeers(channel.name, exchanges)),
    history: limit => history.last(limit),
    update: (name, signal, retry) => {
      const wanted = name === undefined ? channels : [channelOf(name)]
      const run = async (channel: Channel) => {
        // What cannot be forgotten now, the cycle finds out of order too, and tells.
        if (retry) await channel.retry().catch(() => {})
        return runners.get(channel.name)!.runAfresh()
      }
      return unlessGone(Promise.all(wanted.map(run)), signal)
    },
    rollBack: async (name, signal) => unlessGone(channelOf(name).rollBack(ended), signal),
    hold: async (name, until) => {
      const hold = await channelOf(name).hold(until)
      return { channel: name, hold: describeHold(hold, clock.now()) }
    },
    announceUrl: async (name, signal) => {
      const release = exchanges.of(channelOf(name).name).at(-1)?.exchange.release ?? channelOf(name).facts.offered
      if (!release) throw new ControlError('daemon_refused', `this node knows of no release of ${name} as yet`)
      const { sequence, full } = release
      const announce = await parts.origin.announceUrl(full.sha256, config.site, AbortSignal.any([signal, ended]))
      const torrent = `${config.origin.replace(/\/$/, '')}${torrentUrlPath(full)}`
      return { channel: name, sequence, artifact: full.sha256, announce, torrent }
    },
    reach: async signal => {
      const asked = (await parts.neighbourhood?.askReach(AbortSignal.any([signal, ended]))) ?? []
      return asked.map(({ neighbour: { node, address, http }, outcome }) => ({ node, address, http, outcome }))
    },
  }
}

/** One line for `systemctl status`: `clamav 42 idle; yara 7 obtaining 40 %; failed: origin_unreachable`. */
export function summarise({ channels }: NodeStatus): string {
  return channels
    .map(({ channel, installed, activity, progress, failure }) => {
      const far = progress ? ` ${Math.floor((100 * progress.bytesHave) / progress.bytesTotal)} %` : ''
      return `${channel} ${installed?.sequence ?? 'none'} ${activity}${far}${failure ? ` (${failure.code})` : ''}`
    })
    .join('; ')
}

function describeMetadata({ trust, looked }: NodeParts): NodeStatus['metadata'] {
  const last = looked()
  const { timestamp, snapshot } = trust.shelf.versions
  return { timestamp, snapshot, from: last?.from ?? null, at: last ? iso(last.at) : null }
}

const mostNeighboursShown = 20

function describeBeacon(neighbourhood: RunningNeighbourhood, { config, clock }: NodeParts): NodeStatus['beacon'] {
  const { state, sent, heard, dropped, served, neighbours } = neighbourhood.view()
  const { group, port } = config.lan.beacon
  const wall = clock.now() - clock.monotonic()
  const shown = neighbours.slice(-mostNeighboursShown).reverse()
  return {
    state,
    group: `${group}:${port}`,
    sent,
    heard,
    dropped: { ...dropped },
    served,
    neighbours: neighbours.length,
    heardLast: shown.map(({ node, address, snapshot, artifacts, heardAt }) => ({
      node,
      address,
      snapshot,
      artifacts: artifacts.length,
      at: iso(wall + heardAt),
    })),
  }
}

function describePush(ear: Ear | undefined): NodeStatus['push'] {
  if (!ear) return { state: 'off', error: null }
  const { state, lastError } = ear.view()
  return { state, error: lastError && describeError(lastError) }
}

/** What was begun goes on when whoever asked has gone. */
function unlessGone<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const gone = Promise.withResolvers<never>()
  signal.addEventListener('abort', () => gone.reject(signal.reason), { once: true })
  if (signal.aborted) gone.reject(signal.reason)
  return Promise.race([work, gone.promise])
}

function nextCheck(channel: string, { runners, schedule }: NodeParts): number {
  return Math.min(schedule.nextAt, runners.get(channel)?.retryAt ?? Number.POSITIVE_INFINITY)
}

function unknownChannel(name: string, runners: ReadonlyMap<string, unknown>): never {
  const known = [...runners.keys()].join(', ')
  throw new ControlError('daemon_refused', `this node has no channel ${name}; it has ${known}`, { channel: name })
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
