/**
 * What `sigmesh status` shows. Pure: the daemon's answer in, text out. One block a channel, then the node; in a pipe each line is
 * `CHANNEL <tab> FIELD <tab> TEXT`, so that `grep failed` keeps its context.
 */
import { formatBytes } from '../core/units.ts'
import type { ChannelStatus, NodeStatus } from '../daemon/status.ts'
import { limitsText } from '../daemon/traffic-status.ts'
import { bar, instant, percent, relative, release, since, timeLeft } from './phrases.ts'
import { printable } from './printable.ts'
import { paint, type Style, type Tone } from './style.ts'
import { renderTable } from './table.ts'

interface Field {
  readonly name: string
  readonly text: string
  readonly tone?: Tone
}

/** @param answer As the daemon gave it: the strings in it are made printable here. */
export function renderStatus(answer: NodeStatus, style: Style): string {
  const status = printable(answer)
  const blocks = status.channels.map(channel => channelBlock(channel, status.now, style))
  return [...blocks, ...nodeLines(status, style)].join(style.interactive ? '\n\n' : '\n')
}

function channelBlock(channel: ChannelStatus, now: string, style: Style): string {
  const fields = channelFields(channel, now, style.interactive)
  if (!style.interactive) return fields.map(({ name, text }) => `${channel.channel}\t${name}\t${text}`).join('\n')
  const { text, tone } = headline(channel)
  const rows = fields.map(({ name, text, tone }) => [name, tone === undefined ? text : paint(style, tone, text)])
  const table = renderTable(style, [{ title: '' }, { title: '', wraps: true }], rows)
  return `${paint(style, 'strong', channel.channel)}  ${paint(style, tone, text)}\n${table}`
}

/** The answer in three words, before any detail. */
function headline({ installed, offered, refused, hold, failure }: ChannelStatus): { text: string; tone: Tone } {
  if (failure) return { text: `failing: ${failure.code}`, tone: 'bad' }
  if (!installed) return { text: 'nothing installed yet', tone: 'warning' }
  if (hold) return { text: 'held', tone: 'warning' }
  if (refused) return { text: `rolled back from release ${refused.sequence}`, tone: 'warning' }
  if (offered && offered.sequence > installed.sequence)
    return { text: `updating to release ${offered.sequence}`, tone: 'warning' }
  return { text: 'up to date', tone: 'good' }
}

function channelFields(channel: ChannelStatus, now: string, drawn: boolean): Field[] {
  const { installed, offered, refused, hold, failure, trouble, bytes, seat, serving } = channel
  return [
    {
      name: 'installed',
      text: installed
        ? `${release(installed)}, ${relative(installed.since, now)} (${instant(installed.since)})`
        : 'none',
    },
    { name: 'newest', text: newest(installed, offered) },
    { name: 'now', text: activity(channel, now, drawn) },
    ...(trouble
      ? [
          { name: 'trouble', text: `${trouble.message} [${trouble.code}]`, tone: 'warning' as const },
          ...(failure?.code === trouble.code ? [] : [{ name: 'advice', text: trouble.advice }]),
        ]
      : []),
    ...(hold ? [{ name: 'held', text: heldText(hold, now), tone: 'warning' as const }] : []),
    ...(refused
      ? [
          {
            name: 'refused',
            text: `release ${refused.sequence}, ${relative(refused.at, now)}: ${refused.message}`,
            tone: 'warning' as const,
          },
        ]
      : []),
    ...(failure
      ? [
          {
            name: 'failed',
            text: `${relative(failure.at, now)}: ${failure.message} [${failure.code}]`,
            tone: 'bad' as const,
          },
          { name: 'advice', text: failure.advice },
        ]
      : []),
    {
      name: 'bytes',
      text: `WAN ${formatBytes(bytes.wan)}, LAN in ${formatBytes(bytes.lanIn)}, LAN out ${formatBytes(bytes.lanOut)}, wasted ${formatBytes(bytes.wasted)}`,
    },
    {
      name: 'seat',
      text: seat ? `${seat.pieces} pieces (${formatBytes(seat.bytes)}) for ${since(seat.since, now)}` : 'none',
    },
    {
      name: 'serving',
      text: serving
        ? `${formatBytes(serving.bytes)} of ${serving.artifact.slice(0, 12)}, ends ${relative(serving.until, now)}`
        : 'nothing',
    },
    { name: 'peers', text: String(channel.peers) },
    { name: 'checked', text: checks(channel, now) },
  ]
}

function heldText({ since, until }: NonNullable<ChannelStatus['hold']>, now: string): string {
  const end = until === null ? 'until `sigmesh hold --release`' : `until ${instant(until)} (${relative(until, now)})`
  return `nothing new is installed ${end}; since ${instant(since)}`
}

function newest(installed: ChannelStatus['installed'], offered: ChannelStatus['offered']): string {
  if (!offered) return 'not known yet'
  const same = installed?.sequence === offered.sequence ? ', the installed one' : ''
  return `${release(offered)}, published ${instant(offered.published)}${same}`
}

