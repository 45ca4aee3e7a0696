/** News as it happens: who hears of a publish, how many, and who no more. */
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { KiB } from '../../src/core/units.ts'
import { EventReader } from '../../src/swarm/events/event-reader.ts'
import { type EnrolledNode, enrol, refusalIn, registryOf } from '../support/enrolled.ts'
import { type OriginFixture, openOrigin } from '../support/origin-fixture.ts'
import { RepositoryOnDisk } from '../support/repository-fixture.ts'
import { scratchDir } from '../support/scratch.ts'

const closed = { config: { join: 'required' } }

interface Stream {
  readonly answer: IncomingMessage
  readonly news: { timestamp: number; snapshot: number }[]
  readonly ended: Promise<void>
  leave(): void
}

/** Open a stream as this node, and read it. @throws the refusal, as `[status, code]`. */
function listen(fixture: OriginFixture, node: EnrolledNode, site = 'berlin'): Promise<Stream> {
  const body = JSON.stringify({ node: node.name, site })
  const headers = { 'content-type': 'application/json' }
  const signed = node.signer.sign({ method: 'POST', path: '/v1/events', headers, body })
  return new Promise((resolve, reject) => {
    const sent: ClientRequest = request(
      {
        host: '127.0.0.1',
        port: fixture.origin.port,
        path: '/v1/events',
        method: 'POST',
        headers: signed,
        agent: false,
      },
      answer => {
        const parts: Buffer[] = []
        if (answer.statusCode !== 200) {
          answer.on('data', part => parts.push(part))
          answer.on('end', () =>
            reject({
              refusal: refusalIn({ status: answer.statusCode!, headers: {}, body: Buffer.concat(parts) }),
              answer,
            }),
          )
          return
        }
        const news: Stream['news'] = []
        const reader = new EventReader()
        answer.on('data', part => {
          for (const event of reader.push(part)) news.push(JSON.parse(event.data))
        })
        const ended = new Promise<void>(done => answer.once('close', done))
        answer.on('error', () => {})
        resolve({ answer, news, ended, leave: () => sent.destroy() })
      },
    )
    sent.on('error', reject)
    sent.end(body)
    onTestFinished(() => void sent.destroy())
  })
}

/** A sleep that only ends with the program. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
}

const listenersOf = ({ origin }: OriginFixture) => origin.stats().listeners.flatMap(({ nodes }) => nodes)

test('what is in force comes at once, and a publish as soon as the system tells of it: no timer has to run', async () => {
  const clock = { ...systemClock, sleep: (_: number, signal?: AbortSignal) => aborted(signal!) }
  const home = await scratchDir()
  const repository = new RepositoryOnDisk(join(home, 'repository'))
  await repository.publish(1, 300 * KiB)
  const fixture = await openOrigin({ ...closed, clock, home, repository })
  const { news, answer } = await listen(fixture, enrol(fixture, 'pc-7'))
  expect(answer.headers).toMatchObject({ 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  await expect.poll(() => news.length).toBe(1)
  await fixture.repository.publish(2, 300 * KiB)
  await expect.poll(() => news.at(-1)!.snapshot).toBeGreaterThan(news[0]!.snapshot)
})

test('where the system tells nothing, a look each second sees it', async () => {
  const fixture = await openOrigin(closed) // there is no repository yet, and so nothing to watch
  const { news } = await listen(fixture, enrol(fixture, 'pc-7'))
  await fixture.repository.publish(1, 300 * KiB)
  await expect.poll(() => news.length).toBe(1)
})

test('three of a site are listened to, the fourth is spared until one leaves; other sites have their own three', async () => {
  const fixture = await openOrigin(closed)
  const streams = []
  for (const name of ['a', 'b', 'c']) streams.push(await listen(fixture, enrol(fixture, name)))
  const fourth = enrol(fixture, 'd')
  await expect(listen(fixture, fourth)).rejects.toMatchObject({
    refusal: [503, 'streams_full'],
    answer: { headers: { 'retry-after': '300' } },
  })
  await listen(fixture, enrol(fixture, 'e', 'paris'), 'paris')
  streams[0]!.leave()
  await expect.poll(() => listenersOf(fixture)).toEqual(['b', 'c', 'e'])
  await listen(fixture, fourth)
  expect(listenersOf(fixture).sort()).toEqual(['b', 'c', 'd', 'e'])
})

test('of all sites together no more than the limit', async () => {
  const fixture = await openOrigin({ config: { ...closed.config, limits: { listeners: 2 } } })
  for (const site of ['berlin', 'paris']) await listen(fixture, enrol(fixture, site, site), site)
  await expect(listen(fixture, enrol(fixture, 'rome', 'rome'), 'rome')).rejects.toMatchObject({
    refusal: [503, 'streams_full'],
  })
})

test('a node that listens twice has one stream, the second', async () => {
  const fixture = await openOrigin(closed)
  const node = enrol(fixture, 'pc-7')
  const first = await listen(fixture, node)
  await listen(fixture, node)
  await first.ended
  expect(listenersOf(fixture)).toEqual(['pc-7'])
})

test('in the name of another node or site: 403; a stranger: 401', async () => {
  const fixture = await openOrigin(closed)
  const node = enrol(fixture, 'pc-7')
  await expect(listen(fixture, node, 'paris')).rejects.toMatchObject({ refusal: [403, 'other_node'] })
  await expect(listen(fixture, { ...node, name: 'pc-8' })).rejects.toMatchObject({ refusal: [403, 'other_node'] })
  expect(refusalIn(await fixture.post('/v1/events', { node: 'pc-7', site: 'berlin' }))).toEqual([
    401,
    'identity_required',
  ])
  expect(refusalIn(await node.post('/v1/events', { node: 'pc-7' }))).toEqual([400, 'bad_request'])
  expect(listenersOf(fixture)).toEqual([])
})

test('a revoked node hears nothing more: its stream ends', async () => {
  const fixture = await openOrigin(closed)
  const stream = await listen(fixture, enrol(fixture, 'pc-7'))
  registryOf(fixture).revoke('pc-7', Date.now())
  await stream.ended
  expect(listenersOf(fixture)).toEqual([])
})

test('an origin that stops does not wait for who listens', async () => {
  const fixture = await openOrigin({ config: { ...closed.config, limits: { stop_timeout_ms: 60_000 } } })
  const stream = await listen(fixture, enrol(fixture, 'pc-7'))
  await fixture.origin.stop()
  await stream.ended
})
