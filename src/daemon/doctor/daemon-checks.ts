/** What the running daemon tells of itself and of its channels. */
import { adviceFor, type SigmeshError } from '../../core/errors.ts'
import type { NodeStatus } from '../status.ts'
import { bad, type Finding, ok, skipped, warning } from './finding.ts'

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
