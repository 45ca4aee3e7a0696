/**
 * The origin: one port for everything that nodes need.
 *
 *   GET  /metadata/…, /torrents/…      what is signed; open to all, cacheable
 *   GET  /targets/…                    artifact bytes, for who holds a seat (unless `payloads = "open"`)
 *   POST /v1/seats                     swarm/seats/protocol.ts
 *   POST /v1/reports                   core/report.ts
 *   GET  /announce/<site>              the tracker
 *   POST /v1/events                    swarm/events/protocol.ts
 *   POST /v1/site-key                  swarm/beacon/site-key-protocol.ts
 *   POST /v1/join, /v1/announce-url    swarm/identity/join-protocol.ts
 *   GET  /v1/health                    200 once a repository has been read, 503 before
 *   GET  /v1/stats                     for this machine only: a request from elsewhere, or through a proxy, gets a 404
 */
import type { AddressInfo } from 'node:net'
import { Server } from 'node:tls'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Clock, systemClock } from '../core/clock.ts'
import { describeError } from '../core/errors.ts'
import { inBackground, type Stoppable, stopAll } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import type { NodeReport } from '../core/report.ts'
import { second } from '../core/units.ts'
import { lockDirectory } from '../store/directory-lock.ts'
import { makeDirectory } from '../store/durable.ts'
import { heartbeatMs } from '../swarm/events/protocol.ts'
import { defaultSeatRules } from '../swarm/seats/rules.ts'
import { Admission } from './admission.ts'
import { Catalogue } from './catalogue.ts'
import type { OriginConfig } from './config.ts'
import { Doorkeeper } from './doorkeeper.ts'
import { Egress } from './egress.ts'
import { EventStreams } from './event-streams.ts'
import { addFileRoutes } from './file-routes.ts'
import { createHttpServer, notFound } from './http-server.ts'
import { addJoinRoutes } from './join-routes.ts'
import { NodeRegistry } from './node-registry.ts'
import { addNodeRoutes } from './node-routes.ts'
import { Paces } from './paces.ts'
import { ReportStore } from './report-store.ts'
import { watchRepository } from './repository-watch.ts'
import { SeatBook } from './seat-book.ts'
import { SiteLimits } from './site-limits.ts'
import { isThisMachine } from './sites.ts'
import { readTlsPair, watchTlsFiles } from './tls-files.ts'
import { Tracker } from './tracker.ts'

export interface RunningOrigin extends Stoppable {
  readonly port: number
  /** `http://address:port`, as the origin itself reaches it. */
  readonly url: string
  stats(): OriginStats
  /** The last report of each node and channel. */
  reports(): readonly NodeReport[]
}

export interface OriginStats {
  /** Artifact bytes sent since the start: all, and by site and artifact (site `""`: to who held no seat). */
  readonly artifactBytes: number
  readonly egress: ReturnType<Egress['view']>
  /** Living deals: nodes counted, seats with the pieces each has to bring, pieces that the site holds. */
  readonly deals: ReturnType<SeatBook['view']>
  readonly tracker: ReturnType<Tracker['view']>
  /** Who listens for news, by site. */
  readonly listeners: ReturnType<EventStreams['view']>
}

export interface OriginParts {
  readonly log: Log
  /** Default: the machine's. */
  readonly clock?: Clock
  /** In [0, 1): which peers of many the tracker names. Default Math.random. */
  readonly random?: () => number
}

const expelIntervalMs = second

