import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Wire } from 'webtorrent'
import { KiB, MiB } from '../../../src/core/units.ts'
import { unlimited } from '../../../src/swarm/engine.ts'
import { Checkpoint } from '../../../src/swarm/webtorrent/checkpoint.ts'
import { makeArtifact } from '../../support/artifact.ts'
import { MemoryPieceStore } from '../../support/memory-piece-store.ts'
import { uint32 } from '../../support/raw-peer.ts'

const fixture = makeArtifact({ length: 4 * MiB })
const handshake = Buffer.concat([
  Buffer.from('\x13BitTorrent protocol', 'latin1'),
  Buffer.alloc(8),
  Buffer.from(fixture.artifact.infohash, 'hex'),
  Buffer.alloc(20, 'p'),
])
const requestBytes = 17
const request = (block: number, kind = 6) =>
  Buffer.concat([uint32(13), Buffer.of(kind), uint32(block >> 1), uint32((block & 1) * 16 * KiB), uint32(16 * KiB)])

/** A checkpoint past the handshake, and as much of a wire as it looks at: one that answers nothing. */
async function checkpoint(store = MemoryPieceStore.full(fixture)) {
  const subject = new Checkpoint({ admit: () => true, joined: () => ({ store, limits: unlimited() }) })
  const wire = { peerRequests: [] as Buffer[], _readableState: { buffered: 0 } }
  let failure: Error | undefined
  subject.inbound.on('error', error => {
    failure = error
  })
  subject.outbound.resume()
  subject.inbound.write(handshake)
  await turn()
  subject.inbound.read()
  subject.inbound.on('data', (bytes: Buffer) => {
    for (let at = 0; at < bytes.length; at += requestBytes)
      wire.peerRequests.push(bytes.subarray(at, at + requestBytes))
  })
  const ask = async (...blocks: number[]) => {
    subject.inbound.write(Buffer.concat(blocks.map(block => request(block))))
    await turn()
    await turn()
  }
  return { subject, wire, ask, attach: () => subject.attach(wire as unknown as Wire), failure: () => failure }
}

test('requests wait until the connection is welcome, then go on sixteen at a time', async () => {
  const { subject, wire, ask, attach } = await checkpoint()
  await ask(...Array(40).keys())
  expect(wire.peerRequests).toHaveLength(0)
  attach()
  await turn()
  expect(wire.peerRequests.map(bytes => bytes.toString('hex'))).toEqual(
    [...Array(16).keys()].map(block => request(block).toString('hex')),
  )
  wire.peerRequests.splice(0, 10) // ten answers leave
  subject.outbound.write(Buffer.alloc(100))
  await turn()
  await turn()
  expect(wire.peerRequests.at(-1)!.equals(request(25))).toBe(true)
  expect(wire.peerRequests).toHaveLength(16)
})

test('while answers wait for the socket nothing is handed on, however few are open', async () => {
  const { subject, wire, ask, attach, failure } = await checkpoint()
  attach()
  wire._readableState.buffered = 300 * KiB
  await ask(1, 2, 3)
  expect(wire.peerRequests).toHaveLength(0)
  wire._readableState.buffered = 0
  subject.outbound.write(Buffer.alloc(100))
  await turn()
  await turn()
  expect(wire.peerRequests).toHaveLength(3)
  expect(failure()).toBeUndefined()
})

test('a request that is withdrawn while it waits is never handed on', async () => {
  const { subject, wire, ask, attach } = await checkpoint()
  await ask(1, 2, 3)
  subject.inbound.write(request(2, 8))
  await turn()
  attach()
  await turn()
  expect(wire.peerRequests.map(bytes => bytes.toString('hex'))).toEqual(
    [1, 3].map(block => request(block).toString('hex')),
  )
})

test('a piece that is not there is not asked for', async () => {
  const { wire, ask, attach } = await checkpoint(MemoryPieceStore.of(fixture, [1]))
  attach()
  await ask(0, 2, 5)
  expect(wire.peerRequests.map(bytes => bytes.toString('hex'))).toEqual([request(2).toString('hex')])
})

test('a peer with more than 1,000 requests waiting is hung up on', async () => {
  const { ask, failure } = await checkpoint()
  await ask(...Array(200).keys())
  for (let round = 0; round < 4; round++) await ask(...Array(200).keys())
  expect(failure()).toBeUndefined()
  await ask(0)
  expect(failure()?.message).toMatch(/requests open/)
})

test('a peer that reads nothing is hung up on before much is kept for it', async () => {
  const { wire, ask, attach, failure } = await checkpoint()
  attach()
  wire._readableState.buffered = 2 * MiB + 1
  await ask(1)
  expect(failure()?.message).toMatch(/does not read/)
})

test('a frame that breaks the protocol ends the connection, not the process', async () => {
  const { subject, failure } = await checkpoint()
  subject.inbound.write(uint32(2 ** 31))
  await turn()
  expect(failure()?.message).toMatch(/announces/)
})
