/**
 * The bare HTTP server of the origin, set up against hostile clients. What every route may rely on: a body is JSON of bounded size, an
 * address has not asked too often, a slow or silent connection ends. What strangers learn: a code, never a stack, a path or a version.
 *
 *   unknown path, wrong method        404, empty
 *   malformed HTTP                    400, empty, closed
 *   a refusal                         { "error": { "code": "seat_required" } }
 *   nobody we know                    401, nobody who may: 403; see admission.ts
 *   our own fault                     500 { "error": { "code": "internal" } }; the reason is in the log
 */
import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import rateLimit from '@fastify/rate-limit'
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Log } from '../core/log.ts'
import { KiB, second } from '../core/units.ts'
import { contentDigest } from '../swarm/identity/message-signature.ts'
import { canonicalAddress } from '../swarm/networks.ts'
import { seatRequestLimitBytes } from '../swarm/seats/protocol.ts'
import type { Refusal } from './admission.ts'
import type { OriginConfig } from './config.ts'
import type { TlsPair } from './tls-files.ts'

/** Nodes let go of a resting connection after 30 s. An origin that is as impatient as they are has to say so in each answer. */
const unsaidIdleMs = 40 * second

/** @param tls Certificate and key; plain HTTP without. */
export async function createHttpServer(
  limits: OriginConfig['limits'],
  log: Log,
  tls: TlsPair | undefined,
): Promise<FastifyInstance> {
  const server = { headersTimeout: 10 * second, connectionsCheckingInterval: 2 * second, maxHeaderSize: 16 * KiB }
  const app = fastify({
    logger: false,
    // Of all bodies, this is the longest.
    bodyLimit: seatRequestLimitBytes,
    exposeHeadRoutes: false,
    requestTimeout: 15 * second,
    connectionTimeout: limits.idle_timeout_ms,
    keepAliveTimeout: limits.idle_timeout_ms,
    forceCloseConnections: 'idle',
    routerOptions: {
      // The tracker reads its own; nobody else has one.
      querystringParser: () => ({}),
      maxParamLength: 200,
    },
    ...(tls ? { https: { ...server, ...tls, handshakeTimeout: 10 * second } } : { http: server }),
    clientErrorHandler: (_, socket) => endMalformed(socket),
    frameworkErrors: (_, __, reply) => void notFound(reply as unknown as FastifyReply),
  })
  limitConnections(app, limits)
  readJsonOfDigest(app)
  if (limits.idle_timeout_ms >= unsaidIdleMs) leaveUnsaid(app)
  await app.register(rateLimit, {
    max: limits.requests_per_minute_per_address,
    timeWindow: 60 * second,
    cache: 20_000,
    keyGenerator: request => canonicalAddress(request.ip) ?? request.ip,
    addHeaders: { 'x-ratelimit-limit': false, 'x-ratelimit-remaining': false, 'x-ratelimit-reset': false },
    addHeadersOnExceeding: { 'x-ratelimit-limit': false, 'x-ratelimit-remaining': false, 'x-ratelimit-reset': false },
    errorResponseBuilder: () => Object.assign(new Error('too many requests'), { statusCode: 429 }),
  })
  answerUnknownPaths(app)
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const status = error.statusCode ?? 500
    if (status < 500) return refuse(reply, status, codes.get(status) ?? 'bad_request')
    log.error({ error, method: request.method, route: request.routeOptions.url }, 'a request failed')
    return refuse(reply, 500, 'internal')
  })
  return app
}

/**
 * Connections of HTTP/1.1 stay open unless somebody says otherwise, so that need not be said. On a thin line, twenty nodes ask some thousand
 * times for one artifact, and each answer is a head and little else.
 */
function leaveUnsaid(app: FastifyInstance): void {
  app.addHook('onRequest', (request, { raw }, done) => {
    if (request.raw.httpVersion === '1.1' && raw.shouldKeepAlive && !raw.hasHeader('connection'))
      raw.removeHeader('connection')
    done()
  })
}

/** Before a body is read: a stranger is not told what kind of body something wants that is not there. */
function answerUnknownPaths(app: FastifyInstance): void {
  const limit = app.rateLimit()
  app.addHook('onRequest', async (request, reply) => {
    if (!request.is404) return undefined
    await limit.call(app, request, reply)
    return notFound(reply)
  })
  app.setNotFoundHandler((_, reply) => notFound(reply))
}

/** Bodies are JSON. One that names its digest has to have it: that digest is what a node has signed. */
function readJsonOfDigest(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    if (!hasDigest(request.raw, body)) done(Object.assign(new Error('another body'), { statusCode: 401 }))
    else parseJson(request as FastifyRequest, body.toString('utf8'), done)
  })
}

function hasDigest({ headers }: IncomingMessage, body: Buffer): boolean {
  const named = headers['content-digest']
  if (named === undefined) return true
  const [given, right] = [Buffer.from(String(named)), Buffer.from(contentDigest(body))]
  return given.length === right.length && timingSafeEqual(given, right)
}

const codes: ReadonlyMap<number, string> = new Map([
  [401, 'identity_refused'],
  [413, 'too_large'],
  [415, 'not_json'],
  [429, 'too_many_requests'],
])

/** A refusal that programs can read. */
export function refuse(reply: FastifyReply, status: number, code: string): FastifyReply {
  return reply.code(status).header('cache-control', 'no-store').send({ error: { code } })
}

/** To who is not known, or may not. */
export function refuseIdentity(reply: FastifyReply, { status, code }: Refusal): FastifyReply {
  if (status === 401) reply.header('www-authenticate', 'Signature realm="sigmesh"')
  return refuse(reply, status, code)
}

/** For an answer to a POST or to an announce, which no cache keeps, and whose reader asks for nothing but the body: without the time of day. */
export function undated({ raw }: FastifyReply): void {
  raw.sendDate = false
}

export function notFound(reply: FastifyReply): FastifyReply {
  return reply.code(404).header('cache-control', 'no-store').send()
}

/** So many connections in all, and so many of one address: whoever opens more finds them closed. */
function limitConnections(app: FastifyInstance, limits: OriginConfig['limits']): void {
  const open = new Map<string, number>()
  app.server.maxConnections = limits.connections
  app.server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? ''
    const count = (open.get(address) ?? 0) + 1
    open.set(address, count)
    socket.once('close', () => {
      const left = open.get(address)! - 1
      if (left > 0) open.set(address, left)
      else open.delete(address)
    })
    if (count > limits.connections_per_address) socket.destroy()
  })
}

function endMalformed(socket: Socket): void {
  if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
  socket.destroySoon()
}
