/** What the engine says on the wire, to a peer made of a bare socket. */
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { KiB, MiB, minute } from '../../../src/core/units.ts'
import { startNativeEngine } from '../../../src/swarm/native/engine.ts'
import type { Tuning } from '../../../src/swarm/native/tuning.ts'
import { makeArtifact } from '../../support/artifact.ts'
import { actAsSeeder, allPieces, message, type RawPeer } from '../../support/raw-peer.ts'
import { aWhile, eventually, holdsExactly, Lab } from '../contract/lab.ts'

const extendedAndFast = Buffer.from('0000000000100004', 'hex')
const fastOnly = Buffer.from('0000000000000004', 'hex')
const [suggest, haveAll, haveNone, reject] = [13, 14, 15, 16]

let lab: Lab
let tuning: Partial<Tuning> = {}
beforeEach(() => {
  tuning = {}
  lab = new Lab(options => startNativeEngine(options, tuning))
})
afterEach(() => lab.clear())

describe('larger blocks', () => {
  test.each([
    ['16 KiB of a client that says nothing', '', 16 * KiB],
    ['what a node says it serves', '7:sigmeshd5:blocki65536ee', 64 * KiB],
    ['never more than 256 KiB', '7:sigmeshd5:blocki9999999ee', 256 * KiB],
  ])('requests are for %s', async (_, said, expected) => {
    const fixture = makeArtifact({ length: 16 * MiB, pieceLength: 256 * KiB })
    const leecher = await lab.member(fixture, 'none')
    const peer = await lab.dial(leecher.address)
    peer.sendHandshake(fixture.artifact.infohash, undefined, extendedAndFast)
    peer.send(message.extended, Buffer.of(0), Buffer.from(`d1:mde${said}e`))
    peer.send(haveAll)
    peer.send(message.unchoke)
    // Who has not answered yet is asked for little.
    let request = await peer.take(message.request)
    expect(request.readUInt32BE(8)).toBe(16 * KiB)
    let largest = 0
    while (largest < expected) {
      const [piece, begin, length] = [0, 4, 8].map(at => request.readUInt32BE(at)) as [number, number, number]
      const at = piece * 256 * KiB + begin
      peer.send(message.piece, request.subarray(0, 8), fixture.content.subarray(at, at + length))
      request = await peer.take(message.request)
      largest = Math.max(largest, request.readUInt32BE(8))
    }
    expect(largest).toBe(expected)
  })

  test('a piece smaller than the agreed block is asked for whole', async () => {
    const fixture = makeArtifact({ length: MiB, pieceLength: 64 * KiB })
    const [seeder, leecher] = [await lab.member(fixture, 'all'), await lab.member(fixture, 'none')]
    leecher.swarm.addPeers([seeder.address])
    await leecher.swarm.completed()
    holdsExactly(leecher, fixture)
  })

  test('a block larger than was asked for is not even received', async () => {
    const fixture = makeArtifact({ length: MiB, pieceLength: 256 * KiB })
    const leecher = await lab.member(fixture, 'none')
    const peer = await lab.dial(leecher.address)
    peer.sendHandshake(fixture.artifact.infohash)
    peer.send(message.piece, 0, 0, Buffer.alloc(16 * KiB + 1))
    await peer.closed
  })
})

test('what has come is told within a second or so, also when nothing more comes and nothing else is said', async () => {
  const fixture = makeArtifact({ length: 48 * KiB, pieceLength: 64 * KiB })
  const leecher = await lab.member(fixture, 'none')
  const peer = await lab.dial(leecher.address)
  const answer = async () => {
    const request = await peer.take(message.request)
    const begin = request.readUInt32BE(4)
    const block = fixture.content.subarray(begin, begin + request.readUInt32BE(8))
    peer.send(message.piece, request.subarray(0, 8), block)
  }
  const receipt = () =>
    peer.until(() => {
      const at = peer.frames.findIndex(({ id, body }) => id === message.extended && body[0] === 7)
      return at >= 0 && peer.frames.splice(at, 1)[0]!.body.readUInt32BE(1)
    })
  peer.sendHandshake(fixture.artifact.infohash, undefined, extendedAndFast)
  peer.send(message.extended, Buffer.of(0), Buffer.from('d1:md10:sm_receipti7eee'))
  peer.send(haveAll)
  peer.send(message.unchoke)
  await answer()
  expect(await receipt()).toBe(16 * KiB)
  // The third block is asked for, too, and does not come: its sender may be waiting for this very receipt.
  await answer()
  expect(await receipt()).toBe(32 * KiB)
})

