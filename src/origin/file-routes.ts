/**
 * The files: metadata, torrents and artifacts. The first two are for everybody: they are signed, and name hashes and sizes, which tell nobody
 * what is in the bytes and let nobody get them. Artifacts are for nodes, and among them for those that hold a seat. All but timestamp.json and
 * what is new after some version (`/metadata/after/…`) never change, so that caches and a CDN may keep them. A name that a client sent becomes part
 * of a path only where a grammar without slashes allows it.
 */
import { join } from 'node:path'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../core/clock.ts'
import { channelName } from '../core/schema.ts'
import { MiB } from '../core/units.ts'
import type { Draw } from '../swarm/seats/allowance.ts'
import { seatHeader } from '../swarm/seats/protocol.ts'
import { ArtifactStream, openArtifact } from './artifact-stream.ts'
import { type ByteRange, parseRange } from './byte-range.ts'
import type { Catalogue, Offer } from './catalogue.ts'
import type { OriginConfig } from './config.ts'
import type { Doorkeeper } from './doorkeeper.ts'
import type { Egress } from './egress.ts'
import { notFound, refuse } from './http-server.ts'
import { MetadataBundles } from './metadata-bundles.ts'
import type { Paces } from './paces.ts'
import type { SeatBook } from './seat-book.ts'
import type { SiteLimits } from './site-limits.ts'
import { type SmallFile, SmallFiles } from './small-files.ts'

export interface FileParts {
  readonly door: Doorkeeper
  readonly config: Pick<OriginConfig, 'repository' | 'payloads'>
  readonly catalogue: Catalogue
  readonly seats: SeatBook
  readonly siteLimits: SiteLimits
  readonly paces: Paces
  readonly egress: Egress
  readonly clock: Clock
}

const immutable = 'public, max-age=31536000, immutable'
/** `timestamp.json`, `7.clamav.json`: no slash, no dot but these. */
const metadataName = /^(?:timestamp|[1-9][0-9]{0,9}\.[a-z][a-z0-9-]{0,63})\.json$/
const version = /^(?:0|[1-9][0-9]{0,9})$/
const json = { 'content-type': 'application/json', vary: 'accept-encoding' }
const volatileJson = { ...json, 'cache-control': 'no-cache' }
const immutableJson = { ...json, 'cache-control': immutable }
const torrent = { 'content-type': 'application/x-bittorrent', 'cache-control': immutable }
type Headers = Readonly<Record<string, string>>
type Tail<T> = T extends [unknown, ...infer Rest] ? Rest : never
const methods = ['GET', 'HEAD']
/** A node without a seat asks for one before it tries again. */
const retryAfterSeconds = 1

export function addFileRoutes(app: FastifyInstance, parts: FileParts): void {
  const files = new SmallFiles(16 * MiB, 128 * MiB)
  const metadata = join(parts.config.repository, 'metadata')
  const bundles = new MetadataBundles(files, metadata)
  const sendFile = async (path: string, ...how: Tail<Parameters<typeof sendSmall>>) => {
    const file = await files.read(path)
    return file ? sendSmall(file, ...how) : notFound(how[2])
  }

  app.route<{ Params: { root: string; snapshot: string; channel: string } }>({
    method: methods,
    url: '/metadata/after/:root/:snapshot/:channel',
    handler: async (request, reply) => {
      const { root, snapshot, channel } = request.params
      if (!version.test(root) || !version.test(snapshot) || !channelName.safeParse(channel).success)
        return notFound(reply)
      const bundle = await bundles.after(Number(root), Number(snapshot), channel)
      return bundle ? sendSmall(bundle, volatileJson, request, reply, 'compressible') : notFound(reply)
    },
  })

  app.route<{ Params: { name: string } }>({
    method: methods,
    url: '/metadata/:name',
    handler: async (request, reply) => {
      const { name } = request.params
      if (!metadataName.test(name)) return notFound(reply)
      const headers = name === 'timestamp.json' ? volatileJson : immutableJson
      return sendFile(join(metadata, name), headers, request, reply, 'compressible')
    },
  })

  app.route({
    method: methods,
    url: '/torrents/:name',
    handler: async (request, reply) => {
      const offer = await parts.catalogue.byPath(request.url)
      return offer ? sendFile(offer.torrentFile, torrent, request, reply) : notFound(reply)
    },
  })

  app.route({
    method: methods,
    url: '/targets/:channel/:name',
    // Open payloads are for caches and file servers, which are nobody's node.
    ...(parts.config.payloads === 'seats' && { preParsing: parts.door.forNodes }),
    handler: async (request, reply) => {
      const offer = await parts.catalogue.byPath(request.url)
      return offer ? sendArtifact(parts, offer, request, reply) : notFound(reply)
    },
  })
}

