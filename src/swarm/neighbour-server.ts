/**
 * The node's read-only HTTP endpoint for its neighbours:
 *
 *   GET /metadata/timestamp.json, /metadata/7.clamav.json, …     its own trusted metadata
 *   GET /metadata/after/1/6/clamav                               what of it somebody lacks, see metadata-bundle.ts
 *   GET /torrents/<sha256>.torrent                               of artifacts that it exchanges
 *   GET /artifacts/<sha256>                                      of small ones, see small-artifact.ts
 *   GET /reach/<node>                                            dials the very node that asks, see dial-back.ts
 *
 * Nothing else, ever: it forwards nothing, takes no body, and makes no path of what it is asked; what is signed it shows, and payload beyond that goes by
 * BitTorrent. Against neighbours that flood it: few connections, few of one address, short waits, a bound on how long and for how many requests
 * a connection lasts. A refresh is one to four requests, and a connection costs both sides more than one of them.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { SwarmError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import { KiB, second } from '../core/units.ts'
import type { ReachOutcome } from './dial-back.ts'
import type { NeighbourLine } from './neighbour-line.ts'
import { canonicalAddress, type Networks } from './networks.ts'
import { createServer } from './node-http.ts'

export interface NeighbourServerOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** Whoever comes from elsewhere is not answered. */
  readonly networks: Networks
  readonly line: Pick<NeighbourLine, 'admit'>
  /** @param path As it was asked for. @returns undefined when there is no such thing here. */
  find(path: string): Promise<Uint8Array | undefined>
  /** As `DialBack.reach`. */
  reach(node: string, from: string): Promise<ReachOutcome>
}

export interface NeighbourServer extends Stoppable {
  readonly port: number
  /** Files given out so far. */
  readonly served: number
}

const mostConnectionsOfOne = 8
const idleMs = 10 * second
/** Between two requests. Node's client does not use a connection again that is to be closed within a second. */
const keepAliveMs = 3 * second
/** Of one connection: a refresh, and the roots that somebody has missed who was away for years. */
const mostRequests = 64
/** One that reads a byte now and then is not idle; but no honest neighbour waits for longer. */
const longestMs = 30 * second

const reachPath = /^\/reach\/([^/]{1,128})$/

/** @throws SwarmError `swarm_listen`. */
export async function startNeighbourServer(options: NeighbourServerOptions): Promise<NeighbourServer> {
  let served = 0
  const server = createServer(
    { headerBytes: 4 * KiB, requestTimeoutMs: 5 * second, keepAliveTimeoutMs: keepAliveMs },
    (request, response) => {
      answer(request, response, options).then(
        found => {
          if (found) served++
        },
        () => response.destroy(), // our own fault; the neighbour asks another
      )
    },
  )
  server.maxRequestsPerSocket = mostRequests
  server.setTimeout(idleMs, socket => socket.destroy())
  server.on('connection', limitOf(options))
  await listen(server, options)
  return {
    port: (server.address() as AddressInfo).port,
    get served() {
      return served
    },
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function limitOf({ networks, line }: NeighbourServerOptions): (socket: Socket) => void {
  const open = new Map<string, number>()
  return socket => {
    const address = canonicalAddress(socket.remoteAddress ?? '') ?? ''
    const count = (open.get(address) ?? 0) + 1
    open.set(address, count)
    const tooLong = setTimeout(() => socket.destroy(), longestMs)
    socket.once('close', () => {
      clearTimeout(tooLong)
      const left = open.get(address)! - 1
      if (left > 0) open.set(address, left)
      else open.delete(address)
    })
    if (count > mostConnectionsOfOne || !networks.allowed(address) || !line.admit(address, socket)) socket.destroy()
  }
}

/** @returns Whether a file was given out. */
async function answer(
  { method, url = '', headers, socket }: IncomingMessage,
  response: ServerResponse,
  { find, reach }: Pick<NeighbourServerOptions, 'find' | 'reach'>,
): Promise<boolean> {
  const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
  const isPlain = method === 'GET' && !hasBody
  const [, asker] = isPlain ? (reachPath.exec(url) ?? []) : []
  if (asker !== undefined) {
    const outcome = await reach(asker, canonicalAddress(socket.remoteAddress ?? '') ?? '')
    send(response, Buffer.from(JSON.stringify({ outcome })))
    return false
  }
  const bytes = isPlain ? await find(url) : undefined
  send(response, bytes)
  return bytes !== undefined
}

function send(response: ServerResponse, bytes: Uint8Array | undefined): void {
  response.writeHead(bytes ? 200 : 404, { 'content-length': bytes?.length ?? 0 })
  response.end(bytes)
}

function listen(server: Server, { host, port }: NeighbourServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', cause =>
      reject(
        new SwarmError('swarm_listen', `${host}:${port} cannot be opened for neighbours: ${cause.message}`, { cause }),
      ),
    )
    server.listen(port, host, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}
