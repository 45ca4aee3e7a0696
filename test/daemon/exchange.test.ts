/** One artifact between a node and its site, when nobody brings it, when the origin fails, when what was kept is bad. */
import { readdir } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { sha256 } from '../../src/core/digest.ts'
import { ContentError, StoreError } from '../../src/core/errors.ts'
import { silentLog } from '../../src/core/log.ts'
import type { Release } from '../../src/core/release.ts'
import { KiB, MiB } from '../../src/core/units.ts'
import { markVerified } from '../../src/core/verified.ts'
import { Exchange, type ExchangeParts } from '../../src/daemon/exchange.ts'
import { Exchanges } from '../../src/daemon/exchanges.ts'
import { type Neighbourhood, nobody } from '../../src/daemon/neighbourhood.ts'
import type { Bytes } from '../../src/daemon/status.ts'
import { type ArtifactStore, openArtifactStore } from '../../src/store/artifact-store.ts'
import { Limits } from '../../src/swarm/limits/limits.ts'
import { startNativeEngine } from '../../src/swarm/native/engine.ts'
import { askNeighbour } from '../../src/swarm/neighbour-client.ts'
import { NeighbourLine } from '../../src/swarm/neighbour-line.ts'
import { OriginClient } from '../../src/swarm/origin-client.ts'
import type { SeatAnswer } from '../../src/swarm/seats/protocol.ts'
import { Traffic } from '../../src/swarm/traffic.ts'
import { type ArtifactFixture, makeArtifact } from '../support/artifact.ts'
import { told } from '../support/beacons.ts'
import { RawHttpServer, reply } from '../support/raw-http-server.ts'
import { scratchDir } from '../support/scratch.ts'

const releaseOf = ({ content, artifact }: ArtifactFixture): Release => ({
  channel: 'contract',
  sequence: 7,
  published: '2026-11-22T12:00:00Z',
  content: sha256(content),
  files: 1,
  unpacked: content.length,
  full: artifact,
})
const fixture = makeArtifact()
const { artifact, content, metainfo, pieceHashes } = fixture
const release = releaseOf(fixture)
const never = new AbortController().signal
const noSeat: SeatAnswer = { seat: null, pieces: [], leaseMs: 1000, nextMs: 100, siteHolds: 0 }
const pieces = Array.from({ length: 11 }, (_, index) =>
  content.subarray(index * artifact.pieceLength, (index + 1) * artifact.pieceLength),
)

type Seats = 'never' | (() => [number, string])
type Answer = (socket: Socket) => void

/** The store of `parts`, that opens nothing. */
function refusing({ artifacts }: ExchangeParts, reason: Error): ArtifactStore {
  const refuse: ProxyHandler<ArtifactStore> = {
    get: (store, name) => {
      if (name === 'open') return () => Promise.reject(reason)
      const own: unknown = Reflect.get(store, name, store)
      return typeof own === 'function' ? own.bind(store) : own
    },
  }
  return new Proxy(artifacts, refuse)
}

