import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { describe, expect, onTestFinished, test } from 'vitest'
import { pieceCount } from '../../src/core/artifact.ts'
import { Bitfield } from '../../src/core/bitfield.ts'
import { KiB, MiB } from '../../src/core/units.ts'
import { SeatBook } from '../../src/origin/seat-book.ts'
import { defaultSeatRules } from '../../src/swarm/seats/rules.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { openOrigin } from '../support/origin-fixture.ts'
import { makeRelease } from '../support/trust-repository.ts'

const piece = 16 * KiB
/** Larger than what goes out whole in the first answer. */
const length = 128 * piece + 100

const header = (seat: string | null, first: number, last = first) => ({
  range: `bytes=${first * piece}-${Math.min(length, (last + 1) * piece) - 1}`,
  ...(seat === null ? {} : { 'x-sigmesh-seat': seat }),
})

describe('artifact bytes', () => {
  test('the pieces that were dealt are served, byte for byte; every other byte is refused and says when to try again', async () => {
    const { origin, repository, get, seat } = await openOrigin()
    const artifact = await repository.publish(1, length)
    const { seat: token, pieces } = await seat(artifact, 'a')
    const [first, last] = [pieces[0]!, pieces.at(-1)!]

    const answer = await get(artifact.path, header(token, first, last))
    expect(answer.status).toBe(206)
    expect(answer.body.equals(artifact.content.subarray(first * piece, (last + 1) * piece))).toBe(true)

    const refused: [string, Record<string, string>][] = [
      ['without a token', header(null, first)],
      ['a token of nobody', header('zzz.guessed', first)],
      ['an empty token', header('', first)],
      ['a token cut short', header(token!.slice(0, -1), first)],
      ['a piece that was not dealt', header(token, last + 1)],
      ['one byte too many', { ...header(token, first), range: `bytes=${first * piece}-${(last + 1) * piece}` }],
      ['the whole artifact', { 'x-sigmesh-seat': token! }],
    ]
    for (const [name, headers] of refused) {
      const { status, headers: said, body } = await get(artifact.path, headers)
      expect.soft([name, status, body.toString()]).toEqual([name, 403, '{"error":{"code":"seat_required"}}'])
      expect.soft(said['retry-after'], name).toBe('1')
    }
    expect(origin.stats().artifactBytes).toBe((last + 1 - first) * piece)
  })

  test('the token is for another artifact: refused', async () => {
    const { repository, get, seat } = await openOrigin()
    const first = await repository.publish(1, length)
    const { seat: token } = await seat(first, 'a')
    const second = await repository.publish(2, length)
    expect((await get(second.path, header(token, 0))).status).toBe(403)
  })

  test('the lease has lapsed: refused, and the pieces are dealt to the next', async () => {
    const clock = new ManualClock()
    const { repository, get, seat } = await openOrigin({ clock, config: { seats_per_site: 1 } })
    const artifact = await repository.publish(1, length)
    await clock.advance(1000)
    const a = await seat(artifact, 'a')
    await clock.advance(6000)
    expect((await get(artifact.path, header(a.seat, a.pieces[0]!))).status).toBe(403)
    expect((await seat(artifact, 'b')).pieces).toEqual(a.pieces)
  })

  test('a node fetches the same pieces for ever: it gets them twice, and a piece', async () => {
    const clock = new ManualClock()
    const { origin, repository, get, seat } = await openOrigin({ clock })
    const artifact = await repository.publish(1, length)
    await clock.advance(1000)
    const { seat: token, pieces } = await seat(artifact, 'a')
    for (let time = 0; time < 10; time++) await get(artifact.path, header(token, pieces[0]!, pieces.at(-1)!))
    for (let time = 0; time < 10; time++) await get(artifact.path, header(token, pieces[0]!))
    expect(origin.stats().artifactBytes).toBe((2 * pieces.length + 1) * piece)
  })

  /** A node that is fast, and so is dealt a long run: more than the kernel's buffers swallow before anybody reads. */
  async function longRun(node = 'a') {
    const clock = new ManualClock()
    const fixture = await openOrigin({ clock })
    const artifact = await fixture.repository.publish(1, 96 * MiB)
    await clock.advance(1000)
    const has: number[] = []
    let answer = await fixture.seat(artifact, node)
    while (answer.pieces.length < 1500) {
      has.push(...answer.pieces)
      await clock.advance(10)
      answer = await fixture.seat(artifact, node, has)
    }
    const [first, last] = [answer.pieces[0]!, answer.pieces.at(-1)!]
    expect(last - first + 1).toBe(answer.pieces.length)
    return { ...fixture, clock, artifact, run: answer.pieces.length, headers: rangeOf(answer.seat, first, last) }
  }
  const rangeOf = (seat: string | null, first: number, last: number) => ({
    range: `bytes=${first * piece}-${(last + 1) * piece - 1}`,
    'x-sigmesh-seat': seat!,
  })

  test('a lease lapses in mid-transfer: the transfer breaks off at the next piece', async () => {
    const { clock, origin, artifact, run, headers } = await longRun()
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ port: origin.port, path: artifact.path, headers }, resolve).on('error', reject).end()
    })
    expect(response.statusCode).toBe(206)
    await expect.poll(() => origin.stats().artifactBytes).toBeGreaterThan(0)
    await clock.advance(6000)
    let bytes = 0
    const reading = async () => {
      for await (const part of response) bytes += part.length
    }
    await expect(reading()).rejects.toMatchObject({ code: 'ECONNRESET' })
    expect(bytes % piece).toBe(0)
    expect(bytes).toBeLessThan(run * piece)
  })

  test('the client goes away in mid-transfer: what was not sent is not held against it', async () => {
    const { origin, artifact, headers } = await longRun()
    const beginAndGo = () =>
      new Promise<number>((resolve, reject) => {
        const sent = request({ port: origin.port, path: artifact.path, headers }, response => {
          response.on('error', () => {})
          response.once('close', () => resolve(response.statusCode!))
          response.destroy()
        })
        sent.on('error', reject).end()
      })
    // A few buffers are lost with each; whole runs would have used everything up at the second.
    for (let time = 0; time < 8; time++) await expect.poll(beginAndGo).toBe(206)
  })

  test('payloads = "open": anybody gets any byte, and holders of a lease are counted for their site', async () => {
    const { origin, repository, get, seat } = await openOrigin({ config: { payloads: 'open' } })
    const artifact = await repository.publish(1, length)
    const { seat: token, pieces } = await seat(artifact, 'a')
    expect((await get(artifact.path)).body.equals(artifact.content)).toBe(true)
    await get(artifact.path, header(token, pieces[0]!))
    const { sha256 } = artifact.artifact
    expect(origin.stats().egress).toEqual([
      { site: '', artifact: sha256, bytes: length },
      { site: 'berlin', artifact: sha256, bytes: piece },
    ])
  })
})

