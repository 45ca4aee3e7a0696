/**
 * What `sigmesh check` says to a monitoring system. Pure: the daemon's answer and thresholds in, one line and a code out, by the
 * Monitoring Plugins guidelines (https://www.monitoring-plugins.org/doc/guidelines.html).
 *
 *   SIGMESH OK - clamav release 42, checked 5 min ago | clamav_age=300s;7200;86400;0 clamav_wan=4800000c …
 *
 * Rules, for each channel; the worst one wins
 *  - CRITICAL  no check has succeeded for longer than the critical age (from the daemon's start, when none ever did)
 *  - CRITICAL  the last cycle failed with a TrustError: someone may be tampering, which no one should sleep through
 *  - CRITICAL  nothing is installed, and the daemon has been up for longer than the warning age
 *  - WARNING   no success for longer than the warning age; the last cycle failed otherwise; nothing is installed yet
 */
import { errorCatalog } from '../core/errors.ts'
import { formatSpan, second } from '../core/units.ts'
import type { ChannelStatus, NodeStatus } from '../daemon/status.ts'
import { release } from './phrases.ts'
import { printable } from './printable.ts'

export const nagios = { OK: 0, WARNING: 1, CRITICAL: 2, UNKNOWN: 3 } as const
export type NagiosState = keyof typeof nagios

export interface Thresholds {
  /** Longest time without a successful check, milliseconds. */
  readonly warningMs: number
  readonly criticalMs: number
}

export interface Verdict {
  readonly state: NagiosState
  /** One line, without a line end. */
  readonly line: string
}

export function judge(answer: NodeStatus, thresholds: Thresholds): Verdict {
  const status = printable(answer)
  if (status.channels.length === 0) return verdict('UNKNOWN', 'the node has no channel')
  const judged = status.channels.map(channel => judgeChannel(channel, status, thresholds))
  const worst = judged.reduce(
    (worst, { state }) => (nagios[state] > nagios[worst] ? state : worst),
    'OK' as NagiosState,
  )
  // The reason for the alarm comes first: pagers and SMS cut the line.
  const texts = judged.toSorted((a, b) => nagios[b.state] - nagios[a.state]).map(({ text }) => text)
  const perfdata = status.channels.flatMap(channel => channelPerfdata(channel, status, thresholds))
  return verdict(worst, texts.join('; '), perfdata)
}

/** @param text May hold anything; a `|` in it would begin the perfdata. */
export function verdict(state: NagiosState, text: string, perfdata: readonly string[] = []): Verdict {
  const line = `SIGMESH ${state} - ${printable(text).replaceAll('|', '/')}`
  return { state, line: perfdata.length === 0 ? line : `${line} | ${perfdata.join(' ')}` }
}

function judgeChannel(
  channel: ChannelStatus,
  status: NodeStatus,
  { warningMs, criticalMs }: Thresholds,
): { state: NagiosState; text: string } {
  const { installed, failure } = channel
  const age = ageMs(channel, status)
  const name = `${channel.channel} ${installed ? release(installed) : 'has no release installed'}`
  const text = `${name}, ${channel.lastSuccess ? `checked ${formatSpan(age)} ago` : `no successful check for ${formatSpan(age)}`}`
  const reason = failure ? `${text}: ${failure.message} [${failure.code}]` : text
  if (age > criticalMs) return { state: 'CRITICAL', text: reason }
  if (failure && isTrustFailure(failure.code)) return { state: 'CRITICAL', text: reason }
  if (!installed && Date.parse(status.now) - Date.parse(status.startedAt) > warningMs)
    return { state: 'CRITICAL', text: reason }
  if (age > warningMs || failure || !installed) return { state: 'WARNING', text: reason }
  return { state: 'OK', text }
}

/** Since the last success, or since the daemon's start. Not negative: a clock set back must not look like the future. */
function ageMs({ lastSuccess }: ChannelStatus, { now, startedAt }: NodeStatus): number {
  return Math.max(0, Date.parse(now) - Date.parse(lastSuccess ?? startedAt))
}

function isTrustFailure(code: string): boolean {
  return Object.hasOwn(errorCatalog.TrustError, code)
}

/** `label=value[unit];warning;critical;minimum`; bytes only ever grow, so they are counters (`c`), and the grapher makes the rate. */
function channelPerfdata(channel: ChannelStatus, status: NodeStatus, { warningMs, criticalMs }: Thresholds): string[] {
  const { channel: name, bytes, peers, installed } = channel
  const seconds = (ms: number) => Math.floor(ms / second)
  return [
    `${name}_age=${seconds(ageMs(channel, status))}s;${seconds(warningMs)};${seconds(criticalMs)};0`,
    `${name}_release=${installed?.sequence ?? 0}`,
    `${name}_wan=${bytes.wan}c`,
    `${name}_lan_in=${bytes.lanIn}c`,
    `${name}_lan_out=${bytes.lanOut}c`,
    `${name}_wasted=${bytes.wasted}c`,
    `${name}_peers=${peers};;;0`,
  ]
}
