/** Neighbours as a source of metadata: good ones spare the line, hostile ones cost a moment and change nothing. */
import { writeFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { DownloadError, TrustError } from '../../src/core/errors.ts'
import { silentLog } from '../../src/core/log.ts'
import { MiB } from '../../src/core/units.ts'
import { type Neighbourhood, nobody } from '../../src/daemon/neighbourhood.ts'
import { refresh } from '../../src/daemon/refresh.ts'
import { Trust } from '../../src/daemon/trust.ts'
import { RootFiles } from '../../src/store/root-files.ts'
import { openTrustStore } from '../../src/store/trust-store.ts'
import type { Neighbour } from '../../src/swarm/beacon/neighbours.ts'
import { readBundle } from '../../src/swarm/metadata-bundle.ts'
import { askNeighbour } from '../../src/swarm/neighbour-client.ts'
import { NeighbourLine } from '../../src/swarm/neighbour-line.ts'
import { Traffic } from '../../src/swarm/traffic.ts'
import { told } from '../support/beacons.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { RawHttpServer, reply } from '../support/raw-http-server.ts'
import { scratchDir } from '../support/scratch.ts'
import { keyNamed, noon, TrustRepository } from '../support/trust-repository.ts'

const never = new AbortController().signal

/** A node that has seen release 1, where there are now 1 and 2; and what was published at each time. */
async function node(repository = new TrustRepository()) {
  const home = await scratchDir()
  await writeFile(join(home, 'root.json'), repository.pinned)
  const parts = { roots: new RootFiles(join(home, 'roots')), rootFile: join(home, 'root.json') }
  const trust = new Trust({ ...parts, store: await openTrustStore(join(home, 'trust')), clock: new ManualClock(noon) })
  await trust.open()
  const origin = {
    asked: 0,
    down: false,
    /** By name; undefined: there are only files. */
    bundle: undefined as ReadonlyMap<string, Uint8Array> | undefined,
    after: [] as unknown[],
    async metadataAfter(...about: unknown[]) {
      origin.after.push(about.slice(0, 3))
      return origin.bundle
    },
    async metadata(path: string) {
      origin.asked++
      if (origin.down) throw new DownloadError('origin_unreachable', 'the origin does not answer')
      return repository.serve(path.replace('/metadata/', ''))
    },
  }
  const near: Neighbour[] = []
  const line = new NeighbourLine(new Traffic(), 200)
  const disproved: [string, string][] = []
  const neighbourhood: Neighbourhood = {
    ...nobody,
    withSnapshot: least => near.filter(({ snapshot }) => snapshot >= least),
    ask: (neighbour, ask, signal) => askNeighbour(neighbour, ask, line, signal),
    disprove: ({ node }, why) => disproved.push([node, why]),
  }
  const look = async () => {
    const { releases, ...rest } = await refresh(
      'clamav',
      { trust, origin, neighbourhood: () => neighbourhood, log: silentLog },
      never,
    )
    return { offered: releases.map(({ sequence }) => sequence), ...rest }
  }
  repository.publish([1])
  await look()
  const yesterday = repository.snapshot()
  repository.publish([1, 2])
  origin.asked = 0
  /** A neighbour that claims this snapshot, and answers like this. */
  const neighbour = async (name: string, snapshot: number, answer: (socket: Socket, path: string) => void) => {
    const server = await RawHttpServer.start((socket, { path }) => answer(socket, path.replace('/metadata/', '')))
    onTestFinished(() => server.stop())
    near.push({ ...told({ node: name, snapshot, http: server.port }), heardAt: systemClock.monotonic() })
    return server
  }
  const honest = (files: ReadonlyMap<string, Uint8Array>) => (socket: Socket, path: string) => {
    const bytes = files.get(path)
    reply(socket, bytes ? 200 : 404, bytes)
  }
  const newest = trust.shelf.versions.snapshot + 1
  return { look, trust, origin, repository, yesterday, neighbour, honest, near, disproved, newest, home }
}

test('a neighbour that is ahead is asked, and the origin is not', async () => {
  const { look, origin, repository, neighbour, honest, newest, trust } = await node()
  await neighbour('ahead', newest, honest(repository.files))
  expect(await look()).toEqual({ offered: [1, 2], from: 'ahead' })
  expect(origin.asked).toBe(0)
  expect(trust.shelf.versions.snapshot).toBe(newest)
})

test('a neighbour shows all that is new in one answer, as it would an origin', async () => {
  const { look, trust, repository, neighbour, newest, yesterday } = await node()
  const shown = [...repository.files].map(([name, bytes]) => [name, Buffer.from(bytes).toString()])
  const bundle = JSON.stringify(Object.fromEntries(shown.filter(([name]) => !name?.endsWith('root.json'))))
  const server = await neighbour('ahead', newest, (socket, path) =>
    reply(socket, path.startsWith('after/') ? 200 : 404, bundle),
  )
  expect(await look()).toEqual({ offered: [1, 2], from: 'ahead' })
  expect(server.requests.map(({ path }) => path)).toEqual([`/metadata/after/1/${newest - 1}/clamav`])

  // And so does this node now: to one who is where it was, to one who has nothing to learn, and to one who asks for another channel.
  const names = (root: number, snapshot: number, channel: string) => {
    const bytes = trust.shelf.after(root, snapshot, channel)
    return bytes && [...readBundle(bytes)!.keys()]
  }
  expect(names(1, newest - 1, 'clamav')).toEqual([
    'timestamp.json',
    `${newest}.snapshot.json`,
    expect.stringMatching(/^\d+\.clamav\.json$/),
  ])
  expect(readBundle(trust.shelf.after(1, newest - 1, 'clamav')!)!.get('timestamp.json')).toEqual(
    repository.files.get('timestamp.json'),
  )
  expect(names(1, newest, 'clamav')).toEqual(['timestamp.json'])
  expect(names(1, newest - 1, 'other')).toEqual(['timestamp.json'])
  expect(yesterday.get('timestamp.json')).not.toEqual(repository.files.get('timestamp.json'))
})

test('the keys were rotated: a neighbour has the next root in its answer', async () => {
  const { look, trust, repository } = await node()
  repository.rotateTimestampKey(keyNamed('second'))
  repository.publish([1, 2, 3])
  await look()
  const shown = [...readBundle(trust.shelf.after(1, 0, 'clamav')!)!.keys()]
  expect(shown.slice(0, 2)).toEqual(['timestamp.json', '2.root.json'])
  expect(readBundle(trust.shelf.after(2, 0, 'clamav')!)!.has('2.root.json')).toBe(false)
})

const flood = (socket: Socket) => {
  socket.write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n')
  const chunk = Buffer.concat([Buffer.from(`${MiB.toString(16)}\r\n`), Buffer.alloc(MiB, 'x'), Buffer.from('\r\n')])
  const pour = () => {
    while (!socket.destroyed && socket.write(chunk));
  }
  socket.on('drain', pour)
  pour()
}

test.each<[string, (lab: Awaited<ReturnType<typeof node>>) => (socket: Socket, path: string) => void, string]>([
  ['shows what is older than it claims', ({ yesterday, honest }) => honest(yesterday), 'wrong'],
  ['shows what nobody has signed', () => socket => reply(socket, 200, '{"signatures":[],"signed":{}}'), 'wrong'],
  ['shows a file without an end', () => socket => flood(socket), 'wrong'],
  ['has nothing at all', () => socket => reply(socket, 404), 'absent'],
  ['says nothing', () => () => {}, 'absent'],
  ['hangs up', () => socket => socket.destroy(), 'absent'],
  [
    'sends us elsewhere',
    () => socket => reply(socket, 302, '', { location: 'http://169.254.169.254/latest/meta-data' }),
    'absent',
  ],
])('a neighbour that %s: disproved, and the origin is asked as ever', async (_, answer, why) => {
  const lab = await node()
  await lab.neighbour('liar', lab.newest + 100, answer(lab))
  expect(await lab.look()).toEqual({ offered: [1, 2], from: 'origin' })
  expect(lab.disproved).toEqual([['liar', why]])
})

test('forty liars: two are asked, then the origin', async () => {
  const { look, near, neighbour, newest, disproved } = await node()
  const server = await neighbour('liar', newest, socket => socket.destroy())
  for (let number = 0; number < 40; number++) near.push({ ...near[0]!, node: `liar-${number}` })
  expect(await look()).toMatchObject({ from: 'origin' })
  expect(server.accepted).toBe(2)
  expect(disproved).toHaveLength(2)
})

test('the origin is away, nobody is ahead: a neighbour at the same version, or what is held, keeps what is known; the trouble is told', async () => {
  const { look, origin, yesterday, neighbour, honest, near, newest } = await node()
  origin.down = true
  const trouble = { code: 'origin_unreachable' }
  expect(await look()).toMatchObject({ offered: [1], from: 'cache', trouble })
  await neighbour('equal', newest - 1, honest(yesterday))
  expect(await look()).toMatchObject({ offered: [1], from: 'equal', trouble })
  expect(near).toHaveLength(1)
})

test('the origin is away, and what is held has expired: the trouble with the origin, and nothing is believed', async () => {
  const repository = new TrustRepository()
  const home = await scratchDir()
  await writeFile(join(home, 'root.json'), repository.pinned)
  const parts = { roots: new RootFiles(join(home, 'roots')), rootFile: join(home, 'root.json') }
  const clock = new ManualClock(noon)
  const trust = new Trust({ ...parts, store: await openTrustStore(join(home, 'trust')), clock })
  await trust.open()
  repository.publish([1])
  const down = new DownloadError('origin_unreachable', 'the origin does not answer')
  let away = false
  const origin = {
    metadata: async (path: string) => (away ? Promise.reject(down) : repository.serve(path.slice(10))),
    metadataAfter: async () => undefined,
  }
  const look = () => refresh('clamav', { trust, origin, neighbourhood: () => nobody, log: silentLog }, never)
  await look()
  away = true
  clock.set(noon + 3650 * 24 * 3_600_000)
  await expect(look()).rejects.toBe(down)
})

test('the keys were rotated while a node was away: its neighbours show it every root in between', async () => {
  const { look, trust, repository, home } = await node()
  for (const name of ['second', 'third']) repository.rotateTimestampKey(keyNamed(name))
  repository.publish([1, 2, 3])
  await look()
  const rootVersions = [2, 3].map(version => trust.shelf.find(`${version}.root.json`))
  expect(rootVersions).toEqual([2, 3].map(version => repository.files.get(`${version}.root.json`)))
  expect([...(await new RootFiles(join(home, 'roots')).load()).keys()].sort()).toEqual([2, 3])
  expect(trust.shelf.find('4.root.json')).toBeUndefined()
  expect(trust.shelf.find('timestamp.json')).toEqual(repository.files.get('timestamp.json'))
  expect(trust.shelf.find('../roots/2.root.json')).toBeUndefined()
})

test('the origin shows all that is new in one answer: nothing else is asked for', async () => {
  const { look, origin, repository, trust, newest } = await node()
  origin.bundle = repository.files
  expect(await look()).toEqual({ offered: [1, 2], from: 'origin' })
  expect(origin.after.at(-1)).toEqual([1, newest - 1, 'clamav'])
  expect(origin.asked).toBe(0)
  expect(trust.shelf.versions.snapshot).toBe(newest)
})

test('nothing has been seen yet but the pinned root: files are asked for one by one', async () => {
  const { origin } = await node()
  expect(origin.after).toEqual([])
})

test('one answer lacks a file: that one is asked for, but not the next root, which would be in it', async () => {
  const { look, origin, repository } = await node()
  origin.bundle = new Map([...repository.files].filter(([name]) => !/^[0-9]+\.(?:clamav|root)\.json$/.test(name)))
  expect(await look()).toEqual({ offered: [1, 2], from: 'origin' })
  expect(origin.asked).toBe(1)
})

test('the keys were rotated: the next root is in the answer, the one after it is asked for', async () => {
  const { look, origin, repository, trust } = await node()
  for (const name of ['second', 'third']) repository.rotateTimestampKey(keyNamed(name))
  origin.bundle = new Map([...repository.files].filter(([name]) => name !== '3.root.json'))
  await look()
  expect(trust.shelf.root).toBe(3)
  // 3.root.json and 4.root.json.
  expect(origin.asked).toBe(2)
})

test.each<[string, (lab: Awaited<ReturnType<typeof node>>) => ReadonlyMap<string, Uint8Array>]>([
  ['what nobody has signed', ({ repository }) => new Map([...repository.files, ['timestamp.json', Buffer.from('{}')]])],
  [
    'a file without an end',
    ({ repository }) => new Map([...repository.files, ['timestamp.json', Buffer.alloc(MiB, ' ')]]),
  ],
  ['a root that is none', ({ repository }) => new Map([...repository.files, ['2.root.json', Buffer.from('{}')]])],
])('one answer has %s: refused as if it had come by itself, and the trust is as before', async (_, bundle) => {
  const lab = await node()
  lab.origin.bundle = bundle(lab)
  await expect(lab.look()).rejects.toBeInstanceOf(TrustError)
  expect(lab.trust.shelf.versions.snapshot).toBe(lab.newest - 1)
})

test('one answer is of yesterday: nothing is lost, nothing is gained', async () => {
  const { look, origin, yesterday } = await node()
  origin.bundle = yesterday
  expect(await look()).toEqual({ offered: [1], from: 'origin' })
})

test('another channel is at it, and gets to see a newer publish: nobody is called stale for an answer that waited for its turn', async () => {
  const { look, origin, repository, trust } = await node()
  origin.bundle = new Map(repository.files)
  const { promise: resumed, resolve: resume } = Promise.withResolvers<void>()
  const serve = (path: string) => resumed.then(() => repository.serve(path))
  const other = trust.refresh('clamav', serve, never)
  const looking = look()
  await new Promise(resolve => setImmediate(resolve))
  repository.publish([1, 2, 3])
  origin.bundle = new Map(repository.files)
  resume()
  await other
  expect(await looking).toEqual({ offered: [1, 2, 3], from: 'origin' })
})