/** An exchange of a node whose origin gives no seat and knows no neighbour. */
async function lonely({
  seats = (() => [200, JSON.stringify(noSeat)]) as Seats,
  stallMs = 60_000,
  torrent = metainfo as Buffer | Answer,
  range = undefined as Answer | undefined,
  of = release,
  near = nobody,
  rates = {},
} = {}) {
  const home = await scratchDir()
  const server = await RawHttpServer.start((socket, { path }) => {
    if (path.startsWith('/announce')) reply(socket, 200, 'd8:intervali1800e5:peers0:e')
    else if (path.startsWith('/torrents')) {
      if (typeof torrent === 'function') torrent(socket)
      else reply(socket, 200, torrent)
    } else if (path.startsWith('/targets')) range?.(socket)
    else if (seats !== 'never') reply(socket, ...seats())
  })
  onTestFinished(() => server.stop())
  const origin = new OriginClient(server.url)
  onTestFinished(() => origin.stop())
  const engine = await startNativeEngine({ listen: { host: '127.0.0.1', port: 0 }, networks: ['127.0.0.0/8'] })
  onTestFinished(() => engine.stop())
  const limits = new Limits({ emergency_overrides: false, window: [], ...rates }, systemClock)
  onTestFinished(() => limits.stop())
  const artifacts = await openArtifactStore(home, { quotaBytes: 64 * MiB, clock: systemClock })
  onTestFinished(() => artifacts.stop())
  const parts = {
    neighbourhood: () => near,
    origin,
    artifacts,
    engine,
    limits,
    node: 'pc-7',
    site: 'berlin',
    lanAddress: () => '127.0.0.1',
    stallMs,
    clock: systemClock,
    random: () => 0,
    log: silentLog,
  }
  /** Bytes that came before `start` failed. */
  const lost: number[] = []
  const start = async () => {
    const exchange = await Exchange.start(of, parts, never, ({ wasted }) => lost.push(wasted))
    onTestFinished(() => exchange.stop())
    return exchange
  }
  const exchanges = new Exchanges(parts, 60_000)
  onTestFinished(() => exchanges.stop())
  return { start, artifacts, server, home, exchanges, lost, origin, parts }
}

test('no seat, no neighbour, and nothing wrong with the origin: it gives up after a while, and says that nobody brings anything', async () => {
  const { start } = await lonely({ stallMs: 300 })
  const exchange = await start()
  await expect(exchange.whole(never)).rejects.toMatchObject({
    code: 'swarm_stalled',
    message: expect.stringMatching(
      /no piece has come for \d+ ms, of contract release 7, from the origin or from a neighbour/,
    ),
  })
  expect(exchange.view().trouble).toBeNull()
  // Asked again, it waits again: the silence of before does not count.
  const again = Promise.race([exchange.whole(never).catch(() => 'gave up'), systemClock.sleep(100).then(() => 'waits')])
  expect(await again).toBe('waits')
})

test('the origin fails meanwhile: that is told while it waits, and in the end', async () => {
  const { start } = await lonely({ stallMs: 600, seats: () => [500, '{}'] })
  const exchange = await start()
  const end = exchange.whole(never).catch(error => error)
  await expect.poll(() => exchange.view().trouble?.code).toBe('origin_status')
  expect(await end).toMatchObject({ code: 'origin_status', message: expect.stringContaining('no piece has come for') })
})

test('a neighbour brings every piece while the origin fails: there is no trouble any more', async () => {
  const { start, artifacts } = await lonely({ seats: () => [500, '{}'] })
  const exchange = await start()
  await expect.poll(() => exchange.view().trouble?.code).toBe('origin_status')
  await using store = await artifacts.open(artifact, pieceHashes)
  const whole = exchange.whole(never)
  // The last piece is the short one: it must not count as a long one.
  await store.put(10, pieces[10]!)
  expect(exchange.view()).toMatchObject({ have: 1, bytesHave: 777, pieces: 11 })
  await Promise.all(pieces.map((bytes, index) => store.put(index, bytes)))
  await whole
  expect(exchange.view()).toMatchObject({ have: 11, bytesHave: content.length, trouble: null })
})

test('a torrent that was kept and has gone bad is fetched again; a bad one of the origin is not kept', async () => {
  const { start, artifacts, server } = await lonely()
  await artifacts.keepMetainfo(artifact.sha256, Buffer.from('d4:infode'))
  await (await start()).stop()
  expect(server.requests.filter(({ path }) => path.startsWith('/torrents'))).toHaveLength(1)
  expect(await artifacts.metainfo(artifact.sha256)).toEqual(metainfo)

  const bad = await lonely({ torrent: Buffer.from('d4:infode') })
  await expect(bad.start()).rejects.toMatchObject({
    code: expect.stringMatching(/^origin_malformed$|^pieces_mismatch$/),
  })
  expect(await readdir(bad.home)).toEqual([])
})

