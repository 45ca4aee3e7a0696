/**
 * Node's HTTP, for all that a node needs of it. Not by `import`: that reads every export of `node:http`, one of them is the WebSocket of
 * browsers, and with it comes another whole HTTP client, 12 MB that nobody uses.
 */
import type { IncomingMessage, RequestListener, Server } from 'node:http'
import type { Socket } from 'node:net'

const http = process.getBuiltinModule('node:http')

export const { Agent, request } = http

export interface ServerLimits {
  readonly headerBytes: number
  /** For a whole request, from when the connection stands or the answer before it has ended: then the connection is closed, without a word. */
  readonly requestTimeoutMs: number
  /** Between two requests. */
  readonly keepAliveTimeoutMs: number
}

/** The longest that a timer knows, 25 days. */
const neverMs = 2 ** 31 - 1

/** Node's own limit on the time of a request looks at all connections each second, also while there is none: half of what woke an idle node. */
export function createServer(
  { headerBytes, requestTimeoutMs, keepAliveTimeoutMs }: ServerLimits,
  listener: RequestListener,
): Server {
  const server = http.createServer(
    {
      maxHeaderSize: headerBytes,
      keepAliveTimeout: keepAliveTimeoutMs,
      headersTimeout: 0,
      requestTimeout: 0,
      connectionsCheckingInterval: neverMs,
    },
    listener,
  )
  const deadlines = new WeakMap<Socket, Deadline>()
  server.on('connection', socket => deadlines.set(socket, new Deadline(socket, requestTimeoutMs)))
  server.on('request', (request, response) => {
    const deadline = deadlines.get(request.socket)
    deadline?.asked(request)
    response.once('close', () => deadline?.answered())
  })
  return server
}

/** Of a connection: closes it when the request that it waits for is late. */
class Deadline {
  readonly #socket: Socket
  readonly #timer: NodeJS.Timeout
  #latest: IncomingMessage | undefined
  #unanswered = 0

  constructor(socket: Socket, requestTimeoutMs: number) {
    this.#socket = socket
    this.#timer = setTimeout(() => this.#look(), requestTimeoutMs)
    socket.once('close', () => clearTimeout(this.#timer))
  }

  /** The head of a request is here. */
  asked(request: IncomingMessage): void {
    this.#latest = request
    this.#unanswered++
  }

  answered(): void {
    this.#unanswered--
    if (!this.#socket.destroyed) this.#timer.refresh()
  }

  #look(): void {
    const isOurTurn = this.#unanswered > 0 && this.#latest?.complete
    if (!isOurTurn) this.#socket.destroy()
  }
}