describe('POST /v1/seats', () => {
  test.each([
    ['an impatient origin says so', 30_000, ['connection', 'content-length', 'content-type', 'keep-alive']],
    ['else the head says nothing that its reader knows', 60_000, ['content-length', 'content-type']],
  ])('is answered thousands of times over thin lines: %s', async (_, idle_timeout_ms, names) => {
    const { origin, repository } = await openOrigin({ config: { limits: { idle_timeout_ms } } })
    const { artifact } = await repository.publish(1, length)
    const have = new Bitfield(pieceCount(artifact)).toString()
    const ask = { node: 'a', site: 's', artifact: artifact.sha256, have, want: true }
    const agent = new Agent({ keepAlive: true })
    onTestFinished(() => agent.destroy())
    const sockets = new Set<unknown>()
    for (let turn = 0; turn < 3; turn++) {
      const options = {
        agent,
        port: origin.port,
        path: '/v1/seats',
        method: 'POST',
        headers: { 'content-type': 'application/json' },
      }
      const sent = request(options).end(JSON.stringify(ask))
      const [answer]: [IncomingMessage] = (await once(sent, 'response')) as [IncomingMessage]
      sockets.add(answer.socket)
      expect(Object.keys(answer.headers).sort()).toEqual(names)
      expect(JSON.parse(Buffer.concat(await answer.toArray()).toString())).toMatchObject({ seat: expect.any(String) })
    }
    // And the connection stays.
    expect(sockets.size).toBe(1)
  })

  test('twelve nodes at once: five get seats; together with what they report, one copy', async () => {
    const { origin, repository, get, seat } = await openOrigin()
    const artifact = await repository.publish(1, length)
    const nodes = Array.from({ length: 12 }, (_, at) => ({ name: `n${at}`, has: new Set<number>(), seated: false }))
    const work = nodes.map(async node => {
      for (;;) {
        const answer = await seat(artifact, node.name, node.has)
        if (answer.siteHolds === 129) return
        node.seated ||= answer.seat !== null
        for (const index of answer.pieces.slice(0, 4)) {
          const { status } = await get(artifact.path, header(answer.seat, index))
          if (status === 206) node.has.add(index)
        }
      }
    })
    await Promise.all(work)
    expect(nodes.filter(({ seated }) => seated).length).toBe(5)
    expect(origin.stats().artifactBytes).toBe(length)
    expect(origin.stats().deals).toEqual([
      expect.objectContaining({ site: 'berlin', nodes: 12, seats: [], siteHolds: 129 }),
    ])
  })

  test('two sites do not share anything', async () => {
    const { repository, seat } = await openOrigin()
    const artifact = await repository.publish(1, length)
    const berlin = await seat(artifact, 'a')
    const tokyo = await seat(artifact, 'a', [], { site: 'tokyo' })
    expect(tokyo.pieces).toEqual(berlin.pieces)
    expect(tokyo.seat).not.toBe(berlin.seat)
  })

  test('what is no seat request: 400; an artifact that is not offered: 404; nothing is kept of it', async () => {
    const { origin, repository, post } = await openOrigin()
    const { artifact } = await repository.publish(1, length)
    const have = new Bitfield(129).toString()
    const good = { node: 'a', site: 'berlin', artifact: artifact.sha256, have, want: true }
    const bad: unknown[] = [
      '',
      '{',
      'null',
      '[]',
      '"text"',
      '{"__proto__":{"node":"a"}}',
      {},
      { ...good, node: '' },
      { ...good, node: '../x' },
      { ...good, site: 'a b' },
      { ...good, site: 'x'.repeat(65) },
      { ...good, artifact: artifact.sha256.toUpperCase() },
      { ...good, have: have.slice(4) },
      { ...good, have: `${have}AAAA` },
      { ...good, have: Buffer.alloc(17, 0xff).toString('base64') },
      { ...good, have: '!' },
      { ...good, want: 'true' },
      { ...good, lan: 'localhost' },
      { ...good, seat: 'x'.repeat(65) },
      { ...good, more: 1 },
    ]
    for (const body of bad) expect.soft((await post('/v1/seats', body)).status, JSON.stringify(body)).toBe(400)
    const unknown = await post('/v1/seats', { ...good, artifact: 'a'.repeat(64) })
    expect([unknown.status, unknown.body.toString()]).toEqual([404, '{"error":{"code":"unknown_artifact"}}'])
    expect(origin.stats().deals).toEqual([])
  })

  test('the origin restarts: what the site holds is asked before anything is dealt again', async () => {
    const clock = new ManualClock()
    const before = await openOrigin({ clock })
    const artifact = await before.repository.publish(1, length)
    await clock.advance(1000)
    const { seat: token } = await before.seat(artifact, 'a')
    await before.origin.stop()

    const after = await openOrigin({ clock, home: before.home, repository: before.repository })
    await clock.advance(1000)
    const all = Array.from({ length: 129 }, (_, at) => at)
    expect(await after.seat(artifact, 'a', [], { seat: token! })).toMatchObject({
      seat: null,
      pieces: [],
      nextMs: 2000,
    })
    await after.seat(artifact, 'b', all.slice(1))
    await clock.advance(2000)
    expect((await after.seat(artifact, 'a', [], { seat: token! })).pieces).toEqual([0])
  })
})