test('a seat is asked for while the torrent is on its way; where the torrent is here, pieces may be, and they are counted first', async () => {
  const { start, server } = await lonely()
  const first = await start()
  const order = () => server.requests.map(({ path }) => path.split('/')[1]).filter(part => part !== 'announce')
  await expect.poll(() => order().length).toBeGreaterThanOrEqual(3)
  expect(order().slice(0, 2).sort()).toEqual(['torrents', 'v1'])
  expect(JSON.parse(server.requests.find(({ method }) => method === 'POST')!.body)).toMatchObject({
    want: true,
    node: 'pc-7',
  })
  await first.stop()
  server.requests.length = 0
  await start()
  await expect.poll(() => order().length).toBeGreaterThanOrEqual(1)
  expect(order()).not.toContain('torrents')
})

describe('artifact bytes come while the torrent is on its way', () => {
  const seat: SeatAnswer = { seat: 'a', pieces: [0], leaseMs: 60_000, nextMs: 60_000, siteHolds: 0 }
  const end = artifact.pieceLength
  const range: Answer = socket =>
    reply(socket, 206, content.subarray(0, end), { 'content-range': `bytes 0-${end - 1}/${content.length}` })

  test('they are stored when it is here', async () => {
    const waiting: Socket[] = []
    const { start, server, artifacts } = await lonely({
      torrent: socket => waiting.push(socket),
      seats: () => [200, JSON.stringify(seat)],
      range,
    })
    const starting = start()
    const asked = (part: string) => server.requests.filter(({ path }) => path.startsWith(part)).length
    await expect.poll(() => asked('/targets')).toBe(1)
    expect(artifacts.list()).toEqual([])
    expect(waiting).toHaveLength(1)
    reply(waiting[0]!, 200, metainfo)
    const exchange = await starting
    await expect.poll(() => exchange.view()).toMatchObject({ have: 1, bytesHave: end })
    expect(exchange.drainBytes()).toEqual({ wan: end, lanIn: 0, lanOut: 0, wasted: 0 })
    expect(asked('/targets')).toBe(1)
  })

  test('it does not come: they are lost, and counted as that', async () => {
    const waiting: Socket[] = []
    const { start, lost, exchanges, home, origin } = await lonely({
      torrent: socket => waiting.push(socket),
      seats: () => [200, JSON.stringify(seat)],
      range,
    })
    const refuseAfter = async (bytes: number) => {
      await expect.poll(() => origin.account().purposes.payload.bytesIn).toBe(bytes)
      reply(waiting.pop()!, 404)
    }
    const [first] = await Promise.allSettled([start(), refuseAfter(end)])
    expect(first).toMatchObject({ reason: { code: 'origin_status' } })
    expect(lost).toEqual([end])
    expect(await readdir(home)).toEqual([])
    const [second] = await Promise.allSettled([exchanges.obtain(markVerified(release), never), refuseAfter(2 * end)])
    expect(second).toMatchObject({ reason: { code: 'origin_status' } })
    expect(exchanges.drainBytes('contract')).toEqual({ wan: 0, lanIn: 0, lanOut: 0, wasted: end })
  })

  test.each<[string, (parts: ExchangeParts) => ExchangeParts, object]>([
    [
      'its pieces are not the signed ones',
      parts => ({ ...parts, artifacts: refusing(parts, new ContentError('pieces_mismatch', 'other pieces')) }),
      { code: 'pieces_mismatch' },
    ],
    [
      'there is no room',
      parts => ({ ...parts, artifacts: refusing(parts, new StoreError('disk_full', 'no room')) }),
      { code: 'disk_full' },
    ],
    [
      'the engine does not take it',
      parts => ({ ...parts, engine: { ...parts.engine, port: 1, join: () => Promise.reject(new Error('is joined')) } }),
      { message: 'is joined' },
    ],
  ])('%s: they are lost, all ends, and nobody is blamed for a bad piece', async (_, but, reason) => {
    const waiting: Socket[] = []
    const said: unknown[] = []
    const { parts, origin, server, artifacts } = await lonely({
      torrent: socket => waiting.push(socket),
      seats: () => [200, JSON.stringify(seat)],
      range,
    })
    const log = { ...silentLog, debug: (facts: unknown) => said.push(facts) } as typeof silentLog
    const lost: Bytes[] = []
    const starting = Exchange.start(release, but({ ...parts, log }), never, bytes => lost.push(bytes))
    const ended = expect(starting).rejects.toMatchObject(reason)
    await expect.poll(() => origin.account().purposes.payload.bytesIn).toBe(end)
    reply(waiting[0]!, 200, metainfo)
    await ended
    expect(lost).toEqual([{ wan: 0, lanIn: 0, lanOut: 0, wasted: end }])
    expect(JSON.stringify(said)).not.toContain('piece_mismatch')
    expect(artifacts.list().filter(({ inUse }) => inUse)).toEqual([])
    // Nobody asks for anything any more.
    const before = server.requests.length
    await new Promise(resolve => setTimeout(resolve, 200))
    expect(server.requests).toHaveLength(before)
  })

  test.each([true, false])(
    'something fails after the swarm was joined (torrent on the disk: %s): it can be joined again',
    async kept => {
      const { parts, artifacts, server } = await lonely({ seats: () => [200, JSON.stringify(noSeat)] })
      if (kept) await artifacts.keepMetainfo(artifact.sha256, metainfo)
      const broken: Neighbourhood = {
        ...nobody,
        onHolder: () => {
          throw new Error('no more')
        },
      }
      const start = (neighbourhood: Neighbourhood) =>
        Exchange.start(release, { ...parts, neighbourhood: () => neighbourhood }, never, () => {})
      await expect(start(broken)).rejects.toThrow('no more')
      const asked = server.requests.length
      await new Promise(resolve => setTimeout(resolve, 300)) // the origin wants to hear again after 100
      expect(server.requests).toHaveLength(asked)
      const again = await start(nobody)
      await again.stop()
    },
  )

  test('the caller gives up while the torrent does not come', async () => {
    const { parts, origin, server } = await lonely({
      torrent: () => {},
      seats: () => [200, JSON.stringify(seat)],
      range,
    })
    const enough = new AbortController()
    const lost: number[] = []
    const starting = Exchange.start(release, parts, enough.signal, ({ wasted }) => lost.push(wasted))
    const ended = expect(starting).rejects.toThrow('enough')
    await expect.poll(() => origin.account().purposes.payload.bytesIn).toBe(end)
    enough.abort(new Error('enough'))
    await ended
    expect(lost).toEqual([end])
    await expect.poll(() => server.sockets.size).toBeLessThanOrEqual(2) // the idle ones, of talk and of artifact bytes
  })

  test('pieces on the disk are counted first, whatever has become of the torrent', async () => {
    const waiting: Socket[] = []
    const { start, server, artifacts } = await lonely({
      torrent: socket => waiting.push(socket),
      seats: () => [200, JSON.stringify(noSeat)],
    })
    const store = await artifacts.open(artifact, pieceHashes)
    await store.put(0, pieces[0]!)
    await store.close()
    const starting = start()
    await expect.poll(() => waiting.length).toBe(1)
    await new Promise(resolve => setTimeout(resolve, 100))
    expect(server.requests.filter(({ method }) => method === 'POST')).toEqual([])
    reply(waiting[0]!, 200, metainfo)
    expect((await starting).view()).toMatchObject({ have: 1 })
    await expect.poll(() => server.requests.find(({ method }) => method === 'POST')?.body).toContain('"have":"gA')
  })
})

