/**
 * Everything a node says to its origin, one function a question. What comes back is bounded while it is read and parsed before it is
 * returned; whether it is *true* is for signatures and piece hashes to say, elsewhere.
 *
 *   GET  /metadata/…, /torrents/…         immutable files, and timestamp.json
 *   GET  /metadata/after/…                several of them in one answer, see metadata-bundle.ts
 *   GET  /targets/…  Range, X-Sigmesh-Seat   artifact bytes, for who holds a seat; signed, as all that follows
 *   POST /v1/seats                        protocol in seats/protocol.ts
 *   POST /v1/reports                      a NodeReport
 *   GET  /announce/<site>                 the tracker, by BEP 3
 *   POST /v1/announce-url                 the same for a stock client
 *   POST /v1/site-key                     the key of the site's beacons
 *   POST /v1/events                       news as it comes, see events/protocol.ts
 */
import { type Artifact, pieceCount } from '../core/artifact.ts'
import type { Infohash, Sha256 } from '../core/digest.ts'
import { DownloadError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import { type NodeReport, reportUrlPath } from '../core/report.ts'
import { z } from '../core/schema.ts'
import { hour, KiB, MiB } from '../core/units.ts'
import {
  type SiteKeyAnswer,
  siteKeyAnswer,
  siteKeyAnswerLimitBytes,
  siteKeyUrlPath,
} from './beacon/site-key-protocol.ts'
import { EventReader } from './events/event-reader.ts'
import {
  eventsUrlPath,
  heartbeatMs,
  type NodePlace,
  newsEvent,
  type OriginNews,
  originNews,
} from './events/protocol.ts'
import { announceUrlAnswer, announceUrlPath } from './identity/join-protocol.ts'
import { RequestSigner } from './identity/request-signer.ts'
import type { SigningKey } from './identity/signing-key.ts'
import { bundleUrlPath } from './metadata-bundle.ts'
import { OriginAccount, type OriginAccountView, type Purpose } from './origin-account.ts'
import { defaultHttpLimits, type HttpLimits, type HttpRequest, OriginHttp } from './origin-http.ts'
import { expectRange, expectStatus, printable, turnedAway } from './origin-refusal.ts'
import { fetchBundle, fetchMetadata, fetchTorrent } from './repository-files.ts'
import {
  type SeatAnswer,
  type SeatRequest,
  seatAnswer,
  seatAnswerLimitBytes,
  seatHeader,
  seatsUrlPath,
} from './seats/protocol.ts'
import { type AnnounceReply, readTrackerReply, trackerReplyLimitBytes } from './tracker-reply.ts'

/** Half-open, in bytes of the artifact. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

export interface RangeOptions {
  /** The token of the lease. */
  readonly seat?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Longest silence between two chunks. Default 30 s. */
  readonly idleTimeoutMs?: number
  /** Takes the bytes as they come, in order. While it is at it, the origin waits (TCP's window closes), so memory stays bounded. */
  onChunk(bytes: Uint8Array): void | Promise<void>
}

export interface AnnounceParams {
  readonly site: string
  readonly infohash: Infohash
  /** 20 characters, one byte each. */
  readonly peerId: string
  /** Where LAN peers reach this node. */
  readonly lanAddress: string
  readonly port: number
  /** Bytes still missing. */
  readonly left: number
  readonly event?: 'started' | 'completed' | 'stopped'
}

export interface EventsOptions {
  /** The origin listens to us now. */
  onOpen(): void
  onNews(news: OriginNews): void
  readonly signal: AbortSignal
}

/** How a node is known to its origin, and how it knows its origin. */
export interface OriginAccess {
  /** Signs what is not for everybody; an origin with `join = "open"` does not ask for it. */
  readonly key?: SigningKey | undefined
  /** See origin-connector.ts. */
  readonly pin?: string | undefined
  /** Wall time, ms since 1970; default the machine's. */
  readonly now?: () => number
}

