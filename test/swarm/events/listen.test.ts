/** A node's ear at the origin, against origins that go away, turn it away, or say nonsense. */
import type { Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../../src/core/log.ts'
import { minute, second } from '../../../src/core/units.ts'
import { listenToOrigin } from '../../../src/swarm/events/listen.ts'
import type { OriginNews } from '../../../src/swarm/events/protocol.ts'
import { OriginClient } from '../../../src/swarm/origin-client.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { RawHttpServer, reply } from '../../support/raw-http-server.ts'

/** An ear, and an origin that answers each request by the next of these; the last one serves for all that follow. */
async function ear(...answers: ((socket: Socket) => void)[]) {
  const server = await RawHttpServer.start(socket => (answers.length > 1 ? answers.shift()! : answers[0]!)(socket))
  const client = new OriginClient(server.url, { idleTimeoutMs: second })
  const clock = new ManualClock()
  const heard: OriginNews[] = []
  const listening = listenToOrigin({
    client,
    request: () => ({ node: 'pc-7', site: 'berlin', lan: '10.0.0.7' }),
    onNews: news => heard.push(news),
    clock,
    random: () => 0.5,
    log: silentLog,
  })
  onTestFinished(async () => {
    await listening.stop()
    await client.stop()
    await server.stop()
  })
  return { server, clock, heard, listening }
}

const streamHead = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n'
const tell = (snapshot: number) => `event: news\ndata: {"timestamp":1,"snapshot":${snapshot},"later":true}\n\n`
const stream = (text: string) => (socket: Socket) => void socket.write(streamHead + text)

test('news is heard as it comes, and who listens is said', async () => {
  const { server, heard, listening } = await ear(stream(tell(1)))
  await expect.poll(() => heard).toEqual([{ timestamp: 1, snapshot: 1, generation: 0 }])
  expect(listening.view()).toEqual({ state: 'listening', lastError: null })
  expect(server.requests.map(({ path, body }) => [path, JSON.parse(body)])).toEqual([
    ['/v1/events', { node: 'pc-7', site: 'berlin', lan: '10.0.0.7' }],
  ])
  for (const socket of server.sockets) socket.write(`: alive\n\n${tell(2)}`)
  await expect.poll(() => heard.at(-1)).toEqual({ timestamp: 1, snapshot: 2, generation: 0 })
})

test('a stream that is cut is opened again after a pause, and an origin that is away is asked ever more rarely', async () => {
  const cut = (socket: Socket) => void socket.end(streamHead + tell(1))
  const { server, clock, heard, listening } = await ear(cut, socket => socket.destroy())
  await expect.poll(() => clock.nextWakeMs()).toBe(375)
  expect(heard).toHaveLength(1)
  const pauses: number[] = []
  for (let time = 0; time < 12; time++) {
    const pause = clock.nextWakeMs()!
    await clock.advance(pause)
    await expect.poll(() => clock.nextWakeMs() ?? 0).toBeGreaterThan(0)
    pauses.push(clock.nextWakeMs()!)
  }
  expect(pauses.slice(0, 3)).toEqual([750, 1500, 3000])
  expect(pauses.at(-1)).toBe(1.5 * minute)
  expect(listening.view()).toMatchObject({ state: 'waiting', lastError: { code: 'origin_unreachable' } })
  expect(server.requests).toHaveLength(13)
})

test('where others listen it stays away as long as the origin says, then asks again', async () => {
  const full = (socket: Socket) =>
    reply(socket, 503, '{"error":{"code":"streams_full"}}', {
      'retry-after': '300',
      'content-type': 'application/json',
    })
  const { server, clock, heard, listening } = await ear(full, stream(tell(4)))
  await expect.poll(() => clock.nextWakeMs()).toBe(300 * second)
  expect(listening.view().state).toBe('spared')
  await clock.advance(299 * second)
  expect(server.requests).toHaveLength(1)
  await clock.advance(second)
  await expect.poll(() => heard).toHaveLength(1)
})

test.each<[string, (socket: Socket) => void, string]>([
  ['no stream', socket => reply(socket, 200, '{}', { 'content-type': 'application/json' }), 'origin_malformed'],
  ['news that is none', stream('event: news\ndata: {"snapshot":-1}\n\n'), 'origin_malformed'],
  ['an event without an end', stream(`data: ${'x'.repeat(10_000)}`), 'origin_malformed'],
  ['silence', stream(''), 'origin_idle'],
  ['a refusal', socket => reply(socket, 403, '{"error":{"code":"identity_revoked"}}'), 'identity_revoked'],
  ['overload without a time to wait', socket => reply(socket, 503), 'origin_status'],
])('the origin answers with %s: told, and tried again later', async (_, answer, code) => {
  const { clock, heard, listening } = await ear(answer)
  await expect.poll(() => listening.view()).toMatchObject({ state: 'waiting', lastError: { code } })
  expect(clock.nextWakeMs()).toBe(375)
  expect(heard).toEqual([])
})