test('the torrent cannot be had: nobody waits for the seat that was asked for', async () => {
  const { start, server } = await lonely({ torrent: Buffer.from('d4:infode'), seats: 'never' })
  await expect(start()).rejects.toMatchObject({ code: expect.any(String) })
  await expect.poll(() => server.requests.some(({ method }) => method === 'POST')).toBe(true)
  // Its connection, on which no answer has come, is closed; the one of the torrent may be kept.
  await expect.poll(() => server.sockets.size).toBeLessThanOrEqual(1)
})

test('what is stopped lets go of the artifact, twice if need be', async () => {
  const { start, artifacts } = await lonely()
  const exchange = await start()
  expect(artifacts.list()).toMatchObject([{ inUse: true }])
  const waiting = exchange.whole(never).catch(error => error.code)
  await exchange.stop()
  await exchange.stop()
  expect(await waiting).toBe('swarm_failed')
  expect(artifacts.list()).toMatchObject([{ inUse: false, state: 'partial' }])
})

describe('two channels whose releases are the same bytes', () => {
  const ours = markVerified(release)
  const theirs = markVerified({ ...release, channel: 'other' })

  test('one gives up: the other goes on', async () => {
    const { exchanges, artifacts } = await lonely()
    const impatient = new AbortController()
    const first = exchanges.obtain(ours, impatient.signal).catch(error => error)
    const second = exchanges.obtain(theirs, never)
    await expect.poll(() => artifacts.list()[0]?.inUse).toBe(true)
    await using store = await artifacts.open(artifact, pieceHashes)
    impatient.abort(new Error('enough'))
    expect(await first).toMatchObject({ message: 'enough' })
    await Promise.all(pieces.map((bytes, index) => store.put(index, bytes)))
    await second
    await (await exchanges.verify(theirs, never)).close()
  })

  test('one gives up, and while its exchange is ending the other begins: it gets one of its own', async () => {
    for (let ticks = 0; ticks < 12; ticks++) {
      const { exchanges, artifacts } = await lonely()
      const impatient = new AbortController()
      const first = exchanges.obtain(ours, impatient.signal).catch(error => error)
      await expect.poll(() => artifacts.list()[0]?.inUse).toBe(true)
      impatient.abort(new Error('enough'))
      for (let tick = 0; tick < ticks; tick++) await Promise.resolve()
      const second = exchanges.obtain(theirs, never)
      expect(await first).toMatchObject({ message: 'enough' })
      const filled = (async () => {
        await expect.poll(() => artifacts.list()[0]?.inUse).toBe(true)
        await using store = await artifacts.open(artifact, pieceHashes)
        await Promise.all(pieces.map((bytes, index) => store.put(index, bytes)))
      })()
      await Promise.all([second, filled])
    }
  })
})

