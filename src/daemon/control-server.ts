/**
 * The daemon's ear on this machine: HTTP over a unix socket (the paths stand in control-protocol.ts).
 *
 * Who may connect is decided by the file system: the socket has mode 0660 and lives in a directory of the daemon's group. What
 * connects is still bounded, since a monitoring script gone wild must not take the daemon down: few connections, small requests
 * without a body, short waits for them. A client that goes away ends its own waiting, never the cycle that it waited for.
 */
import { chmod, lstat, unlink } from 'node:fs/promises'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { ConfigError, ControlError, describeError, StoreError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import { channelName, wholeNumber, z } from '../core/schema.ts'
import { KiB, second } from '../core/units.ts'
import { createServer } from '../swarm/node-http.ts'
import { mostHistoryEntries } from './control-protocol.ts'
import type { AnnounceLink, CycleResult, HistoryEntry, HoldResult, NodeStatus, PeerList, ReachList } from './status.ts'

/** What the socket answers with; the node behind it. */
export interface ControlHandlers {
  status(): NodeStatus
  peers(): PeerList
  /** @param limit 1 to `mostHistoryEntries`: the newest so many, the newest last. */
  history(limit: number): readonly HistoryEntry[]
  /**
   * Run a cycle of `channel`, or of all channels; where one is under way, after it.
   * @param signal Ends the waiting, not the cycle.
   * @param retry Try again what failed here before.
   * @throws ControlError `daemon_refused` when the node has no such channel.
   */
  update(channel: string | undefined, signal: AbortSignal, retry: boolean): Promise<readonly CycleResult[]>
  /** Put the release before in force. @param signal As for `update`. @throws as `update`. */
  rollBack(channel: string, signal: AbortSignal): Promise<CycleResult>
  /**
   * Install nothing new.
   * @param until Ms since 1970; null: until further notice; undefined: the hold is over.
   * @throws as `update`; StoreError, InstallError.
   */
  hold(channel: string, until: number | null | undefined): Promise<HoldResult>
  /**
   * For a stock BitTorrent client beside this node: how it joins the exchange of the newest release.
   * @throws as `update`; ControlError also when no release is known as yet; DownloadError.
   */
  announceUrl(channel: string, signal: AbortSignal): Promise<AnnounceLink>
  /** Ask some neighbours whether they can dial this node. */
  reach(signal: AbortSignal): Promise<ReachList>
}

export interface ControlLimits {
  readonly connections: number
  /** As `ServerLimits`. */
  readonly requestTimeoutMs: number
  readonly headerBytes: number
}

const defaultLimits: ControlLimits = { connections: 32, requestTimeoutMs: 5 * second, headerBytes: 8 * KiB }
const defaultHistoryEntries = 50

/**
 * Listen on `path`. The socket of a daemon that died is replaced; that of a living one is left alone.
 *
 * Two daemons that start at the same moment are kept apart by the lock on their state directory, not here.
 *
 * @throws StoreError `state_busy` when a living daemon answers on `path`.
 * @throws ConfigError `config_invalid` when there can be no socket at `path`: no such directory, no right to write, another kind of file.
 */
export async function startControlServer(
  path: string,
  handlers: ControlHandlers,
  limits: ControlLimits = defaultLimits,
): Promise<Stoppable> {
  await removeStaleSocket(path)
  const server = createServer(
    { headerBytes: limits.headerBytes, requestTimeoutMs: limits.requestTimeoutMs, keepAliveTimeoutMs: second },
    (request, response) => void answer(request, response, handlers),
  )
  server.maxConnections = limits.connections
  await listen(server, path)
  // Until here the umask decided; the units set one that lets nobody in but the owner and the group.
  await chmod(path, 0o660)
  return { stop: () => close(server) }
}

async function removeStaleSocket(path: string): Promise<void> {
  const file = await lstat(path).catch(absent)
  if (file === undefined) return
  if (!file.isSocket())
    throw new ConfigError('config_invalid', `control socket ${path}: there is a file of another kind`)
  if (await isAnswered(path)) {
    throw new StoreError('state_busy', `another daemon listens on ${path}`, { path })
  }
  await unlink(path).catch(absent)
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false)
      // EAGAIN: its queue is full, so somebody is there.
      else if (error.code === 'EAGAIN') resolve(true)
      else reject(cannotListen(path, error))
    })
  })
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', error => reject(cannotListen(path, error)))
    server.listen(path, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}

function cannotListen(path: string, cause: NodeJS.ErrnoException): ConfigError {
  return new ConfigError('config_invalid', `control socket ${path} cannot be opened: ${cause.message}`, { cause })
}

