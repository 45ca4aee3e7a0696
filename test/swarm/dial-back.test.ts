/** A service that dials for others: what it can be made to do, and what it cannot. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { second } from '../../src/core/units.ts'
import { DialBack } from '../../src/swarm/dial-back.ts'
import { NeighbourLine } from '../../src/swarm/neighbour-line.ts'
import { Traffic } from '../../src/swarm/traffic.ts'
import { ManualClock } from '../support/manual-clock.ts'

/** Whoever is dialled. */
async function listening(host = '127.0.0.1') {
  const callers: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, socket => {
    callers.push(socket)
    socket.on('error', () => {})
  })
  server.listen(0, host)
  await once(server, 'listening')
  onTestFinished(() => {
    for (const caller of callers) caller.destroy()
    server.close()
  })
  return { server, callers, port: (server.address() as AddressInfo).port }
}

function dialBack(told: { readonly address: string; readonly port: number } | undefined, clock = new ManualClock()) {
  const asked: string[] = []
  const heard = (node: string) => {
    asked.push(node)
    return told
  }
  const service = new DialBack({ heard, line: new NeighbourLine(new Traffic(), 200), clock })
  onTestFinished(() => service.stop())
  return { service, asked, clock }
}

test('who has named its port by beacon is dialled there, and not a byte is said', async () => {
  const { server, port } = await listening()
  const { service, asked } = dialBack({ address: '127.0.0.1', port })
  const called = once(server, 'connection') as Promise<[Socket]>
  expect(await service.reach('pc-7', '127.0.0.1')).toBe('reached')
  expect(asked).toEqual(['pc-7'])
  const [caller] = await called
  expect((await buffer(caller)).length).toBe(0)
})

test('nobody listens there: refused', async () => {
  const { server, port } = await listening()
  server.close()
  await once(server, 'close')
  expect(await dialBack({ address: '127.0.0.1', port }).service.reach('pc-7', '127.0.0.1')).toBe('refused')
})

test('a beacon of another address, and no beacon at all: nobody is dialled, neither who asks nor whom it names', async () => {
  const victim = await listening()
  const elsewhere = dialBack({ address: '127.0.0.1', port: victim.port })
  expect(await elsewhere.service.reach('pc-7', '127.0.0.2')).toBe('unheard')
  expect(await dialBack(undefined).service.reach('pc-7', '127.0.0.1')).toBe('unheard')
  // A dial that was begun would have come before this one.
  expect(await elsewhere.service.reach('pc-7', '127.0.0.1')).toBe('reached')
  await expect.poll(() => victim.callers.length).toBe(1)
})

test('an asker who does not stop is dialled once in ten seconds, under whatever name', async () => {
  const { port, callers } = await listening()
  const { service, clock } = dialBack({ address: '127.0.0.1', port })
  const asking = Array.from({ length: 100 }, (_, at) => service.reach(`pc-${at}`, '127.0.0.1'))
  const outcomes = await Promise.all(asking)
  expect(outcomes.filter(outcome => outcome === 'busy')).toHaveLength(99)
  await clock.advance(10 * second - 1)
  expect(await service.reach('pc-7', '127.0.0.1')).toBe('busy')
  await clock.advance(1)
  expect(await service.reach('pc-7', '127.0.0.1')).toBe('reached')
  await expect.poll(() => callers.length).toBe(2)
})

test('many askers at once: two are dialled', async () => {
  const { port } = await listening('0.0.0.0')
  const clock = new ManualClock()
  const addresses = Array.from({ length: 10 }, (_, at) => `127.0.0.${at + 1}`)
  const service = new DialBack({
    heard: node => ({ address: node, port }),
    line: new NeighbourLine(new Traffic(), 200),
    clock,
  })
  onTestFinished(() => service.stop())
  const outcomes = await Promise.all(addresses.map(address => service.reach(address, address)))
  expect(outcomes).toEqual([...Array(2).fill('reached'), ...Array(8).fill('busy')])
})

test('a dial under way ends with the node', async () => {
  const { port } = await listening()
  const { service } = dialBack({ address: '127.0.0.1', port })
  const asking = service.reach('pc-7', '127.0.0.1')
  await service.stop()
  expect(await asking).toBe('unreachable')
})
