/** The line that tests and the demo measure by has to be right itself. Rates are checked by counting, not by the clock. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { openWanLink, type WanLinkOptions } from '../../bench/wan-link.ts'
import { KiB, MiB } from '../../src/core/units.ts'
import { randomBytes } from '../support/artifact.ts'

const stops: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

/** A server behind a link. */
async function lineTo(serve: (socket: Socket) => void, options: Partial<WanLinkOptions> = {}) {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    serve(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const link = await openWanLink({
    target: { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    ...options,
  })
  stops.push(
    async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
    () => link.stop(),
  )
  return { link, sockets }
}

async function dial(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
  socket.on('error', () => {})
  stops.push(async () => socket.destroy())
  await once(socket, 'connect')
  return socket
}

async function readAll(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const chunk of socket as AsyncIterable<Buffer>) parts.push(chunk)
  return Buffer.concat(parts)
}

/** Not `once`, which rejects when an error comes first. */
const closed = (socket: Socket) => new Promise(resolve => socket.on('close', resolve).resume())

const echo = (socket: Socket) => void socket.pipe(socket)

test.each([0, 20])('with %i ms of latency, bytes come back the same, and are counted both ways', async latencyMs => {
  const { link } = await lineTo(echo, { latencyMs })
  const bytes = randomBytes(MiB + 1, 1)
  const socket = await dial(link.port)
  socket.end(bytes)
  expect((await readAll(socket)).equals(bytes)).toBe(true)
  expect([link.bytesUp, link.bytesDown, link.accepted]).toEqual([bytes.length, bytes.length, 1])
  socket.destroy()
  await expect.poll(() => link.connections).toBe(0)
})

test('an answer takes the latency, whatever the size', async () => {
  const { link } = await lineTo(echo, { latencyMs: 100 })
  const socket = await dial(link.port)
  const asked = performance.now()
  socket.write('x')
  await once(socket, 'data')
  expect(performance.now() - asked).toBeGreaterThanOrEqual(95)
})

test('connections that all want everything get the same', async () => {
  const { link } = await lineTo(socket => void socket.end(Buffer.alloc(4 * MiB)), { bytesPerSecond: 2 * MiB })
  const got = [0, 0, 0, 0]
  for (const at of got.keys()) {
    const socket = await dial(link.port)
    socket.on('data', chunk => {
      got[at]! += chunk.length
    })
  }
  await expect.poll(() => got.reduce((sum, bytes) => sum + bytes), { timeout: 10_000 }).toBeGreaterThan(MiB)
  expect(Math.max(...got) - Math.min(...got)).toBeLessThan(200 * KiB)
})

test.each([0, 20])(
  'with %i ms of latency, a node that does not read holds the origin back, and costs the link no memory',
  async latencyMs => {
    let sent = 0
    const { link } = await lineTo(
      socket => {
        const chunk = Buffer.alloc(64 * KiB)
        const push = () => {
          while (socket.write(chunk)) sent += chunk.length
        }
        socket.on('drain', push)
        push()
      },
      { latencyMs },
    )
    const socket = await dial(link.port)
    socket.pause()
    let before = -1
    while (before !== sent) {
      before = sent
      await delay(200)
    }
    // Kernels take some MiB at each of the two hops; the link itself takes next to nothing.
    expect(sent - link.bytesDown).toBeLessThan(16 * MiB)
    expect(sent).toBeLessThan(32 * MiB)
  },
)

test('cutAll resets what is open; the next connection works', async () => {
  const { link, sockets } = await lineTo(echo)
  const socket = await dial(link.port)
  socket.write('x')
  await once(socket, 'data')
  link.cutAll()
  await closed(socket)
  await expect.poll(() => [...sockets].every(far => far.destroyed)).toBe(true)
  const next = await dial(link.port)
  next.end('y')
  expect((await readAll(next)).toString()).toBe('y')
})

test('a connection meets its fate after so many bytes of both ways, the others live', async () => {
  const fates = [10, undefined]
  const { link, sockets } = await lineTo(echo, { fate: () => fates.shift() })
  const [doomed, other] = [await dial(link.port), await dial(link.port)]
  doomed.write('1234')
  expect((await once(doomed, 'data')).toString()).toBe('1234')
  doomed.write('5678')
  await closed(doomed)
  await expect.poll(() => [...sockets].filter(far => far.destroyed)).toHaveLength(1)
  other.end('x'.repeat(100))
  expect(await readAll(other)).toHaveLength(100)
  expect([link.accepted, link.fated]).toEqual([2, 1])
})

test('a paused line carries nothing, and loses nothing', async () => {
  const { link } = await lineTo(echo)
  const socket = await dial(link.port)
  link.pause()
  socket.write('x')
  await delay(50)
  expect(link.bytesUp).toBe(0)
  link.resume()
  expect((await once(socket, 'data')).toString()).toBe('x')
})

test('a rate that changes counts at once', async () => {
  const { link } = await lineTo(echo, { bytesPerSecond: 1 })
  const socket = await dial(link.port)
  socket.write(Buffer.alloc(64 * KiB))
  await delay(20)
  link.setRate(undefined)
  socket.end()
  expect(await readAll(socket)).toHaveLength(64 * KiB)
})

test('what the origin sends can be altered on the way', async () => {
  const { link } = await lineTo(echo)
  link.tamper = chunk => Buffer.from(chunk.toString().toUpperCase())
  const socket = await dial(link.port)
  socket.end('abc')
  expect((await readAll(socket)).toString()).toBe('ABC')
})

test('an origin that is not there: the connection ends', async () => {
  const link = await openWanLink({ target: { host: '127.0.0.1', port: 1 } })
  stops.push(() => link.stop())
  const socket = await dial(link.port)
  await closed(socket)
})

test('stop ends everything, also while the line is paused, and also twice', async () => {
  const { link } = await lineTo(echo)
  const socket = await dial(link.port)
  link.pause()
  socket.write('x')
  await link.stop()
  await link.stop()
  await expect.poll(() => socket.destroyed).toBe(true)
})