function close(server: Server): Promise<void> {
  return new Promise(resolve => {
    // The error of a server that is closed already is the answer to a second stop().
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

async function answer(request: IncomingMessage, response: ServerResponse, handlers: ControlHandlers): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort(new Error('the client went away')))
  try {
    send(response, 200, await dispatch(request, handlers, gone.signal))
  } catch (error) {
    if (gone.signal.aborted) return
    const refusal = refusalOf(error)
    send(response, refusal.status, { error: { code: refusal.code, message: refusal.message } })
  }
}

type Action = (query: URLSearchParams, handlers: ControlHandlers, signal: AbortSignal) => unknown

/** Every path with the one method it takes. */
const routes: ReadonlyMap<string, readonly ['GET' | 'POST', Action]> = new Map([
  ['/v1/status', ['GET', (_, handlers) => handlers.status()]],
  ['/v1/peers', ['GET', (_, handlers) => handlers.peers()]],
  [
    '/v1/history',
    ['GET', (query, handlers) => handlers.history(parameter(query, 'limit', historyLimit) ?? defaultHistoryEntries)],
  ],
  [
    '/v1/update',
    [
      'POST',
      (query, handlers, signal) =>
        handlers.update(parameter(query, 'channel', channelName), signal, parameter(query, 'retry', flag) ?? false),
    ],
  ],
  ['/v1/rollback', ['POST', (query, handlers, signal) => handlers.rollBack(theChannel(query), signal)]],
  [
    '/v1/hold',
    ['POST', (query, handlers) => handlers.hold(theChannel(query), parameter(query, 'until', instant) ?? null)],
  ],
  ['/v1/release', ['POST', (query, handlers) => handlers.hold(theChannel(query), undefined)]],
  ['/v1/announce-url', ['POST', (query, handlers, signal) => handlers.announceUrl(theChannel(query), signal)]],
  ['/v1/reach', ['POST', (_, handlers, signal) => handlers.reach(signal)]],
] satisfies [string, ['GET' | 'POST', Action]][])

const flag = z.enum(['true', 'false']).transform(text => text === 'true')
const instant = z.iso.datetime().transform(text => Date.parse(text))

function theChannel(query: URLSearchParams): string {
  const channel = parameter(query, 'channel', channelName)
  if (channel === undefined) throw new Refusal(400, 'channel: expected the name of one')
  return channel
}

const historyLimit = z.coerce.number().pipe(wholeNumber.min(1).max(mostHistoryEntries))

function dispatch(request: IncomingMessage, handlers: ControlHandlers, signal: AbortSignal): unknown {
  // A body is never read: without this, its bytes would wait in the socket and pass for the next request.
  if (request.headers['content-length'] !== undefined && request.headers['content-length'] !== '0') {
    throw new Refusal(413, 'no request to this socket has a body')
  }
  if (request.headers['transfer-encoding'] !== undefined) throw new Refusal(413, 'no request to this socket has a body')
  const url = URL.parse(request.url ?? '', 'http://daemon')
  const route = url && routes.get(url.pathname)
  if (!route)
    throw new Refusal(
      404,
      'no such path; this daemon knows status, peers, history, update, rollback, hold, release, announce-url and reach under /v1',
    )
  const [method, action] = route
  if (request.method !== method) throw new Refusal(405, `${url.pathname} takes ${method} only`)
  return action(url.searchParams, handlers, signal)
}

function parameter<T>(query: URLSearchParams, name: string, schema: z.ZodType<T>): T | undefined {
  const text = query.get(name)
  if (text === null) return undefined
  const parsed = schema.safeParse(text)
  if (!parsed.success) throw new Refusal(400, `${name}: ${parsed.error.issues.map(issue => issue.message).join('; ')}`)
  return parsed.data
}

/** A request this daemon does not take, with its HTTP status. */
class Refusal extends ControlError {
  readonly status: number

  constructor(status: number, message: string) {
    super('daemon_refused', message)
    this.status = status
  }
}

function refusalOf(error: unknown): { status: number; code: string; message: string } {
  const described = describeError(error)
  if (error instanceof Refusal) return { status: error.status, ...described }
  if (error instanceof ControlError) return { status: 404, ...described }
  return { status: 500, ...described }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const bytes = Buffer.from(`${JSON.stringify(body)}\n`)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': bytes.length,
    // One request a connection: the cap counts clients, not idle sockets.
    connection: 'close',
  })
  response.end(bytes)
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT') return undefined
  throw error
}
