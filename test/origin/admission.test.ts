/** Who asks, and what it gets: an origin with `join = "required"`, against strangers, thieves and nodes that claim to be others. */
import { randomBytes } from 'node:crypto'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import { pieceCount } from '../../src/core/artifact.ts'
import { Bitfield } from '../../src/core/bitfield.ts'
import { KiB, MiB, minute, second } from '../../src/core/units.ts'
import { contentDigest } from '../../src/swarm/identity/message-signature.ts'
import { RequestSigner } from '../../src/swarm/identity/request-signer.ts'
import { signingKey } from '../../src/swarm/identity/signing-key.ts'
import type { SeatAnswer } from '../../src/swarm/seats/protocol.ts'
import { asking, type EnrolledNode, enrol, refusalIn, registryOf } from '../support/enrolled.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { type OriginFixture, openOrigin, type RawAnswer, rawRequest } from '../support/origin-fixture.ts'
import type { PublishedArtifact } from '../support/repository-fixture.ts'

const closed = { join: 'required' }

async function openClosed(more: Parameters<typeof openOrigin>[0] = {}) {
  const fixture = await openOrigin({ ...more, config: { ...closed, ...more.config } })
  const published = await fixture.repository.publish(1, 300 * KiB)
  return { fixture, published }
}

function seatBody({ artifact }: PublishedArtifact, node: string, more: object = {}) {
  const have = new Bitfield(pieceCount(artifact)).toString()
  return { node, site: 'berlin', artifact: artifact.sha256, have, want: true, ...more }
}

function report(node: string, site = 'berlin') {
  const bytes = { wan: 0, lanIn: 0, lanOut: 0, wasted: 0 }
  return { node, site, channel: 'clamav', outcome: 'current', sequence: 1, at: '2026-11-22T12:00:00Z', bytes }
}

function announcePath(infohash: string, place: string): string {
  const hash = infohash.replace(/../g, '%$&')
  return `/announce/${place}?info_hash=${hash}&peer_id=${'x'.repeat(20)}&port=5000&left=0&compact=1`
}

/** Every request that is not for everybody. */
const requests: [string, (node: EnrolledNode, published: PublishedArtifact, name: string) => Promise<RawAnswer>][] = [
  ['a seat', (node, published, name) => node.post('/v1/seats', seatBody(published, name))],
  ['a report', (node, _, name) => node.post('/v1/reports', report(name))],
  ['the tracker', (node, { artifact }) => node.get(announcePath(artifact.infohash, 'berlin'))],
  ['an artifact', (node, { path }) => node.get(path)],
  ['an artifact that is not there', node => node.get('/targets/clamav/nothing')],
  ['an announce URL', (node, { artifact }) => node.post('/v1/announce-url', { artifact: artifact.sha256 })],
]

/** Nothing was given, nothing was kept. */
function expectNothingGiven({ origin }: OriginFixture) {
  expect(origin.stats()).toMatchObject({ artifactBytes: 0, deals: [], tracker: { swarms: 0, peers: 0 } })
  expect(origin.reports()).toEqual([])
}