describe('what we have', () => {
  test.each([
    ['everything, to a fast peer', 'all', fastOnly, haveAll, ''],
    ['nothing, to a fast peer', 'none', fastOnly, haveNone, ''],
    ['a part, to a fast peer', [0, 9], fastOnly, message.bitfield, '8040'],
    ['everything, to a plain one', 'all', Buffer.alloc(8), message.bitfield, 'ffe0'],
  ] as const)('%s: the shortest way to say it', async (_, holds, reserved, id, body) => {
    const fixture = makeArtifact()
    const member = await lab.member(fixture, holds)
    const peer = await lab.dial(member.address)
    peer.sendHandshake(fixture.artifact.infohash, undefined, reserved)
    expect((await peer.take(id)).toString('hex')).toBe(body)
  })

  test('nothing, to a plain one: silence', async () => {
    const fixture = makeArtifact()
    const member = await lab.member(fixture, 'none')
    const peer = await lab.dial(member.address)
    peer.sendHandshake(fixture.artifact.infohash)
    await aWhile()
    expect(peer.frames).toEqual([])
  })

  test('a bitfield sent again counts for what is new in it: aria2 does so', async () => {
    const fixture = makeArtifact()
    const member = await lab.member(fixture, 'none')
    const peer = await lab.dial(member.address)
    peer.sendHandshake(fixture.artifact.infohash)
    peer.send(message.bitfield, Buffer.from('8000', 'hex'))
    peer.send(message.bitfield, Buffer.from('0040', 'hex'))
    await eventually(() => expect(member.swarm.peers()).toMatchObject([{ pieces: 2 }]))
  })

  /** A peer that has one piece, which has come from elsewhere now. */
  async function peerWithNothingMore(): Promise<RawPeer> {
    const fixture = makeArtifact()
    const member = await lab.member(fixture, 'none')
    const peer = await lab.dial(member.address)
    peer.sendHandshake(fixture.artifact.infohash)
    peer.send(message.bitfield, Buffer.from('8000', 'hex'))
    await peer.take(message.interested)
    await member.store.put(0, fixture.content.subarray(0, fixture.artifact.pieceLength))
    return peer
  }

  test('interest is withdrawn when there has been nothing to want for a while', async () => {
    tuning = { interestMs: 50, tickMs: 20 }
    const peer = await peerWithNothingMore()
    await peer.take(3)
  })

  test('interest is not withdrawn between two pieces, but at once behind the last', async () => {
    tuning = { tickMs: 20, interestMs: minute }
    const fixture = makeArtifact({ length: 3 * 64 * KiB, pieceLength: 64 * KiB })
    const member = await lab.member(fixture, 'none')
    const peer = await lab.dial(member.address)
    peer.sendHandshake(fixture.artifact.infohash)
    for (const piece of [0, 1, 2]) {
      peer.send(message.have, piece)
      await aWhile()
      await member.store.put(piece, fixture.content.subarray(piece * 64 * KiB, (piece + 1) * 64 * KiB))
      await aWhile()
    }
    await peer.take(message.interested)
    await peer.take(3)
    const said = peer.frames.map(({ id }) => id)
    expect(said.filter(id => id === message.interested || id === 3)).toEqual([])
  })

  test('a part of a block is no news: nothing is looked at until it is whole', async () => {
    const fixture = makeArtifact({ length: 16 * KiB, pieceLength: 16 * KiB })
    const member = await lab.member(fixture, 'none')
    const peer = await lab.dial(member.address)
    peer.sendHandshake(fixture.artifact.infohash, undefined, fastOnly)
    peer.send(haveAll)
    peer.send(message.unchoke)
    await peer.take(message.request)
    const turns = vi.spyOn(member.swarm as unknown as { onTurn(): void }, 'onTurn')
    const frame = Buffer.alloc(13 + 16 * KiB)
    frame.writeUInt32BE(frame.length - 4)
    frame[4] = message.piece
    fixture.content.copy(frame, 13)
    for (let at = 0; at < frame.length; at += KiB) {
      expect(turns).not.toHaveBeenCalled()
      peer.write(frame.subarray(at, at + KiB))
      await delay(2)
    }
    await member.swarm.completed()
    expect(turns).toHaveBeenCalledOnce()
    peer.write(Buffer.alloc(4)) // a keep-alive is none either
    await aWhile()
    expect(turns).toHaveBeenCalledOnce()
  })

  test('who has a piece is told that we have it by the clock, if by nothing else', async () => {
    tuning = { tickMs: 20, interestMs: minute }
    const peer = await peerWithNothingMore()
    expect((await peer.take(message.have)).readUInt32BE(0)).toBe(0)
  })
})

