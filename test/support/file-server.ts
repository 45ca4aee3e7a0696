/** A plain HTTP file server on loopback, whose files a test may change under the hands of its clients. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A file server that answers what it is told to, and remembers what it was asked for. */
export class FileServer {
  /** By path, without the slash in front; undefined for 404. */
  answer: (path: string) => Uint8Array | undefined = () => undefined
  requests: string[] = []
  // Kept for long: a connection that is closed just when a client on a busy machine uses it again would be a fault that no test asked for.
  readonly #server: Server = createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
    const path = request.url!.slice(1)
    this.requests.push(path)
    const bytes = this.answer(path)
    response.writeHead(bytes ? 200 : 404).end(bytes)
  })

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }
}