const announceUrlLimitBytes = KiB
/** A node runs for months. An origin becomes a newer one, or what has answered was the page of a captive portal. */
const onlyFilesMs = hour
const wantedPeers = 50
/** Of one event stream; then it is opened anew. Years of heartbeats. */
const eventsLimitBytes = 4 * MiB
/** An event stream is silent most of the time, and slower than anything that is waited for. */
const eventsLimits = { idleTimeoutMs: 3 * heartbeatMs, leastBytesPerSecond: 0 }

export class OriginClient implements Stoppable {
  /** Artifact bytes and all else apart: a renewal or an announce never queues behind a range that fills the line. */
  readonly #talk: OriginHttp
  readonly #bulk: OriginHttp
  readonly #ear: OriginHttp
  readonly #account = new OriginAccount()
  readonly #signer: RequestSigner | undefined
  readonly #origin: string
  /** Monotonic: it has shown no bundle, and is not asked for one before. */
  #onlyFilesUntil = Number.NEGATIVE_INFINITY

  /**
   * @param origin `http:` or `https:` URL; a path in it goes before every request's.
   * @param limits `connections`, at least 3, default 5: one for news, the others shared by talk and artifact bytes.
   */
  constructor(origin: string | URL, limits: Partial<HttpLimits> = {}, { key, pin, now }: OriginAccess = {}) {
    const url = new URL(origin)
    this.#origin = url.href.replace(/\/$/, '')
    const all = { ...defaultHttpLimits, ...limits }
    const talk = Math.floor((all.connections - 1) / 2)
    this.#talk = new OriginHttp(url, { ...all, connections: talk }, this.#account, pin)
    this.#bulk = new OriginHttp(url, { ...all, connections: all.connections - 1 - talk }, this.#account, pin)
    this.#ear = new OriginHttp(url, { ...all, ...eventsLimits, ...limits, connections: 1 }, this.#account, pin)
    this.#signer = key && new RequestSigner(url, key, now)
  }

  /** As `fetchMetadata`. */
  metadata(path: string, limitBytes: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return fetchMetadata(this.#talk, path, limitBytes, signal)
  }

  /**
   * What is new after this root and this snapshot, see metadata-bundle.ts.
   *
   * @returns undefined where there are only the files themselves. @throws As `fetchBundle`.
   */
  async metadataAfter(root: number, snapshot: number, channel: string, signal?: AbortSignal) {
    if (performance.now() < this.#onlyFilesUntil) return undefined
    const bundle = await fetchBundle(this.#talk, bundleUrlPath(root, snapshot, channel), signal)
    if (!bundle) this.#onlyFilesUntil = performance.now() + onlyFilesMs
    return bundle
  }

  /** As `fetchTorrent`. */
  torrent(artifact: Artifact, signal?: AbortSignal): Promise<Uint8Array> {
    return fetchTorrent(this.#talk, artifact, signal)
  }

  /** The key of this node's site, for its beacons. @throws DownloadError. */
  async siteKey(place: NodePlace, signal?: AbortSignal): Promise<SiteKeyAnswer> {
    return this.#talk.exchange(this.#signed(post('seats', siteKeyUrlPath, place, signal)), async answer => {
      await expectStatus(answer, 200)
      const parsed = siteKeyAnswer.safeParse(parseJson(await answer.bytes(siteKeyAnswerLimitBytes)))
      if (!parsed.success) throw new DownloadError('origin_malformed', 'the origin answers with no site key')
      return parsed.data
    })
  }

  /**
   * Ask for a seat, or renew one.
   *
   * @param artifact The one the request names: the pieces of the answer are its pieces.
   * @throws DownloadError; `origin_malformed` when the answer breaks the protocol or deals pieces that do not exist.
   */
  async seats(request: SeatRequest, artifact: Artifact, signal?: AbortSignal): Promise<SeatAnswer> {
    return this.#talk.exchange(this.#signed(post('seats', seatsUrlPath, request, signal)), async answer => {
      await expectStatus(answer, 200)
      return readSeatAnswer(await answer.bytes(seatAnswerLimitBytes), pieceCount(artifact))
    })
  }