/** @throws Error of the system when the port is taken; StoreError `state_busy` when another origin has the state directory. */
export async function startOrigin(
  config: OriginConfig,
  { log, clock = systemClock, random = Math.random }: OriginParts,
): Promise<RunningOrigin> {
  const started: Stoppable[] = []
  try {
    await makeDirectory(config.state_dir)
    started.push(await lockDirectory(config.state_dir))
    const reports = new ReportStore(config.state_dir, config.limits.reports)
    started.push(reports)

    const registry = new NodeRegistry(config.state_dir)
    started.push(registry)
    const admission = new Admission(registry, clock)
    const door = new Doorkeeper(admission, config.join, clock)

    const catalogue = new Catalogue(config.repository, clock, log)
    const news = async () => ({
      ...((await catalogue.versions()) ?? { timestamp: 0, snapshot: 0 }),
      generation: registry.lastRevocation(),
    })
    const egress = new Egress()
    const rules = {
      ...defaultSeatRules,
      seatsPerSite: config.seats_per_site,
      leaseMs: config.lease_ms,
      mostNodes: config.limits.nodes_per_site,
    }
    const siteLimits = new SiteLimits(config.sites, clock)
    started.push(siteLimits)
    const paces = new Paces()
    const seats = new SeatBook(rules, config.limits.deals, clock)
    const tracker = new Tracker({
      intervalMs: config.announce_interval_s * second,
      peersPerSwarm: config.limits.peers_per_swarm,
      mostSwarms: config.limits.deals,
      knows: infohash => catalogue.knows(infohash),
      clock,
      random,
    })
    started.push(tracker)

    const app = await createHttpServer(config.limits, log, config.tls && (await readTlsPair(config.tls)))
    if (config.tls) {
      const { server } = app
      started.push(
        watchTlsFiles(config.tls, { clock, log }, pair => {
          if (server instanceof Server) server.setSecureContext(pair)
        }),
      )
    }
    started.push(stoppable(app, config.limits.stop_timeout_ms))
    const events = new EventStreams({
      perSite: config.listeners_per_site,
      overall: config.limits.listeners,
      heartbeatMs: Math.min(heartbeatMs, config.limits.idle_timeout_ms / 3),
    })
    started.push(events) // ends before the server, which would wait for its streams
    started.push(expelRevoked({ registry, seats, tracker, events, clock, log }))
    addFileRoutes(app, { door, config, catalogue, seats, siteLimits, paces, egress, clock })
    addJoinRoutes(app, { admission, clock, log })
    addNodeRoutes(app, {
      door,
      catalogue,
      seats,
      siteLimits,
      paces,
      config,
      tracker,
      reports,
      events,
      registry,
      news,
      clock,
      log,
    })
    const stats = () => ({
      artifactBytes: egress.total,
      egress: egress.view(),
      deals: seats.view(),
      tracker: tracker.view(),
      listeners: events.view(),
    })
    addWatchRoutes(app, catalogue, stats)
    const url = await app.listen({ host: config.listen.address, port: config.listen.port })
    const { port } = app.server.address() as AddressInfo
    started.push(watchRepository({ directory: config.repository, news, clock, log }, each => events.tell(each)))
    if (!(await catalogue.ready())) log.warn({ repository: config.repository }, 'there is no repository to serve yet')
    log.info({ url, seats: config.seats_per_site, payloads: config.payloads, join: config.join }, 'origin started')
    return { port, url, stats, reports: () => reports.all(), stop: () => stopAll(started) }
  } catch (error) {
    await stopAll(started)
    throw error
  }
}

/** A revoked node is refused at once, whatever it asks; what it has from before is taken away here: its leases, its peers in the tracker, its ear for news. */
function expelRevoked({ registry, seats, tracker, events, clock, log }: ExpelParts): Stoppable {
  let seen = registry.lastRevocation()
  const look = () => {
    for (const { name, keyId, revokedAt } of registry.revokedSince(seen)) {
      seats.forget(name)
      tracker.forget(keyId)
      events.forget(name)
      seen = revokedAt!
      log.info({ node: name }, 'a node was revoked')
    }
  }
  return inBackground(async ended => {
    for (;;) {
      await clock.sleep(expelIntervalMs, ended)
      try {
        look()
      } catch (error) {
        // The disk may be well again in a second; who was revoked until then must not stay for ever.
        log.error(describeError(error), 'revoked nodes keep their leases and stay in the tracker for now')
      }
    }
  })
}

interface ExpelParts {
  readonly registry: NodeRegistry
  readonly seats: SeatBook
  readonly tracker: Tracker
  readonly events: EventStreams
  readonly clock: Clock
  readonly log: Log
}

/** Transfers under way may end, for so long; then every connection is closed. */
function stoppable(app: FastifyInstance, timeoutMs: number): Stoppable {
  return {
    async stop() {
      const tooLate = setTimeout(() => app.server.closeAllConnections(), timeoutMs)
      await app.close()
      clearTimeout(tooLate)
    },
  }
}

function addWatchRoutes(app: FastifyInstance, catalogue: Catalogue, stats: () => OriginStats): void {
  app.get('/v1/health', async (_, reply) => {
    const ready = await catalogue.ready()
    reply.header('cache-control', 'no-store').code(ready ? 200 : 503)
    return { status: ready ? 'ok' : 'no_repository' }
  })
  app.get('/v1/stats', (request, reply) =>
    local(request) ? reply.header('cache-control', 'no-store').send(stats()) : notFound(reply),
  )
}

/**
 * From this machine, and not by way of a proxy on it: one that says nothing of whom it serves still passes the Host on, without which no
 * node could sign. (And a page in a browser here, whose name was made to mean this address, names itself there.)
 */
function local({ ip, headers }: FastifyRequest): boolean {
  const direct = !['forwarded', 'via', 'x-forwarded-for', 'x-real-ip'].some(name => name in headers)
  return isThisMachine(ip) && direct && /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/.test(headers.host ?? '')
}
