/**
 * origin.toml: what the operator decides for the signing server.
 *
 *   repository = "/var/lib/sigmesh-origin/repository"    # metadata/, targets/ and torrents/, as `sigmesh publish` writes them
 *   url = "https://sigmesh.example.com:8400"             # how the nodes reach it; `sigmesh enroll` writes it into join tokens
 *   seats_per_site = 5
 *
 *   [tls]
 *   certificate = "/etc/sigmesh/origin.pem"
 *   key = "/etc/sigmesh/origin.key"
 *
 *   [sites.berlin]
 *   wan_down = "8Mbit"                                   # docs/limits.md
 *
 *   [listen]
 *   address = "0.0.0.0"
 *   port = 8400
 */
import { siteName, wholeNumber, z } from '../core/schema.ts'
import { minute, second } from '../core/units.ts'
import { originUrl } from '../swarm/identity/join-token.ts'
import { rateOf } from '../swarm/limits/rate-text.ts'
import { timetableKeys } from '../swarm/limits/timetable.ts'

const absolutePath = z.string().regex(/^\/[^\0]*$/, 'expected an absolute path')

const listen = z
  .strictObject({
    address: z.union([z.ipv4(), z.ipv6()]).default('0.0.0.0'),
    /** 0 takes a free one. */
    port: wholeNumber.max(65_535).default(8400),
  })
  .prefault({})

const limits = z
  .strictObject({
    connections: wholeNumber.min(10).default(10_000),
    /** Of one address, which may be a whole branch behind one NAT. */
    connections_per_address: wholeNumber.min(1).default(4000),
    requests_per_minute_per_address: wholeNumber.min(1).default(120_000),
    /** A connection on which nothing moves is closed after this. */
    idle_timeout_ms: wholeNumber
      .min(second)
      .max(10 * minute)
      .default(minute),
    /** How long `stop` lets transfers go on. */
    stop_timeout_ms: wholeNumber.max(minute).default(5 * second),
    /** Nodes known of one artifact at one site. */
    nodes_per_site: wholeNumber.min(1).max(65_535).default(5000),
    /** Sites times artifacts in transfer. */
    deals: wholeNumber.min(1).default(20_000),
    /** Addresses the tracker keeps of one artifact at one site. */
    peers_per_swarm: wholeNumber.min(1).default(2000),
    /** Connections that stay open for news, of all sites together. */
    listeners: wholeNumber.min(1).default(5000),
    /** Nodes times channels whose last report is kept. */
    reports: wholeNumber.min(1).default(200_000),
  })
  .prefault({})

const site = z.strictObject({
  /** What all nodes of the site together may take over their line: docs/limits.md. */
  ...timetableKeys({ wan_down: rateOf('256kbit') }),
  /** Whether releases that were published with `--emergency` pass it by. */
  emergency_overrides: z.boolean().default(false),
})

export const originConfig = z.strictObject({
  repository: absolutePath,
  /** The keys of snapshot and timestamp, and no others: with them `sigmeshd origin` signs both again before they expire. */
  online_keys: absolutePath.optional(),
  /** Where the origin keeps what nodes report. */
  state_dir: absolutePath.default('/var/lib/sigmesh-origin'),
  listen,
  /** How nodes reach this origin, by way of whatever stands before it. */
  url: originUrl.optional(),
  /** Without it the origin speaks plain HTTP, on its own or behind a proxy that ends TLS. PEM files, read again when they change. */
  tls: z.strictObject({ certificate: absolutePath, key: absolutePath }).optional(),
  /** `required`: seats, tracker, artifacts and reports are for nodes that have joined. `open`: for whoever reaches the port. */
  join: z.enum(['required', 'open']).default('required'),
  seats_per_site: wholeNumber.min(1).max(64).default(5),
  /** By name; `*` is each one that is not named. */
  sites: z.record(z.union([siteName, z.literal('*')]), site).default({}),
  lease_ms: wholeNumber
    .min(300)
    .max(10 * minute)
    .default(6 * second),
  /**
   * `seats`: artifact bytes only for pieces dealt to the asker's lease, so that a site never costs more than about one copy,
   * whatever its nodes do. `open`: for everybody; the same files may then come from a CDN or a plain file server.
   */
  payloads: z.enum(['seats', 'open']).default('seats'),
  /** Nodes of a site that hear of a publish at once, by a connection that stays open; they tell the others. */
  listeners_per_site: wholeNumber.max(1000).default(3),
  /** How often a client announces to the tracker. It is forgotten after three times this. */
  announce_interval_s: wholeNumber.min(1).max(3600).default(30),
  log_level: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  limits,
})
export type OriginConfig = z.output<typeof originConfig>
