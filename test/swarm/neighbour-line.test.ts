/** Connections between neighbours: never more than configured, and a node's own questions find a place whatever comes in. */
import { connect, createServer, Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { NeighbourLine, ownQuestions } from '../../src/swarm/neighbour-line.ts'
import { type LanPurpose, Traffic } from '../../src/swarm/traffic.ts'

const never = new AbortController().signal

test('four questions at once; the next waits until one is through, and not beyond its patience', async () => {
  const line = new NeighbourLine(new Traffic(), 10)
  const gates = Array.from({ length: ownQuestions + 1 }, () => Promise.withResolvers<void>())
  let running = 0
  const asking = gates.map(({ promise }) =>
    line.run(async () => {
      running++
      await promise
    }, never),
  )
  const impatient = new AbortController()
  const given = line.run(async () => {}, impatient.signal)
  await new Promise(setImmediate)
  expect(running).toBe(ownQuestions)
  impatient.abort(new Error('enough'))
  await expect(given).rejects.toThrow('enough')
  gates[0]!.resolve()
  await asking[0]
  await expect.poll(() => running).toBe(ownQuestions + 1)
  for (const { resolve } of gates) resolve()
  await Promise.all(asking)
})

test('a question that fails gives its place back', async () => {
  const line = new NeighbourLine(new Traffic(), 10)
  for (let at = 0; at < 2 * ownQuestions; at++)
    await expect(line.run(() => Promise.reject(new Error('no')), never)).rejects.toThrow('no')
})

test('whatever comes in, the places for our own questions stay free', async () => {
  const traffic = new Traffic()
  const line = new NeighbourLine(traffic, 20)
  const admitted: boolean[] = []
  const server = createServer(socket => {
    admitted.push(line.admit('127.0.0.1', socket))
    onTestFinished(() => void socket.destroy())
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  for (let at = 0; at < 20; at++) {
    const socket = connect(port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
  }
  await expect.poll(() => admitted.length).toBe(20)
  expect(admitted.filter(Boolean)).toHaveLength(6) // 0.4 of 16
  expect(traffic.open()).toBe(6)
  expect(line.take()).toBe(true)
})

test('crowds at both doors: a tenth stays free for those that we dial, and each door opens to some', () => {
  const most = 100 + ownQuestions
  const socket = () => new Socket()
  const crowd = (first: LanPurpose) => {
    const traffic = new Traffic()
    const line = new NeighbourLine(traffic, most)
    const doors = {
      metadata: () => void line.admit('10.0.0.1', socket()),
      pieces: () => traffic.admits(100, 'pieces') && traffic.watch('10.0.0.1', socket(), 'in'),
    }
    for (const door of [doors[first], doors.pieces, doors.metadata]) for (let at = 0; at < 200; at++) door()
    return [traffic.open('in', 'pieces'), traffic.open('in', 'metadata')]
  }
  expect(crowd('pieces')).toEqual([80, 10])
  expect(crowd('metadata')).toEqual([50, 40])
})
