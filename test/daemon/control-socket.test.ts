/** The control socket, both ends for real: what a script gone wild, a crashed daemon or a daemon of another version does to it. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { controlClient } from '../../src/cli/control-client.ts'
import { ControlError } from '../../src/core/errors.ts'
import type { Stoppable } from '../../src/core/lifecycle.ts'
import { controlAnswerLimitBytes } from '../../src/daemon/control-protocol.ts'
import { type ControlHandlers, startControlServer } from '../../src/daemon/control-server.ts'
import type { AnnounceLink, CycleResult, HistoryEntry, PeerList, ReachList } from '../../src/daemon/status.ts'
import { channelStatus, nodeStatus, sampleNow } from '../cli/sample-status.ts'

let directory: string
let path: string
const started: Stoppable[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sigmesh-control-'))
  path = join(directory, 'control.sock')
})
afterEach(async () => {
  for (const part of started.splice(0)) await part.stop()
  rmSync(directory, { recursive: true })
})

const status = nodeStatus(channelStatus())
const peers: PeerList = [
  {
    channel: 'clamav',
    artifact: 'ab'.repeat(32) as never,
    address: '10.0.0.8:6889',
    client: 'Sigmesh 0.1.0',
    direction: 'out',
    pieces: 3,
    piecesTotal: 80,
    bytesIn: 10,
    bytesOut: 20,
  },
]
const entry: HistoryEntry = {
  at: sampleNow,
  channel: 'clamav',
  outcome: 'installed',
  sequence: 42,
  label: null,
  durationMs: 1500,
  bytes: { wan: 1, lanIn: 2, lanOut: 3, wasted: 4 },
  error: null,
}
const link: AnnounceLink = {
  channel: 'clamav',
  sequence: 42,
  artifact: 'ab'.repeat(32) as never,
  announce: 'http://origin/announce/k~e~y',
  torrent: 'http://origin/torrents/ab.torrent',
}
const dialled: ReachList = [{ node: 'pc-8', address: '10.0.0.8', http: 6890, outcome: 'timeout' }]
const installed: CycleResult = { channel: 'clamav', outcome: 'installed', sequence: 42, error: null }

async function daemon(changes: Partial<ControlHandlers> = {}, limits?: Parameters<typeof startControlServer>[2]) {
  const handlers: ControlHandlers = {
    status: () => status,
    peers: () => peers,
    history: limit => Array.from({ length: limit }, () => entry),
    update: async () => [installed],
    rollBack: async () => installed,
    hold: async (channel, until) => ({
      channel,
      hold: until === undefined ? null : { since: sampleNow, until: iso(until) },
    }),
    announceUrl: async () => link,
    reach: async () => dialled,
    ...changes,
  }
  const server = await startControlServer(path, handlers, limits)
  started.push(server)
  return server
}

/** What a client of `text` gets back until the daemon hangs up. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(path, () => socket.write(text))
    socket.on('data', chunk => {
      answer += chunk
    })
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
  })
}

test('each question gets the answer of its handler', async () => {
  const asked: unknown[] = []
  await daemon({
    update: async channel => {
      asked.push(channel)
      return [installed]
    },
  })
  const client = controlClient(path)
  expect(await client.status()).toEqual(status)
  expect(await client.peers()).toEqual(peers)
  expect(await client.history(3)).toEqual([entry, entry, entry])
  expect(await client.update('clamav')).toEqual([installed])
  expect(await client.update(undefined)).toEqual([installed])
  expect(await client.rollBack('clamav')).toEqual(installed)
  expect(await client.hold('clamav', null)).toEqual({ channel: 'clamav', hold: { since: sampleNow, until: null } })
  expect(await client.hold('clamav', new Date(sampleNow))).toMatchObject({ hold: { until: sampleNow } })
  expect(await client.release('clamav')).toEqual({ channel: 'clamav', hold: null })
  expect(await client.announceUrl('clamav')).toEqual(link)
  expect(await client.reach()).toEqual(dialled)
  expect(asked).toEqual(['clamav', undefined])
})

test('only the owner and the group may open the socket', async () => {
  const before = process.umask(0)
  try {
    await daemon()
  } finally {
    process.umask(before)
  }
  expect(statSync(path).mode & 0o777).toBe(0o660)
})

test('the socket of a daemon that died is replaced', async () => {
  // Bound and never removed, as kill -9 leaves it.
  spawnSync(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`,
  ])
  expect(existsSync(path)).toBe(true)
  await expect(controlClient(path).status()).rejects.toMatchObject({
    code: 'daemon_unreachable',
    facts: { reason: 'ECONNREFUSED' },
  })
  await daemon()
  expect(await controlClient(path).status()).toEqual(status)
})

test('the socket of a living daemon is left alone, and the second daemon refuses to start', async () => {
  await daemon()
  await expect(startControlServer(path, {} as ControlHandlers)).rejects.toMatchObject({ code: 'state_busy' })
  expect(await controlClient(path).status()).toEqual(status)
})

test('a file that is no socket is never removed', async () => {
  writeFileSync(path, 'precious')
  await expect(startControlServer(path, {} as ControlHandlers)).rejects.toMatchObject({ code: 'config_invalid' })
  expect(statSync(path).size).toBe('precious'.length)
})

test.each([
  ['its directory does not exist', () => join(directory, 'absent', 'control.sock')],
  ['its path is longer than a socket address', () => join(directory, 'x'.repeat(120))],
])('no socket can be opened when %s: a configuration error', async (_, where) => {
  await expect(startControlServer(where(), {} as ControlHandlers)).rejects.toMatchObject({ code: 'config_invalid' })
})

test('after stop the socket file is gone, and a second stop is no error', async () => {
  const server = await daemon()
  await server.stop()
  await server.stop()
  expect(existsSync(path)).toBe(false)
  await expect(controlClient(path).status()).rejects.toMatchObject({
    code: 'daemon_unreachable',
    facts: { reason: 'ENOENT' },
  })
})

test.each([
  ['an unknown path', 'GET /v1/secrets HTTP/1.1', 404],
  ['a path that climbs', 'GET /v1/../../etc/passwd HTTP/1.1', 404],
  ['the wrong method', 'GET /v1/update HTTP/1.1', 405],
  ['a limit of nothing', 'GET /v1/history?limit=0 HTTP/1.1', 400],
  ['a limit past the largest', 'GET /v1/history?limit=501 HTTP/1.1', 400],
  ['a limit that is no number', 'GET /v1/history?limit=1e9999 HTTP/1.1', 400],
  ['a channel that is a path', 'POST /v1/update?channel=../x HTTP/1.1', 400],
  ['a body', 'POST /v1/update HTTP/1.1\r\nContent-Length: 4', 413],
  ['an endless body', 'POST /v1/update HTTP/1.1\r\nTransfer-Encoding: chunked', 413],
  ['headers past the limit', `GET /v1/status HTTP/1.1\r\nX: ${'x'.repeat(20_000)}`, 431],
])('%s is refused with its status', async (_, head, expected) => {
  await daemon()
  const answer = await raw(`${head}\r\nHost: daemon\r\n\r\n`)
  expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${expected} `))
  if (expected !== 431) expect(JSON.parse(answer.split('\r\n\r\n')[1]!).error.code).toBe('daemon_refused')
})

test('a client that sends its request byte by byte is cut off', async () => {
  await daemon({}, { connections: 8, requestTimeoutMs: 100, headerBytes: 8192 })
  expect(await raw('GET /v1/status HTTP/1.1\r\n')).toMatch(/^HTTP\/1.1 408 |^$/)
})

test('clients past the cap are dropped, and the first come are served', async () => {
  await daemon({}, { connections: 2, requestTimeoutMs: 5000, headerBytes: 8192 })
  const held = await Promise.all(
    [1, 2].map(
      () =>
        new Promise<Socket>(resolve => {
          const socket = connect(path, () => resolve(socket))
        }),
    ),
  )
  await expect(controlClient(path).status()).rejects.toMatchObject({ code: 'daemon_unreachable' })
  const [first] = held
  const answered = new Promise<string>(resolve => first!.once('data', chunk => resolve(String(chunk))))
  first!.write('GET /v1/status HTTP/1.1\r\nHost: daemon\r\n\r\n')
  expect(await answered).toMatch(/^HTTP\/1.1 200 /)
  for (const socket of held) socket.destroy()
})

test('a client that goes away ends its waiting, and the daemon lives on', async () => {
  let ended!: () => void
  const waitEnded = new Promise<void>(resolve => {
    ended = resolve
  })
  await daemon({
    update: (_, signal) =>
      new Promise((_, reject) =>
        signal.addEventListener('abort', () => {
          ended()
          reject(signal.reason)
        }),
      ),
  })
  const impatient = new AbortController()
  const waiting = controlClient(path).update('clamav', impatient.signal)
  setTimeout(() => impatient.abort(new Error('enough')), 50)
  await expect(waiting).rejects.toThrow('enough')
  await waitEnded
  expect(await controlClient(path).status()).toEqual(status)
})

test('a daemon that stops hangs up on who waits', async () => {
  const server = await daemon({ update: () => new Promise(() => {}) })
  const waiting = controlClient(path).update(undefined)
  setTimeout(() => void server.stop(), 50)
  await expect(waiting).rejects.toMatchObject({ code: 'daemon_unreachable' })
})

test('a channel that the node does not have: the sentence of the daemon reaches the user', async () => {
  await daemon({
    update: async () => {
      throw new ControlError('daemon_refused', 'this node has no channel yara')
    },
  })
  await expect(controlClient(path).update('yara')).rejects.toMatchObject({
    code: 'daemon_refused',
    message: 'this node has no channel yara',
  })
})

test('a fault in the daemon is an answer without a stack, not a crash', async () => {
  await daemon({
    status: () => {
      throw new TypeError('x is undefined')
    },
  })
  const answer = await raw('GET /v1/status HTTP/1.1\r\nHost: daemon\r\n\r\n')
  expect(answer).toMatch(/^HTTP\/1.1 500 /)
  expect(answer).toContain('x is undefined')
  expect(answer).not.toContain('control-server')
})

async function impostor(listener: RequestListener) {
  const server = createServer(listener)
  await new Promise<void>(resolve => server.listen(path, resolve))
  started.push({
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  })
}

test.each<[string, RequestListener]>([
  ['no JSON', (_, response) => response.end('<html>')],
  ['JSON of another shape', (_, response) => response.end('{"version":1}')],
  ['more bytes than the limit', (_, response) => response.end(Buffer.alloc(controlAnswerLimitBytes + 1, 0x20))],
  ['an error of another shape', (_, response) => response.writeHead(500).end('"no"')],
])('an answer of %s is refused, not printed', async (_, listener) => {
  await impostor(listener)
  await expect(controlClient(path).status()).rejects.toMatchObject({ code: 'daemon_refused' })
})

test('an answer that is cut off is a daemon that went away', async () => {
  await impostor((_, response) => {
    response.writeHead(200, { 'content-length': 1000 })
    response.write('{"version"')
    setTimeout(() => response.destroy(), 20)
  })
  await expect(controlClient(path).status()).rejects.toMatchObject({ code: 'daemon_unreachable' })
})

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
