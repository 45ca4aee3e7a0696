/**
 * HTTP to one origin, defended: the only file that knows undici. It connects to the configured origin and to nobody else (a redirect
 * is just a status), keeps few connections, bounds every wait and every byte, and says in our own error codes who is to blame.
 *
 *   waiting for               limit                              else
 *   the right certificate     before a byte is sent              origin_unreachable, origin_pin
 *   a connection              connectTimeoutMs                   origin_unreachable
 *   the whole answer head     headersTimeoutMs; no 1xx           origin_unreachable, origin_malformed
 *   the next bytes            idleTimeoutMs                      origin_idle
 *   a useful rate             leastBytesPerSecond, per window    origin_idle
 *   the end                   the byte limit of the caller       origin_length
 */
import { type Dispatcher, errors, Pool } from 'undici'
import { DownloadError, SigmeshError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import { KiB, second } from '../core/units.ts'
import type { OriginAccount, Purpose } from './origin-account.ts'
import { connector } from './origin-connector.ts'

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

export class OriginHttp implements Stoppable {
  readonly #pool: Pool
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
    this.#pool = new Pool(origin.origin, {
      connections: limits.connections,
      pipelining: 1,
      allowH2: false, // its windows and pings are one more thing to bound, and buy nothing with two streams
      connect: connector(limits.connectTimeoutMs, pin, socket => account.watch(socket)),
      headersTimeout: limits.headersTimeoutMs,
      bodyTimeout: 0, // `chunks` has its own, which is exact and knows whom to blame
      keepAliveTimeout: 30 * second,
      keepAliveMaxTimeout: 30 * second,
      maxHeaderSize: 16 * KiB,
    })
  }

  /**
   * One request, and the reading of its answer. When `read` is through, what it left of the body is dropped.
   *
   * @throws DownloadError as in the table above, and whatever `read` throws. An aborted `signal` rejects with its own reason.
   */
  async exchange<T>(request: HttpRequest, read: (answer: HttpAnswer) => Promise<T>): Promise<T> {
    const halt = new AbortController()
    const signals = [this.#stopping.signal, halt.signal, ...(request.signal ? [request.signal] : [])]
    const signal = AbortSignal.any(signals)
    let response: Dispatcher.ResponseData | undefined
    try {
      response = await this.#send(request, signal, halt)
      const result = await read(this.#answer(response, request))
      if (!response.body.readableEnded) await this.#discard(response, request)
      return result
    } catch (error) {
      signal.throwIfAborted()
      throw error
    } finally {
      response?.body.on('error', () => {}).destroy()
    }
  }

  /** Every exchange under way rejects, every connection is closed. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the origin client was stopped'))
    if (!this.#pool.destroyed) await this.#pool.destroy()
  }

  async #send(request: HttpRequest, signal: AbortSignal, halt: AbortController): Promise<Dispatcher.ResponseData> {
    const { method, path, headers = {}, body = null, purpose } = request
    if (body !== null) this.#account.sent(purpose, Buffer.byteLength(body))
    try {
      return await this.#pool.request({
        method,
        path: this.#prefix + path,
        headers: { ...headers, 'accept-encoding': 'identity' },
        body,
        signal,
        // Nothing we send calls for one, and each would wind up the clock of the answer head again.
        onInfo: () => halt.abort(new DownloadError('origin_malformed', 'the origin sends interim answers')),
      })
    } catch (error) {
      signal.throwIfAborted()
      throw headError(error)
    }
  }

  #answer(response: Dispatcher.ResponseData, request: HttpRequest): HttpAnswer {
    const idleTimeoutMs = request.idleTimeoutMs ?? this.#limits.idleTimeoutMs
    const received = (bytes: number) => this.#account.received(request.purpose, bytes)
    const chunks = (limitBytes: number) => arriving(response, limitBytes, { ...this.#limits, idleTimeoutMs }, received)
    return {
      status: response.statusCode,
      header(name) {
        const value = response.headers[name]
        return typeof value === 'string' ? value : undefined
      },
      chunks,
      async bytes(limitBytes) {
        const parts: Uint8Array[] = []
        for await (const chunk of chunks(limitBytes)) parts.push(chunk)
        return Buffer.concat(parts)
      },
    }
  }

  async #discard(response: Dispatcher.ResponseData, request: HttpRequest): Promise<void> {
    try {
      for await (const _ of this.#answer(response, { ...request, idleTimeoutMs: second }).chunks(discardBytes));
    } catch {
      // Too long, too slow or broken: the connection ends with it, and the exchange had its answer already.
    }
  }
}

async function* arriving(
  { body, headers }: Dispatcher.ResponseData,
  limitBytes: number,
  { idleTimeoutMs, leastBytesPerSecond, rateWindowMs }: HttpLimits,
  onReceived: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  const tooLong = () =>
    new DownloadError('origin_length', `the origin sends more than ${limitBytes} bytes`, { tooLong: true })
  if (Number(headers['content-length'] ?? 0) > limitBytes) throw tooLong()
  const source = body[Symbol.asyncIterator]()
  let received = 0
  let windowBytes = 0
  let windowMs = 0
  for (;;) {
    const silence = `the origin sent nothing for ${idleTimeoutMs} ms, after ${received} bytes`
    const timer = setTimeout(() => body.destroy(new DownloadError('origin_idle', silence)), idleTimeoutMs)
    const asked = performance.now()
    const { value, done } = await source
      .next()
      .catch(error => Promise.reject(bodyError(error, received)))
      .finally(() => clearTimeout(timer))
    if (done) return
    const chunk: Uint8Array = value
    received += chunk.length
    onReceived(chunk.length)
    if (received > limitBytes) throw tooLong()
    windowBytes += chunk.length
    windowMs += performance.now() - asked
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
  if (!(error instanceof Error) || error instanceof TypeError || error instanceof errors.InvalidArgumentError)
    return error
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
  return error instanceof errors.HTTPParserError || error instanceof errors.HeadersOverflowError
}

function notHttp(error: Error): DownloadError {
  return new DownloadError('origin_malformed', `the origin does not speak HTTP: ${error.message.slice(0, 200)}`, {
    cause: error,
  })
}