describe('the seat book', () => {
  const artifact = makeRelease('clamav', 1).full
  const ask = (site: string, node = 'a') => ({ node, site, artifact, have: new Bitfield(1), want: true })

  test('more deals than it may keep: the newcomers live off the LAN; silent ones make room', async () => {
    const clock = new ManualClock()
    const book = new SeatBook(defaultSeatRules, 2, clock)
    expect(book.ask(ask('a')).seat).not.toBeNull()
    expect(book.ask(ask('b')).seat).not.toBeNull()
    expect(book.ask(ask('c'))).toMatchObject({ seat: null, siteHolds: 0 })
    expect(book.view().length).toBe(2)
    await clock.advance(90_000)
    expect(book.ask(ask('c')).seat).not.toBeNull()
    expect(book.view().map(({ site }) => site)).toEqual(['c'])
  })

  test('tokens are not guessed: 144 random bits behind the number of the deal', () => {
    const book = new SeatBook(defaultSeatRules, 10, new ManualClock())
    const tokens = Array.from({ length: 10 }, (_, at) => book.ask(ask(`site-${at}`)).seat!)
    expect(new Set(tokens.map(token => token.split('.')[1])).size).toBe(10)
    for (const token of tokens) expect(token).toMatch(/^[0-9a-z]+\.[A-Za-z0-9_-]{24}$/)
  })
})