function checks({ lastCheck, lastSuccess, nextCheck }: ChannelStatus, now: string): string {
  const when = (time: string | null) => (time === null ? 'never' : relative(time, now))
  return `${when(lastCheck)}, last success ${when(lastSuccess)}, next ${nextCheck === null ? 'not planned' : relative(nextCheck, now)}`
}

/** What a channel does now and how far: `obtaining for 12 s, 25 %, 5.0 MiB of 20.0 MiB (20 of 80 pieces), 1.0 MiB/s, 15 s left`. */
export function activity({ activity, activitySince, progress }: ChannelStatus, now: string, drawn: boolean): string {
  const doing = `${activity} for ${since(activitySince, now)}`
  if (!progress) return doing
  const { bytesHave, bytesTotal, piecesHave, piecesTotal, bytesPerSecond } = progress
  const left = timeLeft(progress)
  return [
    drawn
      ? `${doing} ${bar(bytesHave / bytesTotal)} ${percent(bytesHave, bytesTotal)}`
      : `${doing}, ${percent(bytesHave, bytesTotal)}`,
    `${formatBytes(bytesHave)} of ${formatBytes(bytesTotal)} (${piecesHave} of ${piecesTotal} pieces)`,
    left === undefined ? 'no bytes are coming' : `${formatBytes(bytesPerSecond)}/s, ${left} left`,
  ].join(', ')
}

const pushes: Readonly<Record<NodeStatus['push']['state'], string>> = {
  off: 'not asked for',
  connecting: 'connecting',
  listening: 'at once',
  spared: 'not needed: others of the site listen',
  waiting: 'not now',
}

/** How this node hears of news, and from whom. */
function newsLines(status: NodeStatus): { name: string; text: string }[] {
  const { push, metadata, beacon, now } = status
  const from =
    metadata.from === null || metadata.at === null ? '' : `, last by ${metadata.from} ${relative(metadata.at, now)}`
  const why = push.error ? ` (${push.error.message} [${push.error.code}])` : ''
  return [
    {
      name: 'news',
      text: `from the origin ${pushes[push.state]}${why}; metadata at snapshot ${metadata.snapshot}${from}`,
    },
    { name: 'beacon', text: beacon ? `beacon ${beaconText(beacon, now)}` : 'no beacon' },
  ]
}

function beaconText(beacon: NonNullable<NodeStatus['beacon']>, now: string): string {
  const { state, group, neighbours, heardLast, sent, heard, served, dropped } = beacon
  const last = heardLast[0] ? `, last ${heardLast[0].node} ${relative(heardLast[0].at, now)}` : ''
  const thrown = Object.entries(dropped).flatMap(([why, count]) => (count > 0 ? [`${count} ${why}`] : []))
  const counts = `${sent} sent, ${heard} heard, ${served} files shown${thrown.length > 0 ? `, dropped ${thrown.join(', ')}` : ''}`
  return `${state} at ${group}; ${neighbours} neighbours${last}; ${counts}`
}

function nodeLines(status: NodeStatus, style: Style): string[] {
  const lines = [
    ...newsLines(status),
    { name: 'traffic', text: trafficText(status) },
    { name: 'limits', text: limitsText(status.limits) },
    { name: 'node', text: aboutNode(status) },
  ]
  if (style.interactive) return [lines.map(({ text }) => paint(style, 'faint', text)).join('\n')]
  return lines.map(({ name, text }) => `-\t${name}\t${text}`)
}

/** By source, since the daemon's start. */
function trafficText({ traffic: { wan, lan } }: NodeStatus): string {
  const { payload, metadata, seats, tracker, news, reports, protocol } = wan
  const wanParts = { payload, metadata, seats, tracker, news, reports, protocol }
  const lanParts = { pieces: lan.pieces, metadata: lan.metadata, beacons: lan.beacons }
  const named = (way: 'bytesIn' | 'bytesOut', parts: Readonly<Record<string, { bytesIn: number; bytesOut: number }>>) =>
    Object.entries(parts)
      .filter(([, bytes]) => bytes[way] > 0)
      .map(([name, bytes]) => `${name} ${formatBytes(bytes[way])}`)
      .join(', ') || 'nothing'
  const wanText = `WAN in ${formatBytes(wan.bytesIn)} (${named('bytesIn', wanParts)}), out ${formatBytes(wan.bytesOut)} (${named('bytesOut', wanParts)})`
  const known = lan.neighbours.length
  const lanText = `LAN in ${formatBytes(lan.bytesIn)} (${named('bytesIn', lanParts)}), out ${formatBytes(lan.bytesOut)} (${named('bytesOut', lanParts)})`
  return `${wanText}; ${lanText}, ${known} ${known === 1 ? 'neighbour' : 'neighbours'}`
}

function aboutNode(status: NodeStatus): string {
  const { node, site, version, engine, lanAddress, origin, startedAt, now } = status
  return `${node} at site ${site}, sigmesh ${version}, engine ${engine}, LAN ${lanAddress}, origin ${origin}, up ${since(startedAt, now)}`
}