describe('requests to us', () => {
  async function fastLeecher(holds: 'all' | number[]): Promise<RawPeer> {
    const fixture = makeArtifact()
    const member = await lab.member(fixture, holds)
    const peer = await lab.dial(member.address)
    peer.sendHandshake(fixture.artifact.infohash, undefined, fastOnly)
    await peer.until(() => peer.handshake)
    return peer
  }

  test('while choked, and for what we lack: rejected by name, not passed over in silence', async () => {
    const peer = await fastLeecher([1])
    peer.send(message.request, 1, 0, 16 * KiB)
    expect((await peer.take(reject)).toString('hex')).toBe('000000010000000000004000')
    peer.send(message.interested)
    await peer.take(message.unchoke)
    peer.send(message.request, 2, 16 * KiB, 16 * KiB)
    expect((await peer.take(reject)).toString('hex')).toBe('000000020000400000004000')
    peer.send(message.request, 1, 0, 16 * KiB)
    expect(await peer.take(message.piece)).toHaveLength(8 + 16 * KiB)
  })

  test('for a block that cannot be: the connection ends', async () => {
    for (const [piece, begin, length] of [
      [11, 0, 1],
      [0, 32 * KiB - 1, 2],
      [0, 0, 0],
      [0, 0, 129 * KiB],
      [0xffffffff, 0xffffffff, 0xffffffff],
    ] as const) {
      const peer = await fastLeecher('all')
      peer.send(message.request, piece, begin, length)
      await peer.closed
    }
  })
})

describe('requests of ours', () => {
  test('what a peer rejects is not asked of it again, but of another', async () => {
    const fixture = makeArtifact()
    const leecher = await lab.member(fixture, 'none')
    const refuser = await lab.dial(leecher.address, '127.0.0.66')
    let asked = 0
    refuser.onFrame = ({ id, body }) => {
      if (id !== message.request) return
      asked++
      refuser.send(reject, body)
    }
    refuser.sendHandshake(fixture.artifact.infohash, undefined, fastOnly)
    refuser.send(haveAll)
    refuser.send(message.unchoke)
    await eventually(() => expect(asked).toBeGreaterThan(0))
    await aWhile()
    expect(asked).toBeLessThanOrEqual(2 * leecher.store.pieces)
    const honest = await lab.member(fixture, 'all')
    leecher.swarm.addPeers([honest.address])
    await leecher.swarm.completed()
    holdsExactly(leecher, fixture)
  })

  test('choked in the middle, it goes on elsewhere, and here after the unchoke', async () => {
    const fixture = makeArtifact()
    const leecher = await lab.member(fixture, 'none')
    let answers = 0
    const listener = await lab.listener('127.0.0.5', peer => {
      actAsSeeder(peer, fixture.artifact.infohash, leecher.store.pieces, (index, offset, length) => {
        if (++answers === 3) {
          peer.send(message.choke)
          setTimeout(() => peer.send(message.unchoke), 50)
        }
        const at = index * fixture.artifact.pieceLength + offset
        return answers === 3 ? undefined : fixture.content.subarray(at, at + length)
      })
    })
    leecher.swarm.addPeers([listener.address])
    await leecher.swarm.completed()
    holdsExactly(leecher, fixture)
  })
})

describe('hints', () => {
  const fixture = makeArtifact({ length: 4 * MiB, pieceLength: 512 * KiB })

  test('two peers are sent to different pieces, and one that does not know hints gets none', async () => {
    const seeder = await lab.member(fixture, 'all')
    const hinted: number[] = []
    for (const reserved of [fastOnly, fastOnly, Buffer.alloc(8)]) {
      const peer = await lab.dial(seeder.address)
      peer.sendHandshake(fixture.artifact.infohash, undefined, reserved)
      peer.send(message.interested)
      await peer.take(message.unchoke)
      peer.send(message.request, 0, 0, 16 * KiB)
      await peer.take(message.piece)
      hinted.push(...peer.frames.filter(({ id }) => id === suggest).map(({ body }) => body.readUInt32BE()))
    }
    // Piece 0 may have been hinted at before it was asked for, and then another comes in its place.
    expect(hinted.length).toBeGreaterThanOrEqual(4)
    expect(hinted.length).toBeLessThanOrEqual(5)
    expect(new Set(hinted).size).toBe(hinted.length)
  })

  test('what a peer hints at is what it is asked for first; hints at nothing do no harm', async () => {
    for (const piece of [2, 6]) {
      const leecher = await lab.member(fixture, 'none')
      const peer = await lab.dial(leecher.address)
      peer.sendHandshake(fixture.artifact.infohash, undefined, fastOnly)
      peer.send(haveAll)
      for (const each of [8, 2 ** 32 - 1, piece]) peer.send(suggest, each)
      peer.send(message.unchoke)
      expect((await peer.take(message.request)).readUInt32BE()).toBe(piece)
    }
  })
})

