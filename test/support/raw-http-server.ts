/** An HTTP server of bare sockets, so that it can answer what no HTTP library would: garbage, half a body, one byte a second. */
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'

export interface RawRequest {
  /** `GET /path HTTP/1.1`, cut. */
  readonly method: string
  readonly path: string
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

export type RawAnswer = (socket: Socket, request: RawRequest) => void | Promise<void>

export class RawHttpServer {
  readonly requests: RawRequest[] = []
  readonly sockets = new Set<Socket>()
  readonly url: string
  readonly port: number
  /** Sockets accepted so far. */
  accepted = 0
  readonly #server: Server

  private constructor(server: Server, answer: RawAnswer) {
    this.#server = server
    this.port = (server.address() as { port: number }).port
    this.url = `http://127.0.0.1:${this.port}`
    server.on('connection', socket => this.#serve(socket, answer))
  }

  static async start(answer: RawAnswer): Promise<RawHttpServer> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new RawHttpServer(server, answer)
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    await new Promise(resolve => this.#server.close(resolve))
  }

  #serve(socket: Socket, answer: RawAnswer): void {
    this.accepted++
    this.sockets.add(socket)
    socket.on('close', () => this.sockets.delete(socket))
    socket.on('error', () => {}) // clients that hang up are what these tests are about
    let inbox = ''
    socket.on('data', chunk => {
      inbox += chunk.toString('latin1')
      for (;;) {
        const request = takeRequest(inbox)
        if (!request) return
        inbox = inbox.slice(request.size)
        this.requests.push(request)
        void answer(socket, request)
      }
    })
  }
}

function takeRequest(inbox: string): (RawRequest & { size: number }) | undefined {
  const end = inbox.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const [line = '', ...fields] = inbox.slice(0, end).split('\r\n')
  const [method = '', path = ''] = line.split(' ')
  const headers = new Map(fields.map(field => [field.split(':')[0]!.toLowerCase(), field.replace(/^[^:]*: */, '')]))
  const size = end + 4 + Number(headers.get('content-length') ?? 0)
  if (inbox.length < size) return undefined
  return { method, path, headers, body: inbox.slice(end + 4, size), size }
}

/** A whole answer; `content-length` is right unless `headers` has another. */
export function reply(
  socket: Socket,
  status: number,
  body: string | Uint8Array = '',
  headers: Record<string, string> = {},
) {
  const bytes = Buffer.from(body as string, 'latin1')
  const fields = Object.entries({ 'content-length': String(bytes.length), ...headers })
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  socket.write(Buffer.concat([Buffer.from(`HTTP/1.1 ${status} Whatever\r\n${lines}\r\n`), bytes]))
}

/** The byte range a request asks for, half-open. */
export function askedRange({ headers }: RawRequest): [start: number, end: number] {
  const [, start, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.get('range') ?? '') ?? []
  return [Number(start), Number(last) + 1]
}