  /** Tell the origin how a cycle ended. @throws DownloadError; the caller's cycle is over and does not fail by it. */
  async report(report: NodeReport, signal?: AbortSignal): Promise<void> {
    await this.#talk.exchange(this.#signed(post('reports', reportUrlPath, report, signal)), answer =>
      expectStatus(answer, 200, 202, 204),
    )
  }

  /**
   * Announce this node to the tracker.
   *
   * @throws DownloadError `origin_malformed` for a reply that is no tracker's, `origin_status` when the tracker refuses.
   */
  async announce(params: AnnounceParams, signal?: AbortSignal): Promise<AnnounceReply> {
    return this.#talk.exchange(
      this.#signed({ purpose: 'tracker', method: 'GET', path: announcePath(params), signal }),
      async answer => {
        await expectStatus(answer, 200)
        return readTrackerReply(await answer.bytes(trackerReplyLimitBytes))
      },
    )
  }

  /**
   * Listen for news until the origin, or the line, ends it.
   *
   * @returns How long to stay away when enough others of the site listen; undefined when it was heard and has ended.
   * @throws DownloadError; `origin_malformed` for anything but such a stream. An aborted `signal` rejects with its own reason.
   */
  async events(request: NodePlace, options: EventsOptions): Promise<{ retryAfterMs: number } | undefined> {
    return this.#ear.exchange(this.#signed(post('news', eventsUrlPath, request, options.signal)), async answer => {
      const retryAfterMs = turnedAway(answer)
      if (retryAfterMs !== undefined) return { retryAfterMs }
      await expectStatus(answer, 200)
      if (answer.header('content-type') !== 'text/event-stream')
        throw new DownloadError('origin_malformed', 'the origin answers with no event stream')
      options.onOpen()
      const reader = new EventReader()
      for await (const chunk of answer.chunks(eventsLimitBytes))
        for (const event of reader.push(chunk)) if (event.name === newsEvent) options.onNews(readNews(event.data))
      return undefined
    })
  }

  /**
   * A URL for a stock BitTorrent client beside this node, good for this artifact and a day. Of a node that has not joined, the one of its
   * site, which is good where the origin demands no identity.
   *
   * @throws DownloadError.
   */
  async announceUrl(artifact: Sha256, site: string, signal?: AbortSignal): Promise<string> {
    if (!this.#signer) return `${this.#origin}/announce/${encodeURIComponent(site)}`
    return this.#talk.exchange(this.#signed(post('tracker', announceUrlPath, { artifact }, signal)), async answer => {
      await expectStatus(answer, 200)
      const parsed = announceUrlAnswer.safeParse(parseJson(await answer.bytes(announceUrlLimitBytes)))
      if (!parsed.success) throw new DownloadError('origin_malformed', 'the origin answers with no announce URL')
      return this.#origin + parsed.data.path
    })
  }

  /**
   * Fetch one byte range of an artifact from the origin.
   *
   * @param path The artifact's URL path, see `artifactUrlPath`.
   * @param range Inside the artifact, not empty.
   * @param length Bytes of the whole artifact; the origin has to agree.
   * @returns When `onChunk` has taken exactly `range.end - range.start` bytes; never fewer, and `onChunk` never sees more.
   * @throws DownloadError `seat_required` (403; `facts.retryAfterMs` when the origin says how long to wait), those of origin-refusal.ts
   *   when it does not take this node for one of its own, `origin_status` (with
   *   status), `origin_length`, `origin_idle`, `origin_unreachable`, `origin_malformed`. Retryable, except a 4xx. What `onChunk`
   *   throws. An aborted `signal` rejects with its own reason.
   */
  async fetchRange(path: string, range: ByteRange, length: number, options: RangeOptions): Promise<void> {
    const { start, end } = range
    if (!(start >= 0 && start < end && end <= length)) throw new RangeError(`no bytes ${start}-${end} of ${length}`)
    const headers = {
      range: `bytes=${start}-${end - 1}`,
      ...(options.seat === undefined ? {} : { [seatHeader]: options.seat }),
    }
    const { signal, idleTimeoutMs } = options
    const request = { purpose: 'payload', method: 'GET', path, headers, signal, idleTimeoutMs } as const
    await this.#bulk.exchange(this.#signed(request), async answer => {
      await expectRange(answer)
      const offered = answer.header('content-range')
      if (offered !== `bytes ${start}-${end - 1}/${length}`) {
        const said = printable(offered ?? 'nothing')
        throw new DownloadError(
          'origin_length',
          `asked for bytes ${start}-${end - 1} of ${length}, the origin offers ${said}`,
        )
      }
      let received = 0
      for await (const chunk of answer.chunks(end - start)) {
        received += chunk.length
        await options.onChunk(chunk)
      }
      if (received < end - start) {
        throw new DownloadError('origin_length', `the origin sent ${received} bytes of ${end - start}`)
      }
    })
  }

  /** What the line carried so far. */
  account(): OriginAccountView {
    return this.#account.view()
  }

  async stop(): Promise<void> {
    await Promise.all([this.#talk.stop(), this.#bulk.stop(), this.#ear.stop()])
  }

  #signed(request: HttpRequest): HttpRequest {
    return this.#signer ? { ...request, headers: this.#signer.sign(request) } : request
  }
}

