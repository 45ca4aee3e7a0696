/** How a channel looks from outside: its facts and its exchange, in the shape of status.ts. */
import { adviceFor, type DownloadError, describeError } from '../core/errors.ts'
import type { Release } from '../core/release.ts'
import { type Hold, isHeld, type RefusedRelease } from '../install/install-record.ts'
import type { InstalledRelease } from '../install/installer.ts'
import type { Channel } from './channel.ts'
import type { Exchange, ExchangeView } from './exchange.ts'
import type { Exchanges } from './exchanges.ts'
import type { ChannelStatus, HoldResult, PeerList } from './status.ts'

/** @param nextCheck When the next cycle is planned, ms since 1970. */
export function describeChannel(channel: Channel, exchanges: Exchanges, nextCheck: number): ChannelStatus {
  const { entry, activity, offered, installed, refused, hold } = channel.facts
  const { bytes, lastCheck, lastSuccess, failure } = entry
  const exchanging = exchanges.of(channel.name).map(running => ({ ...running, view: running.exchange.view() }))
  // The newest of each kind: while a release is fetched, the one before is served on.
  const fetched = activity.name === 'obtaining' ? exchanging.findLast(({ serveUntil }) => !serveUntil) : undefined
  const served = exchanging.findLast(({ serveUntil }) => serveUntil)
  const seat = exchanging.findLast(({ view }) => view.seat)?.view.seat
  return {
    channel: channel.name,
    installed: installed ? describeInstalled(installed) : null,
    offered: offered ? describeOffered(offered) : null,
    activity: activity.name,
    activitySince: iso(activity.since),
    progress: fetched ? describeProgress(fetched) : null,
    trouble: fetched?.view.trouble ? describeTrouble(fetched.view.trouble) : null,
    seat: seat ? { ...seat, since: iso(seat.since) } : null,
    bytes,
    serving: served?.serveUntil ? describeServed(served.exchange.release, served.serveUntil) : null,
    peers: exchanging.reduce((sum, { view }) => sum + view.peers.length, 0),
    lastCheck,
    lastSuccess,
    refused: refused ? describeRefused(refused) : null,
    hold: describeHold(hold, channel.now()),
    failure,
    nextCheck: iso(nextCheck),
  }
}

export function describePeers(channel: string, exchanges: Exchanges): PeerList {
  return exchanges.of(channel).flatMap(({ exchange }) => {
    const { pieces, peers } = exchange.view()
    return peers.map(({ address: { host, port }, ...peer }) => ({
      ...peer,
      channel,
      artifact: exchange.release.full.sha256,
      address: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
      piecesTotal: pieces,
    }))
  })
}

function describeProgress({ exchange, view }: { readonly exchange: Exchange; readonly view: ExchangeView }) {
  const { sha256, length } = exchange.release.full
  return {
    artifact: sha256,
    bytesTotal: length,
    bytesHave: view.bytesHave,
    piecesTotal: view.pieces,
    piecesHave: view.have,
    bytesPerSecond: view.bytesPerSecond,
  }
}

function describeTrouble(error: DownloadError): ChannelStatus['trouble'] {
  const described = describeError(error)
  return { ...described, advice: adviceFor(described.code) }
}

function describeServed({ full }: Release, until: number): ChannelStatus['serving'] {
  return { artifact: full.sha256, bytes: full.length, until: iso(until) }
}

/** @param now Ms since 1970. A hold whose time is over is none. */
export function describeHold(hold: Hold | null, now: number): HoldResult['hold'] {
  if (!hold || !isHeld(hold, now)) return null
  return { since: iso(hold.since), until: hold.until === null ? null : iso(hold.until) }
}

function describeRefused({ sequence, at, code, message }: RefusedRelease): ChannelStatus['refused'] {
  return { sequence, at: iso(at), code, message }
}

function describeInstalled({ sequence, label, content, since }: InstalledRelease): ChannelStatus['installed'] {
  return { sequence, label: label ?? null, content, since: iso(since) }
}

function describeOffered({ sequence, label, published }: Release): ChannelStatus['offered'] {
  return { sequence, label: label ?? null, published }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
