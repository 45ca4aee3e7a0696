import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { KiB, MiB } from '../../src/core/units.ts'
import { openOrigin, rawRequest } from '../support/origin-fixture.ts'

/** Say this on a connection of its own. @returns All that comes back until the origin closes it. */
function say(port: number, ...parts: (string | Buffer)[]): Promise<string> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    let heard = ''
    socket.on('data', part => {
      heard += part.toString('latin1')
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(heard))
    for (const part of parts) socket.write(part)
  })
}

function open(port: number): Socket {
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  onTestFinished(() => void socket.destroy())
  return socket
}

const closed = (socket: Socket) => new Promise<void>(resolve => void socket.once('close', () => resolve()))

test('unknown paths and methods give away nothing', async () => {
  const { origin, repository } = await openOrigin()
  const { path } = await repository.publish(1, 20 * KiB)
  const requests: [string, string][] = [
    ['GET', '/'],
    ['GET', '/v1'],
    ['GET', '/v1/seats'],
    ['GET', '/v1/reports'],
    ['GET', '/index.html'],
    ['GET', '/.git/config'],
    ['POST', '/v1/health'],
    ['POST', '/metadata/1.root.json'],
    ['PUT', path],
    ['DELETE', path],
    ['PATCH', '/v1/reports'],
    ['OPTIONS', '/v1/seats'],
    ['TRACE', '/v1/seats'],
    ['PROPFIND', '/'],
  ]
  for (const [method, where] of requests) {
    const { status, body, headers } = await rawRequest(origin.port, where, { method })
    expect.soft([method, where, status, body.toString()]).toEqual([method, where, 404, ''])
    expect.soft([headers.server, headers['x-powered-by'], headers.allow]).toEqual([undefined, undefined, undefined])
  }
})

test('a body for an unknown path is not looked at: 404 as without, whatever it is', async () => {
  const { origin } = await openOrigin()
  const json = { 'content-type': 'application/json' }
  const sent: [string, string, Record<string, string>, string | Buffer][] = [
    ['POST', '/', json, '{'],
    ['POST', '/v1/nothing', json, '{"__proto__":{"x":1}}'],
    ['POST', '/v1/nothing', { ...json, 'content-digest': 'sha-256=:AAAA=:' }, '{}'],
    ['POST', '/v1/health', json, Buffer.alloc(100 * KiB, 0x20)],
    ['POST', '/v1/health', { 'content-type': 'text/plain' }, 'x'],
    ['PUT', '/v1/seats', { ...json, 'content-encoding': 'gzip' }, 'x'],
    ['QUERY', '/v1/seats', { 'content-length': '0' }, ''],
  ]
  for (const [method, where, headers, body] of sent) {
    const answer = await rawRequest(origin.port, where, { method, headers, body })
    expect.soft([method, where, answer.status, answer.body.toString()]).toEqual([method, where, 404, ''])
  }
})