function post(purpose: Purpose, path: string, body: unknown, signal: AbortSignal | undefined) {
  const headers = { 'content-type': 'application/json' }
  return { purpose, method: 'POST' as const, path, headers, body: JSON.stringify(body), signal }
}

function announcePath({ site, infohash, peerId, lanAddress, port, left, event }: AnnounceParams): string {
  const query = [
    `info_hash=${percentEncoded(Buffer.from(infohash, 'hex'))}`,
    `peer_id=${percentEncoded(Buffer.from(peerId, 'latin1'))}`,
    `ip=${encodeURIComponent(lanAddress)}`,
    `port=${port}`,
    'uploaded=0',
    'downloaded=0',
    `left=${left}`,
    ...(event === undefined ? [] : [`event=${event}`]),
    'compact=1',
    `numwant=${wantedPeers}`,
  ]
  return `/announce/${encodeURIComponent(site)}?${query.join('&')}`
}

/** Every byte as %xx: a binary string in a query is not text, and URLSearchParams would take it for UTF-8. */
function percentEncoded(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex').replace(/../g, '%$&')
}

function readNews(data: string): OriginNews {
  const parsed = originNews.safeParse(parseJson(Buffer.from(data)))
  if (!parsed.success) throw new DownloadError('origin_malformed', 'the origin tells news that is none')
  return parsed.data
}

function readSeatAnswer(bytes: Buffer, pieces: number): SeatAnswer {
  const parsed = seatAnswer.safeParse(parseJson(bytes))
  if (!parsed.success) throw malformed(z.prettifyError(parsed.error).slice(0, 500))
  const answer = parsed.data
  const ascending = answer.pieces.every((piece, at) => at === 0 || piece > answer.pieces[at - 1]!)
  if (!ascending || (answer.pieces.at(-1) ?? 0) >= pieces)
    throw malformed('it deals pieces that do not exist, or twice')
  if (answer.seat === null && answer.pieces.length > 0) throw malformed('it deals pieces without a seat')
  if (answer.siteHolds > pieces) throw malformed('its site holds more than there is')
  return answer
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined // the schema says the rest
  }
}

function malformed(detail: string): DownloadError {
  return new DownloadError('origin_malformed', `the origin's answer about seats cannot be used: ${detail}`)
}
