/**
 * HTTP to one origin, defended. It connects to the configured origin and to nobody else (a redirect is just a status), keeps few connections, bounds every wait and every byte, and says in our own error codes who is to blame.
 *
 *   waiting for               limit                              else
 *   the right certificate     before a byte is sent              origin_unreachable, origin_pin
 *   a connection              connectTimeoutMs                   origin_unreachable
 *   the whole answer head     headersTimeoutMs; no 1xx           origin_unreachable, origin_malformed
 *   the next bytes            idleTimeoutMs                      origin_idle
 *   a useful rate             leastBytesPerSecond, per window    origin_idle
 *   the end                   the byte limit of the caller       origin_length
 */
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { DownloadError, SigmeshError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import { KiB, minute, second } from '../core/units.ts'
import { Agent, request as httpRequest } from './node-http.ts'
import type { OriginAccount, Purpose } from './origin-account.ts'
import { type Connector, connectorTo } from './origin-connector.ts'

export interface HttpLimits {
  /** Connections to the origin at most. */
  readonly connections: number
  readonly connectTimeoutMs: number
  readonly headersTimeoutMs: number
  /** Longest silence between two chunks of a body. */
  readonly idleTimeoutMs: number
  /** Slower than this over a whole `rateWindowMs` of waiting is as good as dead: a slow-loris, or a line nobody should hold a seat on. */
  readonly leastBytesPerSecond: number
  readonly rateWindowMs: number
}

export const defaultHttpLimits: HttpLimits = {
  connections: 5,
  connectTimeoutMs: 10 * second,
  headersTimeoutMs: 15 * second,
  idleTimeoutMs: 30 * second,
  leastBytesPerSecond: 256,
  rateWindowMs: 30 * second,
}

/** Where every byte is put down. */
export type HttpAccount = Pick<OriginAccount, 'watch' | 'received' | 'sent'>

export interface HttpRequest {
  /** In whose account its bytes go. */
  readonly purpose: Purpose
  readonly method: 'GET' | 'POST'
  /** Path and query, already encoded, starting with a slash. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal?: AbortSignal | undefined
  /** Default: as in the limits. */
  readonly idleTimeoutMs?: number | undefined
}

export interface HttpAnswer {
  readonly status: number
  /** The value of a header that comes at most once; undefined when it is absent or comes twice. */
  header(name: string): string | undefined
  /**
   * The body as it comes. Time that the reader takes between two chunks counts against nobody.
   * @throws DownloadError `origin_length` when it breaks off, or is longer than `limitBytes` (`facts.tooLong`); `origin_idle`.
   */
  chunks(limitBytes: number): AsyncGenerator<Uint8Array>
  /** The whole body; throws as `chunks` does. */
  bytes(limitBytes: number): Promise<Buffer>
}

/** Of an answer that nobody wants, read this much to keep the connection; end the connection when there is more. */
const discardBytes = 4 * KiB
const longestHeadBytes = 16 * KiB
/** Bytes of an artifact come a frame at a time on a slow line, and to look at them costs as much for one frame as for ten. So they are left for a moment, */
const longestGatherMs = 20
/** or until there should be this much; */
const gatheredBytes = 16 * KiB
/** but not the first of them: what is left lying when the connection breaks is lost, and where each one breaks early, something has to come of each. */
const ungatheredBytes = 64 * KiB
/** A connection that nobody uses is closed after so long, or earlier when the origin asks for it. */
const keepAliveMs = 30 * second
/** Longer than that: only a connection that is used, and silent, is probed. */
const probeMs = minute

/** Connections to the origin only, whatever a request says. */
class Connections extends Agent {
  readonly #open: Connector['open']

  constructor(open: Connector['open'], most: number) {
    // Of its own accord the agent would have TCP probe each resting connection every second: a hundredth of a thin line, for twenty nodes.
    super({ keepAlive: true, keepAliveMsecs: probeMs, timeout: keepAliveMs, maxSockets: most, maxFreeSockets: most })
    this.#open = open
  }

  override createConnection(): Socket {
    return this.#open()
  }
}

export class OriginHttp implements Stoppable {
  readonly #connector: Connector
  readonly #connections: Connections
  readonly #host: string
  readonly #prefix: string
  readonly #limits: HttpLimits
  readonly #account: HttpAccount
  readonly #stopping = new AbortController()

  /**
   * @param origin `http:` or `https:`; a path in it goes before every request's.
   * @param pin Of the certificate that the origin has to show; without it, one that this machine's authorities vouch for.
   */
  constructor(origin: URL, limits: HttpLimits, account: HttpAccount, pin?: string) {
    this.#account = account
    this.#limits = limits
    this.#prefix = origin.pathname.replace(/\/$/, '')
    this.#host = origin.host
    const { connectTimeoutMs: timeoutMs, connections } = limits
    this.#connector = connectorTo(origin, { timeoutMs, pin, watch: socket => account.watch(socket) })
    this.#connections = new Connections(this.#connector.open, connections)
  }

  /**
   * One request, and the reading of its answer. When `read` is through, what it left of the body is dropped.
   *
   * @throws DownloadError as in the table above, and whatever `read` throws. An aborted `signal` rejects with its own reason.
   */
  async exchange<T>(request: HttpRequest, read: (answer: HttpAnswer) => Promise<T>): Promise<T> {
    const signal = AbortSignal.any([this.#stopping.signal, ...(request.signal ? [request.signal] : [])])
    let response: IncomingMessage | undefined
    try {
      response = await this.#send(request, signal)
      const result = await read(this.#answer(response, request))
      if (!response.readableEnded) await this.#discard(response, request)
      return result
    } catch (error) {
      signal.throwIfAborted()
      throw error
    } finally {
      response?.on('error', () => {}).destroy()
    }
  }

  /** Every exchange under way rejects, every connection is closed. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the origin client was stopped'))
    this.#connections.destroy()
  }

  /** @returns The answer as soon as its head is there. */
  async #send(request: HttpRequest, signal: AbortSignal): Promise<IncomingMessage> {
    signal.throwIfAborted()
    const { method, path, headers, body, purpose } = request
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const sent = httpRequest({
      agent: this.#connections,
      method,
      path: this.#prefix + path,
      headers: { 'accept-encoding': 'identity', ...headers, host: this.#host },
      maxHeaderSize: longestHeadBytes,
      signal,
    })
    if (body !== undefined) this.#account.sent(purpose, Buffer.byteLength(body))
    let answer: IncomingMessage | undefined
    this.#giveTime(sent)
    sent.once('response', response => {
      answer = response
      resolve(response)
    })
    // Nothing we send calls for one, and each would wind up the clock of the answer head again.
    sent.on('information', () =>
      sent.destroy(new DownloadError('origin_malformed', 'the origin sends interim answers')),
    )
    sent.on('error', error => {
      reject(headError(error))
      answer?.destroy(error)
    })
    // An upgrade that nobody asked for ends it without a word.
    sent.once('close', () => reject(headError(new Error('the connection was closed'))))
    // A request that waits for a connection is not told of its end before it has one.
    const abandon = () => reject(signal.reason)
    signal.addEventListener('abort', abandon)
    try {
      sent.end(body)
      return await promise
    } finally {
      signal.removeEventListener('abort', abandon)
    }
  }

  /** For the answer head: from when the request can go out. */
  #giveTime(sent: ClientRequest): void {
    const { headersTimeoutMs } = this.#limits
    const why = `no answer within ${headersTimeoutMs} ms`
    sent.once('socket', socket => {
      const late = setTimeout(() => sent.destroy(new DownloadError('origin_unreachable', why)), headersTimeoutMs)
      if (socket.connecting) socket.once(this.#connector.ready, () => late.refresh())
      for (const settled of ['response', 'close']) sent.once(settled, () => clearTimeout(late))
    })
  }

  #answer(response: IncomingMessage, request: HttpRequest): HttpAnswer {
    const idleTimeoutMs = request.idleTimeoutMs ?? this.#limits.idleTimeoutMs
    const received = (bytes: number) => this.#account.received(request.purpose, bytes)
    const gather = request.purpose === 'payload'
    const limits = { ...this.#limits, idleTimeoutMs, gather }
    const chunks = (limitBytes: number) => arriving(response, limitBytes, limits, received)
    return {
      status: response.statusCode!,
      header(name) {
        const values = response.headersDistinct[name]
        return values?.length === 1 ? values[0] : undefined
      },
      chunks,
      async bytes(limitBytes) {
        const parts: Uint8Array[] = []
        for await (const chunk of chunks(limitBytes)) parts.push(chunk)
        return Buffer.concat(parts)
      },
    }
  }

  async #discard(response: IncomingMessage, request: HttpRequest): Promise<void> {
    try {
      for await (const _ of this.#answer(response, { ...request, idleTimeoutMs: second }).chunks(discardBytes));
    } catch {
      // Too long, too slow or broken: the connection ends with it, and the exchange had its answer already.
    }
  }
}

async function* arriving(
  body: IncomingMessage,
  limitBytes: number,
  { idleTimeoutMs, leastBytesPerSecond, rateWindowMs, gather }: HttpLimits & { readonly gather: boolean },
  onReceived: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  const tooLong = () =>
    new DownloadError('origin_length', `the origin sends more than ${limitBytes} bytes`, { tooLong: true })
  if (Number(body.headers['content-length'] ?? 0) > limitBytes) throw tooLong()
  const source = body[Symbol.asyncIterator]()
  let received = 0
  let windowBytes = 0
  let windowMs = 0
  let bytesPerMs = Number.POSITIVE_INFINITY
  for (;;) {
    const asked = performance.now()
    const worthBytes = Math.min(gatheredBytes, limitBytes - received)
    const gatherMs = Math.floor(Math.min(longestGatherMs, worthBytes / bytesPerMs))
    if (gather && gatherMs > 0 && received >= ungatheredBytes) await delay(gatherMs)
    const silence = `the origin sent nothing for ${idleTimeoutMs} ms, after ${received} bytes`
    const timer = setTimeout(() => body.destroy(new DownloadError('origin_idle', silence)), idleTimeoutMs)
    const { value, done } = await source
      .next()
      .catch(error => Promise.reject(bodyError(error, received)))
      .finally(() => clearTimeout(timer))
    if (done) return
    const chunk: Uint8Array = value
    received += chunk.length
    onReceived(chunk.length)
    if (received > limitBytes) throw tooLong()
    const waitedMs = performance.now() - asked
    bytesPerMs = chunk.length / waitedMs
    windowBytes += chunk.length
    windowMs += waitedMs
    if (windowMs >= rateWindowMs) {
      if (windowBytes < (leastBytesPerSecond * windowMs) / second) throw tooSlow(windowBytes, windowMs)
      windowBytes = 0
      windowMs = 0
    }
    yield chunk
  }
}

function tooSlow(bytes: number, ms: number): DownloadError {
  return new DownloadError('origin_idle', `the origin sent only ${bytes} bytes in ${Math.round(ms)} ms`)
}

/** Why there is no answer, in our words. A wrong argument is ours and stays what it is. */
function headError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof TypeError) return error
  if (isNotHttp(error)) return notHttp(error)
  if (error instanceof DownloadError) return error
  // Several addresses tried in vain give an AggregateError without a message.
  const why = (error.message || String('code' in error ? error.code : error.name)).slice(0, 200)
  return new DownloadError('origin_unreachable', `the origin does not answer: ${why}`, { cause: error })
}

/** Why a body broke off. */
function bodyError(error: unknown, received: number): unknown {
  if (!(error instanceof Error) || error instanceof SigmeshError) return error
  if (isNotHttp(error)) return notHttp(error)
  return new DownloadError('origin_length', `the connection broke after ${received} bytes`, { cause: error })
}

function isNotHttp(error: Error): boolean {
  return 'code' in error && String(error.code).startsWith('HPE_')
}

function notHttp(error: Error): DownloadError {
  return new DownloadError('origin_malformed', `the origin does not speak HTTP: ${error.message.slice(0, 200)}`, {
    cause: error,
  })
}
