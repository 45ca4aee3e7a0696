/** What the running daemon tells: how its channels are, and who comes and goes. */
import { connect } from 'node:net'
import { adviceFor, type SigmeshError } from '../../core/errors.ts'
import { formatBytes, second } from '../../core/units.ts'
import type { NodeConfig } from '../config.ts'
import type { NodeStatus } from '../status.ts'
import { bad, type Finding, ok, skipped, warning } from './finding.ts'

const dialTimeoutMs = 2 * second

/** The daemon's answer, or why there is none. */
export type Daemon = NodeStatus | SigmeshError

export function isRunning(daemon: Daemon): daemon is NodeStatus {
  return !(daemon instanceof Error)
}

export function examineDaemon(daemon: Daemon): Finding[] {
  if (!isRunning(daemon)) return [notRunning(daemon)]
  const { version, startedAt, push } = daemon
  const channels = daemon.channels.map(({ channel, failure, installed, hold, activity }) => {
    const check = `channel ${channel}`
    if (failure) return bad(check, `${failure.message} [${failure.code}]`, failure.advice)
    if (hold) return warning(check, `held since ${hold.since}`, `sigmesh hold ${channel} --release, when it may go on.`)
    if (!installed) return warning(check, `nothing is installed yet, ${activity} now`, `sigmesh update ${channel}`)
    return ok(check, `release ${installed.sequence} since ${installed.since}, ${activity} now`)
  })
  const news = push.error
    ? warning(
        'news',
        `${push.state}: ${push.error.message} [${push.error.code}]`,
        'News comes by the schedule meanwhile; see `origin`.',
      )
    : ok('news', push.state)
  return [ok('daemon', `sigmesh ${version} runs since ${startedAt}`), ...channels, news]
}

function notRunning({ message, code, facts }: SigmeshError): Finding {
  if (facts.reason === 'EACCES') return skipped('daemon', `${message}; run as root to see more`)
  if (code !== 'daemon_unreachable') return bad('daemon', message, adviceFor(code))
  const advice = 'Start it (systemctl start sigmesh-node), or look why it ended (journalctl -u sigmesh-node).'
  return bad('daemon', message, advice)
}

/** May neighbours connect to this node? Who has, proves it; a connection from this very machine only proves that somebody listens. */
export async function examinePort(daemon: Daemon, { lan }: NodeConfig): Promise<Finding> {
  if (!isRunning(daemon)) return skipped('port', 'not looked at: the daemon does not run')
  const { lastCaller } = daemon.traffic.lan
  const { lanAddress } = daemon
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
  return warning(
    'port',
    `open on ${lanAddress}, but no neighbour has connected since the daemon started`,
    `If neighbours run: let TCP port ${port} in from ${lan.networks.join(', ')}, on this machine and on the switches between.`,
  )
}

export function examineNeighbours(daemon: Daemon, site: string): Finding {
  if (!isRunning(daemon)) return skipped('neighbours', 'not looked at: the daemon does not run')
  const { neighbours, bytesIn, bytesOut } = daemon.traffic.lan
  const flow = `${formatBytes(bytesIn)} in, ${formatBytes(bytesOut)} out`
  if (neighbours.length > 0) return ok('neighbours', `${neighbours.length} at site ${site} since the start, ${flow}`)
  return warning(
    'neighbours',
    `none at site ${site} since the start`,
    'Alone in a branch that is right; else see `tracker` and `port`.',
  )
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
