/**
 * What `sigmesh status` shows: the daemon's answer to the on-call engineer. One shape for the control socket, `--json` and the
 * tables. Times are ISO 8601 in UTC; sizes are bytes; null means "not known" or "none", never zero.
 */
import { channelName, nodeName, sha256Hex, siteName, wholeNumber, z } from '../core/schema.ts'
import { reachOutcomes } from '../swarm/dial-back.ts'

export const time = z.iso.datetime()

export const failure = z.strictObject({
  at: time,
  code: z.string(),
  /** One sentence: what was expected, what was found. */
  message: z.string(),
  /** What to do next. */
  advice: z.string(),
})

/** Artifact bytes of a channel since the node was first started; kept over restarts. */
export const byteTotals = z.strictObject({
  wan: wholeNumber,
  lanIn: wholeNumber,
  lanOut: wholeNumber,
  /** Thrown away: bad or double. Not part of the others. */
  wasted: wholeNumber,
})

export type Bytes = z.infer<typeof byteTotals>

export const activities = [
  'idle',
  'checking',
  'refreshing',
  'obtaining',
  'verifying',
  'installing',
  'reporting',
] as const
export type Activity = (typeof activities)[number]

const channelHold = z.strictObject({ since: time, until: time.nullable() })

const channelStatus = z.strictObject({
  channel: channelName,
  installed: z
    .strictObject({ sequence: wholeNumber, label: z.string().nullable(), content: sha256Hex, since: time })
    .nullable(),
  /** The newest release that the verified manifest lists. */
  offered: z.strictObject({ sequence: wholeNumber, label: z.string().nullable(), published: z.string() }).nullable(),
  activity: z.enum(activities),
  activitySince: time,
  /** While obtaining: how far. */
  progress: z
    .strictObject({
      artifact: sha256Hex,
      bytesTotal: wholeNumber,
      bytesHave: wholeNumber,
      piecesTotal: wholeNumber,
      piecesHave: wholeNumber,
      /** Over the last seconds, from all sources. */
      bytesPerSecond: wholeNumber,
    })
    .nullable(),
  /** While obtaining: what goes wrong with the origin. The node goes on, and neighbours may bring what it does not. */
  trouble: failure.omit({ at: true }).nullable(),
  /** The lease on WAN pieces this node holds now. */
  seat: z.strictObject({ since: time, pieces: wholeNumber, bytes: wholeNumber }).nullable(),
  bytes: byteTotals,
  /** The newest artifact that this node serves to its neighbours, and until when. */
  serving: z.strictObject({ artifact: sha256Hex, bytes: wholeNumber, until: time }).nullable(),
  /** Connections to neighbours, as `sigmesh peers` lists them. */
  peers: wholeNumber,
  lastCheck: time.nullable(),
  lastSuccess: time.nullable(),
  /** The release that failed here, or that an admin rolled back from; not tried again before something newer comes. */
  refused: z
    .strictObject({
      sequence: wholeNumber,
      at: time,
      /** Null: by hand. */
      code: z.string().nullable(),
      message: z.string(),
    })
    .nullable(),
  /** An admin wants nothing new here; `until` null: until further notice. */
  hold: channelHold.nullable(),
  /** Why the last cycle failed; null when it did not. */
  failure: failure.nullable(),
  nextCheck: time.nullable(),
})

const bothWays = z.strictObject({ bytesIn: wholeNumber, bytesOut: wholeNumber })
const flow = bothWays.extend({ connections: wholeNumber })

/** Bytes on TCP connections since the daemon's start: what the interface counts has the headers of frames on top. */
const traffic = z.strictObject({
  /** To and from the origin: all, and the bodies of requests and answers by purpose. */
  wan: flow.extend({
    payload: bothWays,
    metadata: bothWays,
    seats: bothWays,
    tracker: bothWays,
    news: bothWays,
    reports: bothWays,
    /** Heads of HTTP, and TLS. */
    protocol: bothWays,
  }),
  /** From and to neighbours: all, what for, and the busiest of them. */
  lan: flow.extend({
    /** By BitTorrent, protocol included. */
    pieces: bothWays,
    /** Over HTTP: metadata and torrents, asked of neighbours and shown to them. */
    metadata: bothWays,
    /** Datagrams; nobody's in particular, so not in `neighbours`. */
    beacons: bothWays,
    neighbours: z.array(flow.extend({ address: z.string() })),
    /** Who has connected to this node last. */
    lastCaller: z.strictObject({ address: z.string(), at: time }).nullable(),
  }),
})

/** In force now. Null: none. */
const limit = z.strictObject({
  bytesPerSecond: z.number().positive().nullable(),
  /** The window that says so; null: what holds outside the windows. */
  window: z.string().nullable(),
})

