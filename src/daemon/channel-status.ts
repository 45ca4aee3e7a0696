/** How a channel looks from outside: its facts and its exchange, in the shape of status.ts. */

import type { Release } from '../core/release.ts'
import type { InstalledRelease } from '../install/installer.ts'
import type { Channel } from './channel.ts'
import type { Exchanges } from './exchanges.ts'
import type { ChannelStatus, PeerList } from './status.ts'

/** @param nextCheck When the next cycle is planned, ms since 1970. */
export function describeChannel(channel: Channel, exchanges: Exchanges, nextCheck: number): ChannelStatus {
  const { entry, activity, offered, installed } = channel.facts
  const { bytes, lastCheck, lastSuccess, failure } = entry
  const running = exchanges.of(channel.name).at(-1)
  const view = running?.exchange.view()
  const artifact = running?.exchange.release.full
  return {
    channel: channel.name,
    installed: installed ? describeInstalled(installed) : null,
    offered: offered ? describeOffered(offered) : null,
    activity: activity.name,
    activitySince: iso(activity.since),
    progress:
      activity.name === 'obtaining' && view && artifact
        ? {
            artifact: artifact.sha256,
            bytesTotal: artifact.length,
            bytesHave: view.bytesHave,
            piecesTotal: view.pieces,
            piecesHave: view.have,
            bytesPerSecond: view.bytesPerSecond,
          }
        : null,
    seat: view?.seat ? { ...view.seat, since: iso(view.seat.since) } : null,
    bytes,
    serving:
      artifact && running.serveUntil
        ? { artifact: artifact.sha256, bytes: artifact.length, until: iso(running.serveUntil) }
        : null,
    peers: view?.peers.length ?? 0,
    lastCheck,
    lastSuccess,
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

function describeInstalled({ sequence, label, content, since }: InstalledRelease): ChannelStatus['installed'] {
  return { sequence, label: label ?? null, content, since: new Date(since).toISOString() }
}

function describeOffered({ sequence, label, published }: Release): ChannelStatus['offered'] {
  return { sequence, label: label ?? null, published }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