/** As a stranger asks: without a word about who it is, or with what he has made up. */
function stranger(
  { origin }: OriginFixture,
  sign: (headers: Record<string, string>) => Record<string, string> = h => h,
): EnrolledNode {
  const key = signingKey(randomBytes(32))
  const send = (path: string, options: Parameters<typeof rawRequest>[2] = {}) =>
    rawRequest(origin.port, path, { ...options, headers: sign(options.headers ?? {}) })
  return {
    name: 'stranger',
    key,
    signer: new RequestSigner(new URL(origin.url), key),
    get: (path, headers = {}) => send(path, { headers }),
    post: (path, body) =>
      send(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  }
}

describe.each(requests)('%s', (_, ask) => {
  test('for who has not joined, whatever he makes up: 401 with a code, and nothing is given', async () => {
    const { fixture, published } = await openClosed()
    const key = signingKey(randomBytes(32))
    const own = new RequestSigner(new URL(fixture.origin.url), key)
    const signature = { signature: `node=:${'A'.repeat(86)}==:` }
    const strangers: [EnrolledNode, string][] = [
      [stranger(fixture), 'identity_required'],
      [stranger(fixture, headers => ({ ...headers, ...signature })), 'identity_required'],
      [
        stranger(fixture, headers => ({ ...headers, ...signature, 'signature-input': 'x'.repeat(5000) })),
        'identity_refused',
      ],
      [{ ...stranger(fixture), ...asking(fixture.origin.port, own) }, 'identity_refused'],
    ]
    for (const [who, code] of strangers) {
      expect.soft(refusalIn(await ask(who, published, 'pc-7'))).toEqual([401, code])
    }
    expectNothingGiven(fixture)
  })

  test('for a node, and after it was revoked: 403, at once', async () => {
    const { fixture, published } = await openClosed()
    const node = enrol(fixture, 'pc-7')
    expect((await ask(node, published, 'pc-7')).status).not.toBe(401)
    registryOf(fixture).revoke('pc-7', Date.now())
    expect(refusalIn(await ask(node, published, 'pc-7'))).toEqual([403, 'identity_revoked'])
  })
})

test('a stranger asks too often: it is the rate limit that answers, before any signature is looked at', async () => {
  const { fixture, published } = await openClosed({ config: { limits: { requests_per_minute_per_address: 10 } } })
  const statuses: number[] = []
  for (let time = 0; time < 12; time++)
    statuses.push((await fixture.post('/v1/seats', seatBody(published, 'pc-7'))).status)
  expect(statuses).toEqual([...Array(10).fill(401), 429, 429])
})

test('metadata and torrents are for everybody', async () => {
  const { fixture, published } = await openClosed()
  expect((await fixture.get('/metadata/timestamp.json')).status).toBe(200)
  expect((await fixture.get(`/torrents/${published.artifact.sha256}.torrent`)).status).toBe(200)
})

describe('a request that was overheard', () => {
  async function overheard() {
    const { fixture, published } = await openClosed()
    const node = enrol(fixture, 'pc-7')
    const body = JSON.stringify(seatBody(published, 'pc-7'))
    const request = { method: 'POST', path: '/v1/seats', headers: { 'content-type': 'application/json' }, body }
    const signed = { ...request, headers: node.signer.sign(request) }
    return {
      fixture,
      published,
      signed,
      send: (more: object = {}) => rawRequest(fixture.origin.port, '/v1/seats', { ...signed, ...more }),
    }
  }

  test('is sent again: 401 replayed', async () => {
    const { send } = await overheard()
    expect((await send()).status).toBe(200)
    expect(refusalIn(await send())).toEqual([401, 'replayed'])
  })

  test('arrives for the first time with another body, another length of it, or none: 401, and nothing is given', async () => {
    const { fixture, published, send } = await overheard()
    const answers = [await send({ body: JSON.stringify(seatBody(published, 'pc-7', { want: false })) })]
    expect(answers.map(refusalIn)).toEqual([[401, 'identity_refused']])
    const second = await overheard()
    const headers = { ...second.signed.headers, 'content-digest': contentDigest('{}') }
    expect(refusalIn(await second.send({ headers, body: '{}' }))).toEqual([401, 'identity_refused'])
    expectNothingGiven(fixture)
    expectNothingGiven(second.fixture)
  })

  test.each(['range', 'x-sigmesh-seat'])(
    'gets a header on its way that the origin would act on, %s: 401',
    async name => {
      const { fixture, published } = await openClosed()
      const asked = { method: 'GET', path: published.path }
      const headers = { ...enrol(fixture, 'pc-7').signer.sign(asked), [name]: 'bytes=0-9' }
      expect(refusalIn(await rawRequest(fixture.origin.port, published.path, { headers }))).toEqual([
        401,
        'identity_refused',
      ])
      expectNothingGiven(fixture)
    },
  )

  test('is sent to another path: 401', async () => {
    const { fixture, signed } = await overheard()
    expect(refusalIn(await rawRequest(fixture.origin.port, '/v1/reports', signed))).toEqual([401, 'identity_refused'])
  })

  test('is sent again to an origin that was restarted meanwhile: 401', async () => {
    const clock = new ManualClock()
    const first = await openClosed({ clock })
    const node = enrol(first.fixture, 'pc-7', 'berlin', () => clock.now())
    const request = { method: 'GET', path: '/targets/clamav/nothing' }
    const signed = { ...request, headers: node.signer.sign(request) }
    expect((await rawRequest(first.fixture.origin.port, signed.path, signed)).status).toBe(404)
    await first.fixture.origin.stop()
    await clock.advance(2 * second)
    const listen = { address: '127.0.0.1', port: first.fixture.origin.port }
    const { home, repository } = first.fixture
    const again = await openOrigin({ home, repository, clock, config: { ...closed, listen } })
    expect(refusalIn(await rawRequest(again.origin.port, signed.path, signed))).toEqual([401, 'replayed'])
  })
})

test('a clock is wrong by more than five minutes, to either side: 401 with a code that says so', async () => {
  const clock = new ManualClock()
  const { fixture } = await openClosed({ clock })
  for (const [offset, expected] of [
    [-5 * minute - second, [401, 'clock_skew']],
    [5 * minute + second, [401, 'clock_skew']],
    [5 * minute, [404, '']],
  ] as const) {
    const node = enrol(fixture, `pc${offset}`.replace('-', 'b'), 'berlin', () => clock.now() + offset)
    expect.soft(refusalIn(await node.get('/targets/clamav/nothing'))).toEqual(expected)
  }
})

describe('a node that claims to be another', () => {
  test('by name or by site, for a seat, a report or the tracker: 403, and nothing is given', async () => {
    const { fixture, published } = await openClosed()
    const node = enrol(fixture, 'pc-7')
    enrol(fixture, 'pc-8')
    const answers = [
      await node.post('/v1/seats', seatBody(published, 'pc-8')),
      await node.post('/v1/seats', seatBody(published, 'pc-7', { site: 'tokyo' })),
      await node.post('/v1/reports', report('pc-8')),
      await node.post('/v1/reports', report('pc-7', 'tokyo')),
      await node.get(announcePath(published.artifact.infohash, 'tokyo')),
    ]
    expect(answers.map(refusalIn)).toEqual(answers.map(() => [403, 'other_node']))
    expectNothingGiven(fixture)
  })

  test("by another node's seat: 403, no byte, and the seat's own draw is not used up", async () => {
    const { fixture, published } = await openClosed()
    const [owner, thief] = [enrol(fixture, 'pc-7'), enrol(fixture, 'pc-8')]
    const { seat } = JSON.parse(
      (await owner.post('/v1/seats', seatBody(published, 'pc-7'))).body.toString(),
    ) as SeatAnswer
    const range = { 'x-sigmesh-seat': seat!, range: 'bytes=0-999' }
    for (let time = 0; time < 5; time++)
      expect(refusalIn(await thief.get(published.path, range))).toEqual([403, 'seat_required'])
    expect(fixture.origin.stats().artifactBytes).toBe(0)
    expect((await owner.get(published.path, range)).status).toBe(206)
  })
})

test('revoked in mid-transfer: it breaks off, lease and tracker entry are gone, another node gets the seat', async () => {
  const clock = new ManualClock()
  const fixture = await openOrigin({ clock, config: { ...closed, seats_per_site: 1, lease_ms: 600_000 } })
  const published = await fixture.repository.publish(1, 96 * MiB)
  await clock.advance(second)
  const now = () => clock.now()
  const [node, other] = [enrol(fixture, 'pc-7', 'berlin', now), enrol(fixture, 'pc-8', 'berlin', now)]
  const has = new Bitfield(pieceCount(published.artifact))
  const ask = async (who: EnrolledNode, have = has) => {
    const { status, body } = await who.post('/v1/seats', seatBody(published, who.name, { have: have.toString() }))
    expect(status).toBe(200)
    return JSON.parse(body.toString()) as SeatAnswer
  }
  // A run that is longer than what the sockets hold.
  let answer = await ask(node)
  while (answer.pieces.length < 1500) {
    for (const piece of answer.pieces) has.set(piece)
    await clock.advance(10)
    answer = await ask(node)
  }
  expect((await ask(other, new Bitfield(pieceCount(published.artifact)))).seat).toBeNull()
  await node.get(announcePath(published.artifact.infohash, 'berlin'))
  expect(fixture.origin.stats().tracker.peers).toBe(1)

  const range = `bytes=${answer.pieces[0]! * 16 * KiB}-${(answer.pieces.at(-1)! + 1) * 16 * KiB - 1}`
  const path = published.path
  const headers = node.signer.sign({ method: 'GET', path, headers: { range, 'x-sigmesh-seat': answer.seat! } })
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ host: '127.0.0.1', port: fixture.origin.port, path, headers }, resolve).on('error', reject).end()
  })
  expect(response.statusCode).toBe(206)
  registryOf(fixture).revoke('pc-7', now())
  const reading = async () => {
    for await (const _ of response);
  }
  await expect(reading()).rejects.toMatchObject({ code: 'ECONNRESET' })
  expect(fixture.origin.stats().artifactBytes).toBeLessThan(answer.pieces.length * 16 * KiB)

  await clock.advance(second)
  expect(fixture.origin.stats().tracker.peers).toBe(0)
  expect((await ask(other)).seat).not.toBeNull()
})

