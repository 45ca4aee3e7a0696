/**
 * `sigmesh doctor`: why does this machine not get what it should? It looks at everything between a node and its releases, whether the daemon
 * runs or not, and changes nothing. Pieces: origin-checks.ts, daemon-checks.ts,
 * neighbour-checks.ts, disk-checks.ts.
 */
import type { Clock } from '../../core/clock.ts'
import type { Infohash } from '../../core/digest.ts'
import { limitsAt } from '../../swarm/limits/limits.ts'
import { allowNetworks, lanAddress } from '../../swarm/networks.ts'
import type { NodeConfig } from '../config.ts'
import { Ledger, readNote } from '../ledger.ts'
import { describeLimits, limitsText } from '../traffic-status.ts'
import { type Daemon, examineDaemon, isRunning } from './daemon-checks.ts'
import { examineDisk, examineQuota } from './disk-checks.ts'
import { type Finding, ok } from './finding.ts'
import { examineBeacon, examineNeighbours, examinePort, type Reached } from './neighbour-checks.ts'
import { examineOrigin } from './origin-checks.ts'

export interface Patient {
  readonly config: NodeConfig
  readonly daemon: Daemon
  /** What neighbours said who were asked to dial this node. */
  readonly reached: Reached
  readonly clock: Clock
}

/** @returns One finding a check, always all of them. An aborted `signal` rejects with its reason. */
export async function examine({ config, daemon, reached, clock }: Patient, signal: AbortSignal): Promise<Finding[]> {
  const infohash = await knownArtifact(config)
  const address = config.lan.address ?? lanAddress(allowNetworks(config.lan.networks)) ?? '0.0.0.0'
  const lanPort = isRunning(daemon) ? Number(/\d+$/.exec(daemon.lanAddress)?.[0]) : config.lan.port
  const about = { config, infohash, lanAddress: address, lanPort, now: () => clock.now() }
  const origin = examineOrigin(about, signal)
  const disks = examineDisk(config)
  const rates = isRunning(daemon) ? daemon.limits : describeLimits(limitsAt(config.limits, clock.now()))
  const { emergency_overrides } = config.limits
  return [
    ...examineDaemon(daemon),
    ...(await origin),
    await examinePort(daemon, reached, config),
    ...examineBeacon(daemon, reached),
    examineNeighbours(daemon, config.site),
    ...(await disks),
    await examineQuota(config),
    ok('limits', `${limitsText(rates)}; an emergency ${emergency_overrides ? 'passes them by' : 'keeps to them, too'}`),
  ]
}

/** Of a release that this node has served: the tracker knows it, most likely. */
async function knownArtifact({ state_dir, channels }: NodeConfig): Promise<Infohash | undefined> {
  const ledger = await Ledger.open(state_dir).catch(() => undefined) // another user's, or none: then the tracker is asked in general
  const notes = Object.keys(channels).flatMap(
    name => ledger?.channel(name).served.map(note => readNote(name, note)) ?? [],
  )
  return notes.findLast(release => release !== undefined)?.full.infohash
}