describe('time', () => {
  test('a silent peer is dropped, one that keeps alive is not; we keep alive ourselves', async () => {
    tuning = { silenceMs: 300, keepAliveMs: 50, tickMs: 20 }
    const fixture = makeArtifact()
    const seeder = await lab.member(fixture, 'all')
    const [silent, alive] = [await lab.dial(seeder.address, '127.0.0.4'), await lab.dial(seeder.address, '127.0.0.5')]
    for (const peer of [silent, alive]) peer.sendHandshake(fixture.artifact.infohash)
    const beat = setInterval(() => alive.write(Buffer.alloc(4)), 50)
    const heard = new Promise<void>(resolve => alive.socket.on('data', chunk => chunk.length === 4 && resolve()))
    await silent.closed
    expect(seeder.swarm.peers()).toMatchObject([{ address: { host: '127.0.0.5' } }])
    await heard
    clearInterval(beat)
  })

  test('a swarm where nothing has happened for long looks at the clock again as soon as somebody comes', async () => {
    tuning = { silenceMs: 100, tickMs: 20, calmAfterMs: 300, calmTickMs: 10 * minute }
    const fixture = makeArtifact()
    const member = await lab.member(fixture, 'all')
    await delay(500)
    const peer = await lab.dial(member.address)
    peer.sendHandshake(fixture.artifact.infohash)
    await peer.closed
  })

  test('a handshake that does not come is not waited for', async () => {
    tuning = { handshakeMs: 50 }
    const seeder = await lab.member(makeArtifact(), 'all')
    const slow = await lab.dial(seeder.address)
    slow.write(Buffer.from('\x13BitTorrent', 'latin1'))
    await slow.closed
  })

  test('a peer that takes nothing of what it asked for is dropped', async () => {
    tuning = { stuckMs: 100, tickMs: 20 }
    const fixture = makeArtifact({ length: 16 * MiB, pieceLength: MiB })
    const seeder = await lab.member(fixture, 'all')
    const stuck = await lab.dial(seeder.address)
    stuck.sendHandshake(fixture.artifact.infohash)
    stuck.send(message.interested)
    await stuck.take(message.unchoke)
    stuck.socket.pause()
    for (let piece = 0; piece < 16; piece++)
      for (let at = 0; at < MiB; at += 128 * KiB) stuck.send(message.request, piece, at, 128 * KiB)
    await eventually(() => expect(seeder.swarm.peers()).toEqual([]))
    expect(seeder.swarm.totals().bytesOut).toBeLessThan(16 * MiB)
  })

  test('a peer that trickles loses its requests to others, and its place in the end', async () => {
    tuning = { requestMs: 150, tickMs: 20 }
    const fixture = makeArtifact({ length: 2 * MiB })
    const leecher = await lab.member(fixture, 'none')
    const trickler = await lab.listener('127.0.0.66', peer => {
      peer.sendHandshake(fixture.artifact.infohash)
      peer.send(message.bitfield, allPieces(leecher.store.pieces))
      peer.send(message.unchoke)
      peer.onFrame = ({ id, body }) => {
        if (id !== message.request || peer.frames.length > 0) return
        peer.frames.push({ id, body })
        peer.write(Buffer.concat([Buffer.from([0, 0, 0x40, 9, message.piece]), body.subarray(0, 8)]))
        const drip = setInterval(() => peer.write(Buffer.of(0)), 20)
        peer.socket.once('close', () => clearInterval(drip))
      }
    })
    leecher.swarm.addPeers([trickler.address])
    await eventually(() => expect(trickler.peers[0]?.frames).toHaveLength(1))
    const honest = await lab.member(fixture, 'all')
    leecher.swarm.addPeers([honest.address])
    await leecher.swarm.completed()
    holdsExactly(leecher, fixture)
  })

  test('alone with a peer that trickles: it is dropped, not waited for for ever', async () => {
    tuning = { requestMs: 60, tickMs: 20 }
    const fixture = makeArtifact()
    const leecher = await lab.member(fixture, 'none')
    const mute = await lab.listener('127.0.0.66', peer =>
      actAsSeeder(peer, fixture.artifact.infohash, 11, () => undefined),
    )
    leecher.swarm.addPeers([mute.address])
    await eventually(() => expect(mute.peers[0]?.socket.destroyed).toBe(true))
  })
})
