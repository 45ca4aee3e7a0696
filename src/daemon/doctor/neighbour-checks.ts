/** Between this machine and its neighbours: whether they can dial it, whether beacons get through both ways, and who is there. */
import { connect } from 'node:net'
import type { SigmeshError } from '../../core/errors.ts'
import { formatBytes, second } from '../../core/units.ts'
import type { NodeConfig } from '../config.ts'
import type { NodeStatus, ReachList } from '../status.ts'
import { type Daemon, isRunning } from './daemon-checks.ts'
import { bad, type Finding, ok, skipped, warning } from './finding.ts'

/** What the daemon heard from the neighbours that it asked to dial it back, or why it was not asked. */
export type Reached = ReachList | SigmeshError

const dialTimeoutMs = 2 * second
const notRunning = 'not looked at: the daemon does not run'

/** May neighbours connect to this node? One that has just tried knows; else whoever has connected before proves that it could, then. */
export async function examinePort(daemon: Daemon, reached: Reached, config: NodeConfig): Promise<Finding> {
  if (!isRunning(daemon)) return skipped('port', notRunning)
  const { lanAddress } = daemon
  const asked = reached instanceof Error ? [] : reached
  const could = asked.filter(({ outcome }) => outcome === 'reached')
  const couldNot = asked.filter(({ outcome }) => isFailure(outcome))
  const tried = couldNot.map(({ node, address, outcome }) => `${node} (${address}) could not: ${failures[outcome]}`)
  const port = lanAddress.slice(lanAddress.lastIndexOf(':') + 1)
  const advice = `Let TCP port ${port} in from ${config.lan.networks.join(', ')}, on this machine and on the switches between.`
  const dialled = `just dialled ${lanAddress}`
  if (could.length > 0 && couldNot.length > 0)
    return warning('port', `${names(could)} ${dialled}, ${tried.join(', ')}`, advice)
  if (could.length > 0) return ok('port', `${names(could)} ${dialled}`)
  if (couldNot.length > 0) return bad('port', `${tried.join(', ')}, at ${lanAddress}`, advice)
  return examineUnasked(daemon, config, advice)
}

const failures: Partial<Record<ReachList[number]['outcome'], string>> = {
  timeout: 'no answer, as where a firewall drops',
  refused: 'refused, as where nobody listens',
  unreachable: 'no way there',
}

function isFailure(outcome: ReachList[number]['outcome']): boolean {
  return failures[outcome] !== undefined
}

/** Nobody could be asked. A connection from this very machine only proves that somebody listens. */
async function examineUnasked(daemon: NodeStatus, { lan }: NodeConfig, advice: string): Promise<Finding> {
  const { lanAddress } = daemon
  const { lastCaller } = daemon.traffic.lan
  if (lastCaller) return ok('port', `${lastCaller.address} has connected to ${lanAddress}, last at ${lastCaller.at}`)
  const at = lanAddress.lastIndexOf(':')
  const [host, port] = [lanAddress.slice(0, at), Number(lanAddress.slice(at + 1))]
  const listens = await isAnswered(lan.address === undefined && host === '0.0.0.0' ? '127.0.0.1' : host, port)
  if (!listens)
    return bad(
      'port',
      `nobody answers on ${lanAddress}`,
      'Check `lan.listen`, `lan.address` and the firewall of this machine.',
    )
  const saw = `open on ${lanAddress}, but no neighbour has connected since the daemon started, and none could be asked to`
  return warning('port', saw, `If neighbours run: ${advice[0]!.toLowerCase()}${advice.slice(1)}`)
}

/** Whether beacons come in is for the daemon to say; whether its own get out, for neighbours: they dial only whom they have heard. */
export function examineBeacon(daemon: Daemon, reached: Reached): Finding[] {
  if (!isRunning(daemon)) return [skipped('multicast', notRunning)]
  const { beacon } = daemon
  if (!beacon) return [skipped('multicast', 'the beacon is off by node.toml')]
  return [multicast(beacon, reached), otherSites(daemon.site, beacon.dropped.other_key)]
}

function multicast(
  { state, group, sent, heard, neighbours }: NonNullable<NodeStatus['beacon']>,
  reached: Reached,
): Finding {
  const from = neighbours === 1 ? 'one neighbour' : `${neighbours} neighbours`
  const saw = `${sent} sent to ${group}, ${heard} heard, ${from} now`
  const network =
    'let the group through on this machine, on the switches (IGMP snooping) and on the Wi-Fi (client isolation).'
  if (state === 'flooded')
    return bad('multicast', `${saw}; flooded`, 'Find who floods the group: `sigmesh status` counts what is dropped.')
  if (state === 'closed') {
    const advice = 'It needs a network inside `lan.networks`, and the key of the site, which the origin gives.'
    return warning('multicast', `${saw}; closed`, advice)
  }
  const asked = reached instanceof Error ? [] : reached
  const deaf = asked.filter(({ outcome }) => outcome === 'unheard')
  // Also who is busy looks first whether it has heard who asks.
  const hear = asked.filter(({ outcome }) => outcome !== 'unheard' && outcome !== 'silent')
  if (deaf.length > 0 && hear.length === 0)
    return warning(
      'multicast',
      `${saw}; ${names(deaf)} answered, and heard nothing from here`,
      `One way only: ${network}`,
    )
  if (neighbours > 0 || hear.length > 0)
    return ok('multicast', hear.length > 0 ? `${saw}; ${names(hear)} heard this node` : saw)
  return warning('multicast', saw, `If neighbours run: ${network}`)
}

/** @param count Beacons under the key of another site, or under this one's before or after a node was revoked. */
function otherSites(site: string, count: number): Finding {
  if (count === 0) return ok('site', `${site}; no neighbour of another site was heard`)
  return warning(
    'site',
    `${site}; ${count} beacons of another site, or under an older key, were heard`,
    'If those machines are of this branch, give them the same `site` and let them join again.',
  )
}

export function examineNeighbours(daemon: Daemon, site: string): Finding {
  if (!isRunning(daemon)) return skipped('neighbours', notRunning)
  const { neighbours, bytesIn, bytesOut } = daemon.traffic.lan
  const flow = `${formatBytes(bytesIn)} in, ${formatBytes(bytesOut)} out`
  if (neighbours.length > 0) return ok('neighbours', `${neighbours.length} at site ${site} since the start, ${flow}`)
  return warning(
    'neighbours',
    `none at site ${site} since the start`,
    'Alone in a branch that is right; else see `tracker`, `port` and `multicast`.',
  )
}

/** `pc-3 and pc-4`. */
function names(asked: ReachList): string {
  return asked.map(({ node }) => node).join(' and ')
}

function isAnswered(host: string, port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = connect({ host, port, timeout: dialTimeoutMs })
    const end = (answered: boolean) => {
      probe.destroy()
      resolve(answered)
    }
    probe.once('connect', () => end(true))
    probe.once('timeout', () => end(false))
    probe.once('error', () => end(false))
  })
}