describe('a small artifact', () => {
  const small = makeArtifact({ length: 10 * KiB })
  const large = makeArtifact({ length: 65 * KiB, pieceLength: 128 * KiB })

  /** A neighbour that says it holds it, and gives the torrent. @param give Its answer to all else. */
  async function holder(give: (socket: Socket) => void, { metainfo, artifact }: ArtifactFixture = small) {
    const server = await RawHttpServer.start((socket, { path }) =>
      path.startsWith('/torrents') ? reply(socket, 200, metainfo) : give(socket),
    )
    onTestFinished(() => server.stop())
    const line = new NeighbourLine(new Traffic(), 200)
    // Whoever dials it hears nothing: what comes, comes by HTTP.
    const beacon = told({ node: 'holder', http: server.port, port: 1, artifacts: [artifact.infohash] })
    const disproved: string[] = []
    const near: Neighbourhood = {
      ...nobody,
      holding: () => [{ ...beacon, host: beacon.address, heardAt: systemClock.monotonic() }],
      ask: (neighbour, ask, signal) => askNeighbour(neighbour, ask, line, signal),
      disprove: (_, why) => disproved.push(why),
    }
    const asked = () => server.requests.map(({ path }) => path.split('/')[1])
    return { near, disproved, asked, of: releaseOf({ ...small, artifact }), torrent: metainfo }
  }

  test('comes with its torrent, and nobody else is asked for either', async () => {
    const { asked, ...from } = await holder(socket => reply(socket, 200, small.content))
    const { start, server, artifacts } = await lonely(from)
    const exchange = await start()
    await exchange.whole(never)
    expect(asked()).toEqual(['torrents', 'artifacts'])
    expect(exchange.drainBytes()).toEqual({ wan: 0, lanIn: 10 * KiB, lanOut: 0, wasted: 0 })
    await using found = await artifacts.admit(small.artifact)
    expect(await found.handle.readFile()).toEqual(small.content)
    const wanted = server.requests.filter(
      ({ path, body }) => path.startsWith('/torrents') || body.includes('"want":true'),
    )
    expect(wanted).toEqual([])
    // It is one who holds it now, and gives it on.
    expect(await exchange.small()).toEqual(small.content)
    expect(exchange.drainBytes()).toMatchObject({ lanIn: 0, lanOut: 10 * KiB })
  })

  test.each<[string, (socket: Socket) => void, string[]]>([
    ['has it not yet', socket => reply(socket, 404), []],
    ['gives other bytes', socket => reply(socket, 200, Buffer.alloc(10 * KiB)), ['wrong']],
    ['gives fewer', socket => reply(socket, 200, small.content.subarray(1)), ['wrong']],
    ['gives more', socket => reply(socket, 200, Buffer.alloc(10 * KiB + 1)), []],
    ['hangs up', socket => socket.destroy(), []],
    ['says nothing', () => {}, []],
  ])('the holder %s: nothing of it is stored, a seat is asked for, the torrent stays', async (_, give, blamed) => {
    const { asked, disproved, ...from } = await holder(give)
    const { start, server } = await lonely(from)
    const exchange = await start()
    expect(exchange.view()).toMatchObject({ have: 0, pieces: 1 })
    expect(exchange.drainBytes().lanIn).toBe(0)
    expect(disproved).toEqual(blamed)
    expect(asked().filter(path => path === 'artifacts')).toHaveLength(1)
    await expect.poll(() => server.requests.some(({ body }) => body.includes('"want":true'))).toBe(true)
    expect(server.requests.filter(({ path }) => path.startsWith('/torrents'))).toEqual([])
  })

  test('one that is not small goes by the swarm, and is not given away whole', async () => {
    const { asked, ...from } = await holder(socket => reply(socket, 200, large.content), large)
    const { start, artifacts } = await lonely(from)
    const exchange = await start()
    expect(asked()).toEqual(['torrents'])
    await using store = await artifacts.open(large.artifact, large.pieceHashes)
    await store.put(0, large.content)
    await exchange.whole(never)
    expect(await exchange.small()).toBeUndefined()
  })

  test('who fetches it himself lets whoever asks wait for it, but not for ever', async () => {
    const { start, artifacts } = await lonely({ of: releaseOf(small), torrent: small.metainfo })
    const exchange = await start()
    const answer = exchange.small()
    await using store = await artifacts.open(small.artifact, small.pieceHashes)
    await store.put(0, small.content)
    expect(await answer).toEqual(small.content)

    const empty = await lonely({ of: releaseOf(small), torrent: small.metainfo })
    expect(await (await empty.start()).small()).toBeUndefined()
  })

  test('what goes to neighbours is limited: who asks then is told that there is nothing', async () => {
    const { start, artifacts } = await lonely({
      of: releaseOf(small),
      torrent: small.metainfo,
      rates: { lan_up: 1 },
    })
    const exchange = await start()
    await using store = await artifacts.open(small.artifact, small.pieceHashes)
    await store.put(0, small.content)
    expect(await exchange.small()).toEqual(small.content)
    expect(await exchange.small()).toBeUndefined()
    expect(exchange.drainBytes().lanOut).toBe(10 * KiB)
  })
})
