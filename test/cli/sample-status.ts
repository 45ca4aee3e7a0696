/** A node's answers as the control socket gives them, for tests of what the CLI makes of them. */
import type { ChannelStatus, NodeStatus } from '../../src/daemon/status.ts'

export const sampleNow = '2026-11-22T12:00:00.000Z'

/** `minutes` before `sampleNow`. */
export function ago(minutes: number): string {
  return new Date(Date.parse(sampleNow) - minutes * 60_000).toISOString()
}

export function channelStatus(changes: Partial<ChannelStatus> = {}): ChannelStatus {
  return {
    channel: 'clamav',
    installed: { sequence: 42, label: 'daily 27810', content: '0d'.repeat(32) as never, since: ago(180) },
    offered: { sequence: 42, label: 'daily 27810', published: '2026-11-22T08:55:00Z' },
    activity: 'idle',
    activitySince: ago(5),
    progress: null,
    trouble: null,
    seat: null,
    bytes: { wan: 4_800_000, lanIn: 19_200_000, lanOut: 40_000_000, wasted: 0 },
    serving: null,
    peers: 7,
    lastCheck: ago(5),
    lastSuccess: ago(5),
    refused: null,
    hold: null,
    failure: null,
    nextCheck: ago(-10),
    ...changes,
  }
}

/** In mid-transfer of a newer release, with a seat, after a failure: every line of `status` has something to say. */
export const busyChannel: ChannelStatus = channelStatus({
  offered: { sequence: 43, label: 'daily 27811', published: '2026-11-22T11:48:00Z' },
  activity: 'obtaining',
  activitySince: ago(0.2),
  progress: {
    artifact: 'ab'.repeat(32) as never,
    bytesTotal: 20 * 1024 * 1024,
    bytesHave: 5 * 1024 * 1024,
    piecesTotal: 80,
    piecesHave: 20,
    bytesPerSecond: 1024 * 1024,
  },
  seat: { since: ago(0.2), pieces: 24, bytes: 6 * 1024 * 1024 },
  serving: { artifact: 'cd'.repeat(32) as never, bytes: 20 * 1024 * 1024, until: ago(-120) },
  failure: {
    at: ago(4),
    code: 'origin_unreachable',
    message: 'https://origin.example does not answer: connect ECONNREFUSED',
    advice: 'Check the WAN line.',
  },
})

const both = (bytesIn: number, bytesOut: number) => ({ bytesIn, bytesOut })
const flow = (bytesIn: number, bytesOut: number, connections: number) => ({ bytesIn, bytesOut, connections })

export function nodeStatus(...channels: ChannelStatus[]): NodeStatus {
  return {
    version: '0.1.0',
    node: 'pc-7',
    site: 'berlin',
    origin: 'https://origin.example',
    engine: 'webtorrent',
    lanAddress: '10.0.0.7:6889',
    startedAt: ago(2 * 24 * 60),
    now: sampleNow,
    push: { state: 'listening', error: null },
    limits: {
      wan_down: { bytesPerSecond: 500_000, window: 'mon, tue 08:00-18:00' },
      lan_up: { bytesPerSecond: 25_000_000, window: null },
      lan_down: { bytesPerSecond: null, window: null },
    },
    traffic: {
      wan: {
        ...flow(4_900_000, 60_000, 2),
        payload: both(4_800_000, 0),
        metadata: both(20_000, 0),
        seats: both(30_000, 20_000),
        tracker: both(2000, 0),
        news: both(500, 100),
        reports: both(0, 900),
        protocol: both(47_500, 39_000),
      },
      lan: {
        ...flow(19_500_000, 40_600_000, 7),
        pieces: both(19_200_000, 40_400_000),
        metadata: both(100_000, 100_000),
        beacons: both(200_000, 100_000),
        neighbours: [{ address: '10.0.0.8', ...flow(19_300_000, 40_500_000, 7) }],
        lastCaller: { address: '10.0.0.8', at: ago(3) },
      },
    },
    metadata: { timestamp: 12, snapshot: 7, from: 'pc-3', at: ago(5) },
    beacon: {
      state: 'on',
      group: '239.255.83.77:6891',
      sent: 40,
      heard: 800,
      dropped: { malformed: 0, other_key: 3, forged: 0, replayed: 0, clock_skew: 0, misplaced: 0 },
      served: 12,
      neighbours: 7,
      heardLast: [{ node: 'pc-3', address: '10.0.0.3', snapshot: 7, artifacts: 1, at: ago(0.5) }],
    },
    channels,
  }
}