export const nodeStatus = z.strictObject({
  version: z.string(),
  node: nodeName,
  site: siteName,
  origin: z.string(),
  engine: z.string(),
  lanAddress: z.string(),
  startedAt: time,
  now: time,
  /**
   * Whether the origin tells this node of news at once: `listening`; `spared`, when enough others of the site listen; `waiting` for the next
   * try, because of the error; `off` by node.toml.
   */
  push: z.strictObject({
    state: z.enum(['off', 'connecting', 'listening', 'spared', 'waiting']),
    error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
  }),
  limits: z.strictObject({ wan_down: limit, lan_up: limit, lan_down: limit }),
  traffic,
  /** The metadata that this node has verified and can show its neighbours; 0 when none. `from`: who showed it last, since the start. */
  metadata: z.strictObject({
    timestamp: wholeNumber,
    snapshot: wholeNumber,
    /** `origin`, `cache` (what this node had), or the name of a neighbour; null before the first refresh. */
    from: z.string().nullable(),
    at: time.nullable(),
  }),
  /** The beacon: what neighbours tell by multicast. Null when node.toml wants none. */
  beacon: z
    .strictObject({
      /** `closed`: no interface to speak on, or no key from the origin yet. `flooded`: nothing is heard for some seconds. */
      state: z.enum(['on', 'closed', 'flooded']),
      group: z.string(),
      sent: wholeNumber,
      heard: wholeNumber,
      /** Datagrams thrown away, by reason. `other_key`: of another site, or of this one before or after a revocation. */
      dropped: z.strictObject({
        malformed: wholeNumber,
        other_key: wholeNumber,
        forged: wholeNumber,
        replayed: wholeNumber,
        clock_skew: wholeNumber,
        misplaced: wholeNumber,
      }),
      /** Files of metadata given out to neighbours. */
      served: wholeNumber,
      neighbours: wholeNumber,
      /** Some of them, the last heard first. */
      heardLast: z.array(
        z.strictObject({
          node: nodeName,
          address: z.string(),
          snapshot: wholeNumber,
          artifacts: wholeNumber,
          at: time,
        }),
      ),
    })
    .nullable(),
  channels: z.array(channelStatus),
})
export type NodeStatus = z.infer<typeof nodeStatus>
export type ChannelStatus = z.infer<typeof channelStatus>

export const peerList = z.array(
  z.strictObject({
    channel: channelName,
    artifact: sha256Hex,
    address: z.string(),
    client: z.string(),
    direction: z.enum(['in', 'out']),
    pieces: wholeNumber,
    piecesTotal: wholeNumber,
    bytesIn: wholeNumber,
    bytesOut: wholeNumber,
  }),
)
export type PeerList = z.infer<typeof peerList>

/** One line a cycle that changed something or failed; the newest last. */
export const historyEntry = z.strictObject({
  at: time,
  channel: channelName,
  outcome: z.enum(['installed', 'failed']),
  /** The release that is in place after the cycle; 0 when none is. */
  sequence: wholeNumber,
  label: z.string().nullable(),
  durationMs: wholeNumber,
  bytes: byteTotals,
  error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
})
export type HistoryEntry = z.infer<typeof historyEntry>

/** The answer to `announce-url`: what a stock BitTorrent client beside this node needs. The announce URL lets in whoever has it. */
export const announceLink = z.strictObject({
  channel: channelName,
  sequence: wholeNumber,
  artifact: sha256Hex,
  announce: z.url(),
  torrent: z.url(),
})
export type AnnounceLink = z.infer<typeof announceLink>

/** The answer to `reach`: of each neighbour that was asked, what came of it. `silent`: it did not answer. Empty: none is known. */
export const reachList = z.array(
  z.strictObject({
    node: nodeName,
    address: z.string(),
    /** Where it was asked. */
    http: wholeNumber,
    outcome: z.enum([...reachOutcomes, 'silent']),
  }),
)
export type ReachList = z.infer<typeof reachList>

/** The answer to `hold` and `release`. */
export const holdResult = z.strictObject({ channel: channelName, hold: channelHold.nullable() })
export type HoldResult = z.infer<typeof holdResult>

/** The answer to `update`: how the cycle ended that began after it was asked for; and to `rollback`. `current` with an error: what is newest has failed here. */
export const cycleResult = z.strictObject({
  channel: channelName,
  outcome: z.enum(['installed', 'current', 'failed']),
  sequence: wholeNumber,
  error: z.strictObject({ code: z.string(), message: z.string(), advice: z.string() }).nullable(),
})
export type CycleResult = z.infer<typeof cycleResult>