test('the registry cannot be read for a while: who was revoked meanwhile loses what he has as soon as it can', async () => {
  const clock = new ManualClock()
  const { fixture, published } = await openClosed({ clock })
  await clock.advance(second)
  const node = enrol(fixture, 'pc-7', 'berlin', () => clock.now())
  await node.get(announcePath(published.artifact.infohash, 'berlin'))
  await node.post('/v1/seats', seatBody(published, 'pc-7'))
  const database = new DatabaseSync(join(fixture.home, 'state', 'nodes.sqlite'))
  database.exec('ALTER TABLE node RENAME TO away')
  await clock.advance(second)
  database.exec('ALTER TABLE away RENAME TO node')
  database.close()
  registryOf(fixture).revoke('pc-7', clock.now())
  expect(fixture.origin.stats().tracker.peers).toBe(1)
  await clock.advance(second)
  expect(fixture.origin.stats().tracker.peers).toBe(0)
  expect(refusalIn(await node.post('/v1/seats', seatBody(published, 'pc-7')))).toEqual([403, 'identity_revoked'])
})

describe('an announce key', () => {
  async function keyed(more: Parameters<typeof openOrigin>[0] = {}) {
    const { fixture, published } = await openClosed(more)
    if (more.clock instanceof ManualClock) await more.clock.advance(second)
    const now = more.clock ? () => more.clock!.now() : Date.now
    const node = enrol(fixture, 'pc-7', 'berlin', now)
    const { artifact } = published
    const answer = await node.post('/v1/announce-url', { artifact: artifact.sha256 })
    const place = (JSON.parse(answer.body.toString()) as { path: string }).path.replace('/announce/', '')
    return {
      fixture,
      published,
      node,
      place,
      announce: (infohash: string, at = place) => fixture.get(announcePath(infohash, at)),
    }
  }

  test('lets a client in that signs nothing, as a peer of the site of the node', async () => {
    const { fixture, published, node, announce } = await keyed()
    expect((await announce(published.artifact.infohash)).status).toBe(200)
    expect(fixture.origin.stats().tracker).toEqual({ swarms: 1, peers: 1 })
    const path = announcePath(published.artifact.infohash, 'berlin').replace('port=5000', 'port=5001')
    const seen = await node.get(path.replace('xxxxxxxxxxxxxxxxxxxx', 'y'.repeat(20)))
    expect(seen.body.includes(Buffer.from([127, 0, 0, 1, 5000 >> 8, 5000 & 255]))).toBe(true)
  })

  test('for another artifact, changed anywhere, or for two at once: 401, and nothing is kept', async () => {
    const { fixture, published, place, announce } = await keyed()
    const other = (await fixture.repository.publish(2, 20 * KiB)).artifact
    const wrong = [await announce(other.infohash)]
    for (const at of [0, 3, 10, 30, place.length - 5]) {
      const changed = place.slice(0, at) + (place[at] === 'b' ? 'c' : 'b') + place.slice(at + 1)
      wrong.push(await announce(published.artifact.infohash, changed))
    }
    const own = published.artifact.infohash.replace(/../g, '%$&')
    wrong.push(await fixture.get(`${announcePath(other.infohash, place)}&info_hash=${own}`))
    expect(wrong.map(refusalIn)).toEqual(wrong.map(() => [401, 'announce_key_refused']))
    // The name of the parameter in disguise: whatever each of the two readers makes of it, it is not let in.
    await fixture.get(
      `${announcePath(published.artifact.infohash, place)}&info%5Fhash=${other.infohash.replace(/../g, '%$&')}`,
    )
    await fixture.get(announcePath(other.infohash, place).replace('info_hash=', `info_hash=${own}&info%5Fhash=`))
    expect(fixture.origin.stats().tracker.swarms).toBeLessThanOrEqual(1)
  })

  test('a day later, or after its node was revoked: refused', async () => {
    const clock = new ManualClock()
    const { fixture, published, announce } = await keyed({ clock })
    await clock.advance(24 * 60 * minute - second)
    expect((await announce(published.artifact.infohash)).status).toBe(200)
    await clock.advance(second)
    expect(refusalIn(await announce(published.artifact.infohash))).toEqual([401, 'announce_key_expired'])
    const second_ = await keyed()
    registryOf(second_.fixture).revoke('pc-7', Date.now())
    expect(refusalIn(await second_.announce(second_.published.artifact.infohash))).toEqual([403, 'identity_revoked'])
    expect(fixture.origin.stats().artifactBytes).toBe(0)
  })
})

