/** The endpoint for neighbours serves what it was given to serve, and is nobody's proxy. */
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { NeighbourLine } from '../../src/swarm/neighbour-line.ts'
import { startNeighbourServer } from '../../src/swarm/neighbour-server.ts'
import { allowNetworks } from '../../src/swarm/networks.ts'
import { Traffic } from '../../src/swarm/traffic.ts'
import { rawRequest } from '../support/origin-fixture.ts'
import { RawHttpServer, reply } from '../support/raw-http-server.ts'

async function serving(networks = ['127.0.0.0/8'], most = 200) {
  const traffic = new Traffic()
  const asked: string[] = []
  const find = async (path: string) => {
    asked.push(path)
    if (path === '/metadata/broken.json') throw new Error('the disk is gone')
    return path === '/metadata/timestamp.json' ? Buffer.from('{}') : undefined
  }
  const dialled: string[][] = []
  const reach = async (node: string, from: string) => {
    dialled.push([node, from])
    return 'timeout' as const
  }
  const open = { host: '127.0.0.1', port: 0, networks: allowNetworks(networks), line: new NeighbourLine(traffic, most) }
  const server = await startNeighbourServer({ ...open, find, reach })
  onTestFinished(() => server.stop())
  return { server, asked, dialled, traffic }
}

/** @returns All that it answers until it closes. */
function raw(port: number, request: string): Promise<string> {
  const socket = connect(port, '127.0.0.1', () => socket.write(request))
  socket.on('error', () => {})
  return text(socket).catch(() => '')
}

test('it shows what is there, and says 404 to the rest', async () => {
  const { server } = await serving()
  expect((await rawRequest(server.port, '/metadata/timestamp.json')).body.toString()).toBe('{}')
  expect((await rawRequest(server.port, '/metadata/../../etc/passwd')).status).toBe(404)
  expect(server.served).toBe(1)
})

test('a refresh takes one connection; nobody has one for more than sixty-four questions', async () => {
  const { server, asked } = await serving()
  const question = 'GET /metadata/timestamp.json HTTP/1.1\r\nHost: x\r\n\r\n'
  const said = await raw(server.port, question.repeat(100))
  expect(said.match(/HTTP\/1.1 200 /g)).toHaveLength(64)
  expect(asked).toHaveLength(64)
})

test('who asks to be dialled is known by where the question comes from, and hears one word', async () => {
  const { server, dialled } = await serving()
  const { body } = await rawRequest(server.port, '/reach/pc-7')
  expect(JSON.parse(body.toString())).toEqual({ outcome: 'timeout' })
  expect(dialled).toEqual([['pc-7', '127.0.0.1']])
  expect(server.served).toBe(0)
  for (const path of ['/reach/', '/reach/a/b', `/reach/${'x'.repeat(200)}`])
    expect((await rawRequest(server.port, path)).status).toBe(404)
  expect(
    await raw(server.port, 'POST /reach/pc-7 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'),
  ).toMatch(/ 404 /)
  expect(dialled).toHaveLength(1)
})

test('it forwards nothing: neither an absolute URL nor CONNECT reaches anybody', async () => {
  const { server, asked } = await serving()
  const victim = await RawHttpServer.start(socket => reply(socket, 200, 'secret'))
  onTestFinished(() => victim.stop())
  const answers = [
    await raw(server.port, `GET ${victim.url}/ HTTP/1.1\r\nHost: victim\r\nConnection: close\r\n\r\n`),
    await raw(server.port, `CONNECT 127.0.0.1:${victim.port} HTTP/1.1\r\nHost: victim\r\n\r\n`),
  ]
  for (const answer of answers) expect(answer).not.toContain('secret')
  expect(victim.accepted).toBe(0)
  expect(asked).toEqual([`${victim.url}/`])
})

test.each([
  ['a body', 'GET /metadata/timestamp.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nxx'],
  [
    'another method',
    'POST /metadata/timestamp.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
  ],
])('%s: 404, and nothing is looked up', async (_, request) => {
  const { server, asked } = await serving()
  expect(await raw(server.port, request)).toMatch(/^HTTP\/1.1 404 /)
  expect(asked).toEqual([])
})

test('a fault of our own ends the connection, and tells nothing', async () => {
  const { server } = await serving()
  expect(await raw(server.port, 'GET /metadata/broken.json HTTP/1.1\r\nHost: x\r\n\r\n')).toBe('')
})

test('who comes from outside our networks is not answered', async () => {
  const { server, asked } = await serving(['10.0.0.0/8'])
  expect(await raw(server.port, 'GET /metadata/timestamp.json HTTP/1.1\r\nHost: x\r\n\r\n')).toBe('')
  expect(asked).toEqual([])
})

test('one address opens many connections and says nothing: the ninth is closed', async () => {
  const { server } = await serving()
  const open = Array.from({ length: 8 }, () => connect(server.port, '127.0.0.1'))
  onTestFinished(() => {
    for (const socket of open) socket.destroy()
  })
  await Promise.all(open.map(socket => new Promise(resolve => socket.once('connect', resolve))))
  expect(await raw(server.port, 'GET /metadata/timestamp.json HTTP/1.1\r\nHost: x\r\n\r\n')).toBe('')
})

test('of few connections to neighbours in all, those who ask get some, and the exchange keeps the rest; all are counted', async () => {
  const { server, traffic } = await serving(undefined, 10)
  const open = Array.from({ length: 2 }, () => connect(server.port, '127.0.0.1'))
  onTestFinished(() => {
    for (const socket of open) socket.destroy()
  })
  await expect.poll(() => traffic.open('in', 'metadata')).toBe(2)
  const request = 'GET /metadata/timestamp.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
  expect(await raw(server.port, request)).toBe('')
  open.pop()!.destroy()
  await expect.poll(() => traffic.open('in', 'metadata')).toBe(1)
  const answer = await raw(server.port, request)
  expect(answer).toMatch(/\{\}$/)
  const { bytesIn, bytesOut } = traffic.sumOf('metadata')
  expect([bytesIn, bytesOut]).toEqual([request.length, answer.length])
  expect(traffic.view()).toMatchObject([{ peer: '127.0.0.1', bytesIn, bytesOut }])
})

test('the exchange has all connections: nobody may ask', async () => {
  const { server, traffic } = await serving(undefined, 10)
  const { port } = await RawHttpServer.start(() => {}).then(each => {
    onTestFinished(() => each.stop())
    return each
  })
  for (let at = 0; at < 6; at++) {
    const socket = connect(port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    traffic.watch('127.0.0.1', socket, 'out')
  }
  expect(await raw(server.port, 'GET /metadata/timestamp.json HTTP/1.1\r\nHost: x\r\n\r\n')).toBe('')
})

test('the port is taken: swarm_listen', async () => {
  const { server } = await serving()
  const again = {
    host: '127.0.0.1',
    port: server.port,
    networks: allowNetworks(['127.0.0.0/8']),
    line: new NeighbourLine(new Traffic(), 200),
    find: async () => undefined,
    reach: async () => 'busy' as const,
  }
  await expect(startNeighbourServer(again)).rejects.toMatchObject({ code: 'swarm_listen' })
})
