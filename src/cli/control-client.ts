/**
 * The CLI's end of the control socket. What the daemon answers is parsed like anything else from outside: bounded, then by schema,
 * since daemon and CLI may be of different versions.
 */
import { ControlError } from '../core/errors.ts'
import { z } from '../core/schema.ts'
import { second } from '../core/units.ts'
import { controlAnswerLimitBytes } from '../daemon/control-protocol.ts'
import {
  type AnnounceLink,
  announceLink,
  type CycleResult,
  cycleResult,
  type HistoryEntry,
  type HoldResult,
  historyEntry,
  holdResult,
  type NodeStatus,
  nodeStatus,
  type PeerList,
  peerList,
  type ReachList,
  reachList,
} from '../daemon/status.ts'
import { request } from '../swarm/node-http.ts'

/** Below the 10 s that Nagios gives a plugin. */
const answerTimeoutMs = 5 * second

/**
 * Every call is one request.
 *
 * All throw ControlError `daemon_unreachable` (facts: `reason`, the system's error code or `timeout`) when nobody answers, and
 * `daemon_refused` when the daemon says no or answers what this version does not understand. An aborted `signal` rejects with its own reason.
 */
export interface ControlClient {
  status(signal?: AbortSignal): Promise<NodeStatus>
  peers(): Promise<PeerList>
  /** @param limit 1 to `mostHistoryEntries`. */
  history(limit: number): Promise<HistoryEntry[]>
  /** Resolves when the cycles are over, however long that takes. @param channel Default: all channels. */
  update(channel: string | undefined, signal?: AbortSignal, retry?: boolean): Promise<CycleResult[]>
  /** Resolves when the release before is in force and loaded, however long that takes, or was found not to be. */
  rollBack(channel: string, signal?: AbortSignal): Promise<CycleResult>
  /** @param until Null: until further notice. */
  hold(channel: string, until: Date | null): Promise<HoldResult>
  release(channel: string): Promise<HoldResult>
  /** Resolves when the origin has answered. */
  announceUrl(channel: string, signal?: AbortSignal): Promise<AnnounceLink>
  /** Resolves when the neighbours that were asked have answered, within some seconds. */
  reach(signal?: AbortSignal): Promise<ReachList>
}

export function controlClient(socketPath: string): ControlClient {
  const get = <T>(path: string, schema: z.ZodType<T>, signal?: AbortSignal) =>
    call({ socketPath, method: 'GET', path, timeoutMs: answerTimeoutMs, signal }, schema)
  const post = <T>(path: string, schema: z.ZodType<T>, how: Partial<Pick<Call, 'signal' | 'timeoutMs'>>) =>
    call({ socketPath, method: 'POST', path, signal: undefined, ...how }, schema)
  return {
    status: signal => get('/v1/status', nodeStatus, signal),
    peers: () => get('/v1/peers', peerList),
    history: limit => get(`/v1/history?limit=${limit}`, z.array(historyEntry)),
    update: (channel, signal, retry) => {
      const query = new URLSearchParams({ ...(channel !== undefined && { channel }), ...(retry && { retry: 'true' }) })
      return post(`/v1/update?${query}`, z.array(cycleResult), { signal })
    },
    rollBack: (channel, signal) => post(`/v1/rollback?${new URLSearchParams({ channel })}`, cycleResult, { signal }),
    hold: (channel, until) => {
      const query = new URLSearchParams({ channel, ...(until && { until: until.toISOString() }) })
      return post(`/v1/hold?${query}`, holdResult, { timeoutMs: answerTimeoutMs })
    },
    release: channel =>
      post(`/v1/release?${new URLSearchParams({ channel })}`, holdResult, { timeoutMs: answerTimeoutMs }),
    announceUrl: (channel, signal) =>
      post(`/v1/announce-url?${new URLSearchParams({ channel })}`, announceLink, { signal }),
    reach: signal => post('/v1/reach', reachList, { signal, timeoutMs: 2 * answerTimeoutMs }),
  }
}

interface Call {
  readonly socketPath: string
  readonly method: 'GET' | 'POST'
  readonly path: string
  /** For the whole exchange. Default: none. */
  readonly timeoutMs?: number
  readonly signal: AbortSignal | undefined
}

async function call<T>({ socketPath, method, path, timeoutMs, signal }: Call, schema: z.ZodType<T>): Promise<T> {
  const deadline = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs)
  const either = AbortSignal.any([signal, deadline].filter(given => given !== undefined))
  const { status, text } = await exchange(socketPath, method, path, either).catch(error => {
    signal?.throwIfAborted()
    if (deadline?.aborted) throw unreachable(socketPath, 'timeout')
    throw error instanceof ControlError ? error : unreachable(socketPath, error.code ?? 'unknown', error)
  })
  const body = parseJson(text)
  if (status !== 200) throw refused(refusal.safeParse(body).data?.error.message ?? `the daemon answers HTTP ${status}`)
  const parsed = schema.safeParse(body)
  if (parsed.success) return parsed.data
  throw refused(`the daemon answers ${path} in a form that this version does not know; restart it after an upgrade`)
}

function exchange(
  socketPath: string,
  method: string,
  path: string,
  signal: AbortSignal,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { socketPath, method, path, signal, agent: false, headers: { host: 'daemon' } },
      async response => {
        try {
          const chunks: Buffer[] = []
          let bytes = 0
          for await (const chunk of response as AsyncIterable<Buffer>) {
            bytes += chunk.length
            if (bytes > controlAnswerLimitBytes) {
              throw refused(`the daemon answers more than ${controlAnswerLimitBytes} bytes`)
            }
            chunks.push(chunk)
          }
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') })
        } catch (error) {
          outgoing.destroy()
          reject(error)
        }
      },
    )
    outgoing.once('error', reject)
    outgoing.end()
  })
}

const refusal = z.object({ error: z.object({ code: z.string(), message: z.string() }) })

function refused(message: string): ControlError {
  return new ControlError('daemon_refused', message)
}

function unreachable(socketPath: string, reason: string, cause?: unknown): ControlError {
  return new ControlError(
    'daemon_unreachable',
    sentences[reason]?.(socketPath) ?? `the daemon on ${socketPath} hung up before it answered (${reason})`,
    {
      cause,
      reason,
      socketPath,
    },
  )
}

const sentences: Readonly<Record<string, (path: string) => string>> = {
  ENOENT: path => `no daemon runs here: ${path} does not exist`,
  ECONNREFUSED: path => `nobody listens on ${path}: the daemon has died`,
  EACCES: path => `this user may not open ${path}: it is for root and the group of the daemon`,
  timeout: path => `the daemon on ${path} did not answer within ${answerTimeoutMs / second} s`,
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