async function sendSmall(
  file: SmallFile,
  headers: Headers,
  request: FastifyRequest,
  reply: FastifyReply,
  /** Torrents are hashes, which nothing makes shorter. */
  compressible?: 'compressible',
) {
  const compressed = compressible && takesBrotli(request) ? await file.brotli() : undefined
  // Other bytes, so another tag.
  const etag = compressed ? file.etag.replace(/"$/, '-br"') : file.etag
  reply.headers({ ...headers, etag, ...(compressed && { 'content-encoding': 'br' }) })
  if (request.headers['if-none-match'] === etag) return reply.code(304).send()
  const bytes = compressed ?? file.bytes
  reply.header('content-length', bytes.length)
  return request.method === 'HEAD' ? reply.send() : reply.send(bytes)
}

/** Who weighs one coding against another gets the plain bytes, which are right for everybody. */
function takesBrotli({ headers }: FastifyRequest): boolean {
  return String(headers['accept-encoding'] ?? '')
    .split(',')
    .some(coding => coding.trim() === 'br')
}

async function sendArtifact(parts: FileParts, offer: Offer, request: FastifyRequest, reply: FastifyReply) {
  const { length } = offer.release.full
  const header = request.headers.range
  const range = parseRange(header, length)
  if (!range) return refuse(reply.header('content-range', `bytes */${length}`), 416, 'range_not_satisfiable')
  if (request.method === 'HEAD') return describe(reply, { start: 0, end: length }, length, false).send()

  const leave = admit(parts, offer, range, request)
  if (!leave) return refuse(reply.header('retry-after', retryAfterSeconds), 403, 'seat_required')
  const stream = await openStream(parts, offer, range, leave, () => parts.door.stillWelcome(request))
  return describe(reply, range, length, header !== undefined).send(stream)
}

/** Leave to send, and whom the bytes are for. */
interface Leave {
  readonly site?: string
  readonly draw?: Draw
  readonly token?: string
}

function admit(
  { config, seats, door }: FileParts,
  { release }: Offer,
  range: ByteRange,
  request: FastifyRequest,
): Leave | undefined {
  const token = request.headers[seatHeader]
  const drawn = typeof token === 'string' ? seats.draw(token, release.full.sha256, range) : undefined
  if (drawn && (door.nodeOf(request)?.name ?? drawn.draw.node) !== drawn.draw.node) {
    // Another node's seat.
    drawn.draw.refund(range.end - range.start)
    return undefined
  }
  // Open payloads are counted for the site that shows a lease, and not refused to anybody.
  if (drawn) return { ...drawn, token: String(token) }
  return config.payloads === 'open' ? {} : undefined
}

async function openStream(
  parts: FileParts,
  { release, file }: Offer,
  range: ByteRange,
  { site, draw, token }: Leave,
  welcome: () => boolean,
) {
  const { egress, clock, config, paces, siteLimits } = parts
  const { sha256, length, pieceLength } = release.full
  const enforced = config.payloads === 'seats'
  const pace = token === undefined ? undefined : paces.of(token)
  const turn = site === undefined ? undefined : siteLimits.begin(site, release)
  const options = {
    range,
    pieceLength,
    limiters: [pace, turn?.limiter].filter(limiter => limiter !== undefined),
    keeps: (piece: number) => !enforced || (welcome() && draw!.keeps(piece, clock.monotonic())),
    sent: (bytes: number) => egress.sent(site, sha256, bytes),
    ended: (unsent: number) => {
      turn?.giveBack()
      draw?.refund(unsent)
    },
  }
  try {
    return new ArtifactStream(await openArtifact(file, length), options)
  } catch (error) {
    options.ended(range.end - range.start)
    throw error
  }
}

function describe(reply: FastifyReply, { start, end }: ByteRange, length: number, partial: boolean): FastifyReply {
  if (partial) reply.code(206).header('content-range', `bytes ${start}-${end - 1}/${length}`)
  return reply.headers({
    'content-type': 'application/octet-stream',
    'content-length': end - start,
    'accept-ranges': 'bytes',
    'cache-control': immutable,
  })
}