test('no protocol but HTTP/1.1 is spoken, and no tunnel opened', async () => {
  const { origin } = await openOrigin()
  expect(await say(origin.port, 'CONNECT internal:80 HTTP/1.1\r\nHost: internal:80\r\n\r\n')).toBe('')
  expect(await say(origin.port, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /)
  const settings = 'HTTP2-Settings: AAMAAABkAAQAAP__\r\n'
  for (const upgrade of [
    `Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n${settings}`,
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n',
  ]) {
    const socket = open(origin.port)
    socket.end(`GET / HTTP/1.1\r\nHost: a\r\n${upgrade}\r\n`)
    const heard = (await socket.toArray()).join('')
    expect(heard).toMatch(/^HTTP\/1.1 404 /)
    expect(heard).not.toContain(' 101 ')
  }
})

test('bodies: too large, no JSON, poisoned, compressed, of another length: refused with a code and nothing else', async () => {
  const { origin } = await openOrigin()
  const json = { 'content-type': 'application/json' }
  const post = (body: string | Buffer, headers: Record<string, string> = json) =>
    rawRequest(origin.port, '/v1/seats', { method: 'POST', headers, body })
  const answers = [
    await post(Buffer.alloc(65 * KiB, 0x20)),
    await post('{'),
    await post('{"__proto__":{"x":1}}'),
    await post('x', { 'content-type': 'text/plain' }),
    await post('x=1', { 'content-type': 'application/x-www-form-urlencoded' }),
    await post(Buffer.from('1f8b08', 'hex'), { ...json, 'content-encoding': 'gzip' }),
  ]
  expect(answers.map(({ status, body }) => [status, body.toString()])).toEqual([
    [413, '{"error":{"code":"too_large"}}'],
    [400, '{"error":{"code":"bad_request"}}'],
    [400, '{"error":{"code":"bad_request"}}'],
    [415, '{"error":{"code":"not_json"}}'],
    [415, '{"error":{"code":"not_json"}}'],
    [400, '{"error":{"code":"bad_request"}}'],
  ])
})

test('malformed HTTP: 400, empty, closed', async () => {
  const { origin } = await openOrigin()
  const garbage: (string | Buffer)[] = [
    'GET\r\n\r\n',
    'hello\r\n\r\n',
    Buffer.from('16030100f5010000f1', 'hex'),
    `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20 * KiB)}\r\n\r\n`,
    'POST /v1/seats HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'POST /v1/seats HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a\r\nHost : b\r\n\r\n',
    '\u0013BitTorrent protocol',
  ]
  for (const each of garbage) {
    const heard = await say(origin.port, each)
    expect.soft(heard).toMatch(/^(HTTP\/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n)?$/)
  }
  expect((await rawRequest(origin.port, '/v1/health')).status).toBe(503)
})

test('10,000 requests of garbage: still there, no memory lost', async () => {
  const { origin, repository, get } = await openOrigin()
  await repository.publish(1, 20 * KiB)
  let state = 7
  const random = (below: number) => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
  const word = () => Array.from({ length: 1 + random(30) }, () => String.fromCharCode(33 + random(94))).join('')
  const kinds = [
    () => `GET /${encodeURI(word())} HTTP/1.1\r\nHost: a\r\n\r\n`,
    () => `GET /announce/${encodeURIComponent(word())}?info_hash=${word()} HTTP/1.1\r\nHost: a\r\n\r\n`,
    () => `GET /targets/clamav/${encodeURIComponent(word())} HTTP/1.1\r\nHost: a\r\nRange: ${word()}\r\n\r\n`,
    () => {
      const body = JSON.stringify({ node: word(), site: word(), want: true, seat: word() })
      return `POST /v1/seats HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
    },
  ]
  const hundredth = () =>
    say(origin.port, ...Array.from({ length: 99 }, () => kinds[random(4)]!()), `${word()}\r\n\r\n`)
  for (let round = 0; round < 20; round++) await hundredth()
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  for (let round = 0; round < 80; round++) await hundredth()
  expect(process.memoryUsage().rss - before).toBeLessThan(100 * MiB)
  expect((await get('/v1/health')).status).toBe(200)
  expect(origin.stats()).toMatchObject({ artifactBytes: 0, deals: [], tracker: { swarms: 0, peers: 0 } })
})

describe('limits', () => {
  test('an address asks too often: 429 with the time to wait, on unknown paths too', async () => {
    const { get, post } = await openOrigin({ config: { limits: { requests_per_minute_per_address: 10 } } })
    for (let time = 0; time < 9; time++) expect((await get('/v1/health')).status).toBe(503)
    expect((await get('/nowhere')).status).toBe(404)
    for (const answer of [await get('/v1/health'), await get('/nowhere'), await post('/v1/seats', {})]) {
      expect([answer.status, answer.body.toString()]).toEqual([429, '{"error":{"code":"too_many_requests"}}'])
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0)
      expect(answer.headers['x-ratelimit-limit']).toBeUndefined()
    }
  })

  test('an address opens too many connections: those beyond the limit are closed, and room is made when others close', async () => {
    const { origin } = await openOrigin({ config: { limits: { connections_per_address: 5 } } })
    const sockets = Array.from({ length: 5 }, () => open(origin.port))
    await Promise.all(sockets.map(socket => new Promise(resolve => socket.once('connect', resolve))))
    await closed(open(origin.port))
    const gone = closed(sockets[0]!)
    sockets[0]!.destroy()
    await gone
    await expect
      .poll(() =>
        rawRequest(origin.port, '/v1/health').then(
          ({ status }) => status,
          () => 0,
        ),
      )
      .toBe(503)
  })

  test('a connection that says nothing, or reads nothing, is closed', async () => {
    const { origin, repository } = await openOrigin({ config: { payloads: 'open', limits: { idle_timeout_ms: 1000 } } })
    const { path } = await repository.publish(1, 20 * MiB)
    const silent = open(origin.port)
    const deaf = open(origin.port)
    deaf.pause()
    deaf.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await closed(silent)
    await expect.poll(() => origin.stats().artifactBytes, { timeout: 5000 }).toBeGreaterThan(0)
    await delay(2000)
    deaf.resume()
    let bytes = 0
    deaf.on('data', part => {
      bytes += part.length
    })
    await closed(deaf)
    expect(bytes).toBeLessThan(20 * MiB)
  })
})

describe('/v1/stats', () => {
  test('is for this machine, and not for who comes through a proxy on it', async () => {
    const { get } = await openOrigin()
    expect(JSON.parse((await get('/v1/stats')).body.toString())).toMatchObject({
      artifactBytes: 0,
      egress: [],
      deals: [],
    })
    for (const header of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip']) {
      expect((await get('/v1/stats', { [header]: '203.0.113.7' })).status).toBe(404)
    }
  })

  test('is not for who comes through a proxy that says nothing of it, nor for a page whose name means this address', async () => {
    const { get, origin } = await openOrigin()
    for (const host of ['sigmesh.example.com', 'localhost.example.com:8400', '127.0.0.1.example.com'])
      expect((await get('/v1/stats', { host })).status).toBe(404)
    for (const host of ['localhost', `127.0.0.1:${origin.port}`, '[::1]:8400'])
      expect((await get('/v1/stats', { host })).status).toBe(200)
  })
})

describe('stop', () => {
  test('a transfer under way may end', async () => {
    const { origin, repository, get } = await openOrigin({ config: { payloads: 'open' } })
    const { path, content } = await repository.publish(1, 20 * MiB)
    const transfer = get(path)
    await expect.poll(() => origin.stats().artifactBytes).toBeGreaterThan(0)
    await origin.stop()
    expect((await transfer).body.equals(content)).toBe(true)
  })

  test('one that never ends is cut off in time; the port and the state directory are free again', async () => {
    const first = await openOrigin({ config: { payloads: 'open', limits: { stop_timeout_ms: 300 } } })
    const { path } = await first.repository.publish(1, 20 * MiB)
    const deaf = open(first.origin.port)
    deaf.pause()
    deaf.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await expect.poll(() => first.origin.stats().artifactBytes).toBeGreaterThan(0)
    await first.origin.stop()
    await first.origin.stop()
    const listen = { address: '127.0.0.1', port: first.origin.port }
    const second = await openOrigin({ home: first.home, repository: first.repository, config: { listen } })
    expect((await second.get('/v1/health')).status).toBe(200)
  })

  test('two origins on one state directory: the second does not start', async () => {
    const { home } = await openOrigin()
    await expect(openOrigin({ home })).rejects.toMatchObject({ code: 'state_busy' })
  })

  test('the port is taken: it does not start, and leaves nothing locked', async () => {
    const { origin } = await openOrigin()
    const { home } = await openOrigin().then(async fixture => {
      await fixture.origin.stop()
      return fixture
    })
    const taken = { listen: { address: '127.0.0.1', port: origin.port } }
    await expect(openOrigin({ home, config: taken })).rejects.toMatchObject({ code: 'EADDRINUSE' })
    await expect(openOrigin({ home })).resolves.toBeDefined()
  })
})
