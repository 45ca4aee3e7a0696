/** What nodes say: seats, announces, reports. */
import type { FastifyInstance } from 'fastify'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { nodeReport, reportUrlPath } from '../core/report.ts'
import { siteName } from '../core/schema.ts'
import { seatRequest, seatsUrlPath } from '../swarm/seats/protocol.ts'
import type { Catalogue } from './catalogue.ts'
import { notFound, refuse } from './http-server.ts'
import type { ReportStore } from './report-store.ts'
import { parseHave, type SeatBook } from './seat-book.ts'
import { lanAddress, siteKey } from './sites.ts'
import type { Tracker } from './tracker.ts'

export interface NodeParts {
  readonly catalogue: Catalogue
  readonly seats: SeatBook
  readonly tracker: Tracker
  readonly reports: ReportStore
  readonly clock: Clock
  readonly log: Log
}

export function addNodeRoutes(
  app: FastifyInstance,
  { catalogue, seats, tracker, reports, clock, log }: NodeParts,
): void {
  app.post(seatsUrlPath, async (request, reply) => {
    const parsed = seatRequest.safeParse(request.body)
    if (!parsed.success) return refuse(reply, 400, 'bad_request')
    const { node, artifact: sha256, want, lan, seat: token } = parsed.data
    const artifact = (await catalogue.bySha256(sha256))?.release.full
    if (!artifact) return refuse(reply, 404, 'unknown_artifact')
    const have = parseHave(artifact, parsed.data.have)
    if (!have) return refuse(reply, 400, 'bad_request')
    const site = siteKey(parsed.data.site, request.ip, lan && lanAddress(lan, request.ip))
    const answer = seats.ask({ node, site, artifact, have, want, token })
    if (token !== undefined && want && answer.seat !== token) log.debug({ node, site, sha256 }, 'a lease is over')
    return reply.header('cache-control', 'no-store').send(answer)
  })

  app.get<{ Params: { site: string } }>('/announce/:site', (request, reply) => {
    const { site } = request.params
    if (!siteName.safeParse(site).success) return notFound(reply)
    reply.hijack()
    tracker.announce(request.raw, reply.raw, site, request.ip)
    return reply
  })

  app.post(reportUrlPath, (request, reply) => {
    const parsed = nodeReport.safeParse(request.body)
    if (!parsed.success) return refuse(reply, 400, 'bad_request')
    reports.keep(parsed.data, clock.now())
    return reply.code(204).header('cache-control', 'no-store').send()
  })
}
