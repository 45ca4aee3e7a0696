/**
 * What nodes say: seats, announces, reports; and that they listen for news. With `join = "required"`, each says it under its own name and for its own site, as they were
 * bound to its key when it joined.
 */
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Release } from '../core/release.ts'
import { nodeReport, reportUrlPath } from '../core/report.ts'
import { siteName } from '../core/schema.ts'
import { siteKeyUrlPath } from '../swarm/beacon/site-key-protocol.ts'
import { eventsUrlPath, nodePlace, type OriginNews, streamsFull } from '../swarm/events/protocol.ts'
import { announceUrlPath, announceUrlRequest } from '../swarm/identity/join-protocol.ts'
import { seatRequest, seatsUrlPath } from '../swarm/seats/protocol.ts'
import type { Catalogue } from './catalogue.ts'
import type { OriginConfig } from './config.ts'
import { type Doorkeeper, revoked } from './doorkeeper.ts'
import type { EventStreams } from './event-streams.ts'
import { notFound, refuse, refuseIdentity, undated } from './http-server.ts'
import type { NodeRegistry } from './node-registry.ts'
import type { Paces } from './paces.ts'
import type { ReportStore } from './report-store.ts'
import { parseHave, type SeatBook } from './seat-book.ts'
import { siteKeyOf } from './site-key.ts'
import type { SiteLimits } from './site-limits.ts'
import { lanAddress, siteKey } from './sites.ts'
import type { Tracker } from './tracker.ts'

export interface NodeParts {
  readonly door: Doorkeeper
  readonly catalogue: Catalogue
  readonly seats: SeatBook
  readonly siteLimits: SiteLimits
  readonly paces: Paces
  readonly config: Pick<OriginConfig, 'payloads'>
  readonly tracker: Tracker
  readonly reports: ReportStore
  readonly events: EventStreams
  readonly registry: NodeRegistry
  /** What is in force now. */
  news(): Promise<OriginNews>
  readonly clock: Clock
  readonly log: Log
}

/** When a node that was turned away asks again, in case one that listens has gone. */
const crowdedSeconds = 5 * 60

export function addNodeRoutes(
  app: FastifyInstance,
  {
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
  }: NodeParts,
): void {
  const preParsing = door.forNodes

  app.post(seatsUrlPath, { preParsing }, async (request, reply) => {
    const parsed = seatRequest.safeParse(request.body)
    if (!parsed.success) return refuse(reply, 400, 'bad_request')
    const { node, artifact: sha256, want, lan, pace, seat: token } = parsed.data
    if (!door.speaksFor(request, parsed.data)) return otherNode(reply)
    const release = (await catalogue.bySha256(sha256))?.release
    if (!release) return refuse(reply, 404, 'unknown_artifact')
    const artifact = release.full
    const have = parseHave(artifact, parsed.data.have)
    if (!have) return refuse(reply, 400, 'bad_request')
    const site = siteKey(parsed.data.site, request.ip, lan && lanAddress(lan, request.ip))
    const answer = seats.ask({ node, site, artifact, have, want, token })
    if (token !== undefined && want && answer.seat !== token) log.debug({ node, site, sha256 }, 'a lease is over')
    if (answer.seat !== null) paces.ask(answer.seat, pace, clock.monotonic())
    undated(reply)
    return reply.type('application/json').send(JSON.stringify({ ...answer, ...partOf(site, release) }))
  })

  /** Who serves the bytes itself paces them; else each seat has to do it, for its part. */
  const partOf = (site: string, release: Release): { pace?: number } => {
    const limit = config.payloads === 'open' ? siteLimits.of(site, release) : Number.POSITIVE_INFINITY
    if (limit === Number.POSITIVE_INFINITY) return {}
    return { pace: Math.max(1, Math.floor(limit / Math.max(1, seats.working(site)))) }
  }

  app.get<{ Params: { site: string } }>('/announce/:site', { preParsing: door.forAnnounces }, (request, reply) => {
    const { site } = request.params
    const node = door.nodeOf(request)
    const byKey = door.hasAnnounceKey(request)
    if (!byKey && !siteName.safeParse(site).success) return notFound(reply)
    if (!byKey && !door.speaksFor(request, { site })) return otherNode(reply)
    undated(reply)
    reply.hijack()
    tracker.announce(request.raw, reply.raw, {
      site: node?.site ?? site,
      remote: request.ip,
      owner: node?.keyId,
      infohash: door.boundTo(request),
    })
    return reply
  })

  app.post(announceUrlPath, { preParsing }, async (request, reply) => {
    const parsed = announceUrlRequest.safeParse(request.body)
    if (!parsed.success) return refuse(reply, 400, 'bad_request')
    const release = (await catalogue.bySha256(parsed.data.artifact))?.release
    const node = door.nodeOf(request)
    if (!release || !node) return refuse(reply, 404, 'unknown_artifact')
    const path = door.announcePath(node, release.full.infohash)
    return reply.header('cache-control', 'no-store').send({ path })
  })

  app.post(eventsUrlPath, { preParsing }, async (request, reply) => {
    const parsed = nodePlace.safeParse(request.body)
    if (!parsed.success) return refuse(reply, 400, 'bad_request')
    const { node, lan } = parsed.data
    if (!door.speaksFor(request, parsed.data)) return otherNode(reply)
    const site = siteKey(parsed.data.site, request.ip, lan && lanAddress(lan, request.ip))
    const inForce = await news()
    // Looked at once more, and nothing is awaited after it: who is revoked from here on is forgotten by name.
    if (!door.stillWelcome(request)) return refuseIdentity(reply, revoked)
    if (!events.hasRoom(site, node)) return refuse(reply.header('retry-after', crowdedSeconds), 503, streamsFull)
    reply.hijack()
    events.open(site, node, reply.raw, inForce)
    return reply
  })

  app.post(siteKeyUrlPath, { preParsing }, (request, reply) => {
    const parsed = nodePlace.safeParse(request.body)
    if (!parsed.success) return refuse(reply, 400, 'bad_request')
    const { site, lan } = parsed.data
    if (!door.speaksFor(request, parsed.data)) return otherNode(reply)
    const group = siteKey(site, request.ip, lan && lanAddress(lan, request.ip))
    return reply.header('cache-control', 'no-store').send(siteKeyOf(registry, site, group))
  })

  app.post(reportUrlPath, { preParsing }, (request, reply) => {
    const parsed = nodeReport.safeParse(request.body)
    if (!parsed.success) return refuse(reply, 400, 'bad_request')
    if (!door.speaksFor(request, parsed.data)) return otherNode(reply)
    reports.keep(parsed.data, clock.now())
    return reply.code(204).header('cache-control', 'no-store').send()
  })
}

/** Somebody we know, in the name of somebody else. */
function otherNode(reply: FastifyReply): FastifyReply {
  return refuseIdentity(reply, { status: 403, code: 'other_node' })
}