test('10,000 requests of strangers with good and bad signatures: nothing given, nothing kept', async () => {
  const { fixture, published } = await openClosed()
  const known = enrol(fixture, 'pc-7')
  const own = new RequestSigner(new URL(fixture.origin.url), signingKey(randomBytes(32)))
  const asked = { method: 'GET', path: published.path }
  const signature = `node=:${randomBytes(64).toString('base64')}:`
  const kinds = [own.sign(asked), { ...known.signer.sign(asked), signature }].map(headers => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    return `GET ${published.path} HTTP/1.1\r\nHost: ${new URL(fixture.origin.url).host}\r\n${lines.join('')}`
  })
  const hundredth = async () => {
    const socket = connect(fixture.origin.port, '127.0.0.1')
    for (let at = 0; at < 99; at++) socket.write(`${kinds[at % 2]}\r\n`)
    socket.write(`${kinds[0]}Connection: close\r\n\r\n`)
    let refused = 0
    for await (const part of socket) refused += part.toString().split('HTTP/1.1 401').length - 1
    return refused
  }
  for (let round = 0; round < 20; round++) expect(await hundredth()).toBe(100)
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  for (let round = 0; round < 80; round++) await hundredth()
  expect(process.memoryUsage().rss - before).toBeLessThan(100 * MiB)
  expectNothingGiven(fixture)
})
