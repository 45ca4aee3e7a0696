/** What is served to whom, in which order, and what it costs. */
import { afterEach, describe, expect, test } from 'vitest'
import { StoreError } from '../../../src/core/errors.ts'
import { KiB, MiB } from '../../../src/core/units.ts'
import { Limiter } from '../../../src/swarm/limits/limiter.ts'
import type { Block } from '../../../src/swarm/native/partial-piece.ts'
import { type Slab, SlabCache, slabBytes } from '../../../src/swarm/native/slab-cache.ts'
import { queueLimit, type Requester, type ServedBlock, Uploads } from '../../../src/swarm/native/upload.ts'
import { type ArtifactFixture, makeArtifact } from '../../support/artifact.ts'
import { MemoryPieceStore } from '../../support/memory-piece-store.ts'

const block = 16 * KiB
const fixture = makeArtifact({ length: 4 * MiB + 3, pieceLength: MiB })

class CountingStore extends MemoryPieceStore {
  reads = 0
  override async read(index: number, offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    this.reads++
    const bytes = await super.read(index, offset, length)
    if (!into) return bytes
    into.set(bytes)
    return into.subarray(0, length)
  }
}

class FakeRequester implements Requester {
  ready = true
  readonly served: Block[] = []
  readonly refused: Block[] = []
  readonly unwritten: (() => void)[] = []
  readonly content: Buffer

  constructor({ content }: ArtifactFixture) {
    this.content = content
  }

  sendBlocks(served: readonly ServedBlock[], onWritten: () => void): void {
    for (const { piece, begin, length, bytes } of served) {
      const at = piece * MiB + begin
      expect(Buffer.concat(bytes).equals(this.content.subarray(at, at + length))).toBe(true)
      this.served.push({ piece, begin, length })
    }
    this.unwritten.push(onWritten)
  }

  refuse(refused: Block): void {
    this.refused.push(refused)
  }

  drain(): void {
    for (const written of this.unwritten.splice(0)) written()
  }
}

const started: Uploads[] = []
afterEach(() => {
  for (const uploads of started.splice(0)) uploads.stop()
})

function lab(bytesPerSecond = Infinity, now = () => performance.now()) {
  const store = new CountingStore(fixture.artifact, fixture.pieceHashes)
  for (let piece = 0; piece < store.pieces; piece++)
    void store.put(piece, fixture.content.subarray(piece * MiB, (piece + 1) * MiB))
  const uploads = new Uploads({
    store,
    limiter: new Limiter(bytesPerSecond),
    availability: () => 0,
    now,
  })
  started.push(uploads)
  return { store, uploads, peer: () => new FakeRequester(fixture) }
}

const settled = () => new Promise(resolve => setTimeout(resolve, 20))

/** @returns What is sent to the peers, in that order, for whoever plays a slow cable: their sockets take all of it at once. */
function cableTo(uploads: Uploads, peers: readonly FakeRequester[]) {
  const cable: { peer: FakeRequester; length: number }[] = []
  for (const peer of peers) {
    const sendBlocks = peer.sendBlocks.bind(peer)
    peer.sendBlocks = (served, onWritten) => {
      sendBlocks(served, onWritten)
      for (const { length } of served) cable.push({ peer, length })
      peer.drain()
    }
    uploads.flight.track(peer, 0)
  }
  return cable
}

describe('uploads', () => {
  test('every request is answered once, in order, with the right bytes', async () => {
    const { uploads, peer } = lab()
    const ann = peer()
    await settled()
    const wanted: Block[] = [
      { piece: 0, begin: 0, length: block },
      { piece: 3, begin: MiB - block, length: block },
      { piece: 1, begin: slabBytes - 5, length: 10 }, // across two slabs
      { piece: 4, begin: 0, length: 3 },
      { piece: 2, begin: 128 * KiB, length: 128 * KiB },
    ]
    for (const each of wanted) uploads.request(ann, each)
    uploads.pump()
    await settled()
    expect(ann.served).toEqual(wanted)
    expect(uploads.bytesOut).toBe(wanted.reduce((sum, { length }) => sum + length, 0))
  })

  test('ten peers that want the same piece cost the reads of one', async () => {
    const { store, uploads, peer } = lab()
    await settled()
    const peers = Array.from({ length: 10 }, peer)
    for (const each of peers)
      for (let begin = 0; begin < MiB; begin += block) uploads.request(each, { piece: 1, begin, length: block })
    uploads.pump()
    await settled()
    expect(peers.map(each => each.served.length)).toEqual(peers.map(() => 64))
    expect(store.reads).toBe(4)
  })

  test('a peer that asks for much does not keep one that asks for little waiting', async () => {
    const { uploads, peer } = lab(2 * MiB)
    await settled()
    const [greedy, modest] = [peer(), peer()]
    for (let n = 0; n < 60; n++) uploads.request(greedy, { piece: 0, begin: n * block, length: block })
    for (let n = 0; n < 4; n++) uploads.request(modest, { piece: 0, begin: n * block, length: block })
    uploads.pump()
    await expect.poll(() => modest.served.length).toBe(4)
    expect(greedy.served.length).toBeLessThan(60)
    await expect.poll(() => greedy.served.length).toBe(60)
  })

  test('a block for which there is not room goes alone, and no other behind it until it has arrived', async () => {
    const { uploads, peer } = lab()
    await settled()
    const peers = [peer(), peer(), peer()]
    for (const each of peers) {
      uploads.flight.track(each, 0)
      uploads.request(each, { piece: 0, begin: 0, length: 192 * KiB })
    }
    for (let sent = 1; sent <= 3; sent++) {
      uploads.pump()
      await settled()
      expect(peers.flatMap(each => each.served)).toHaveLength(sent)
      for (const each of peers) if (each.served.length > 0) uploads.flight.receipt(each, 192 * KiB)
    }
  })

  test('two who ask for small blocks of a slow cable, so that it is never empty, do not shut out one who asks for large ones', async () => {
    const clock = { now: 0 }
    const { uploads, peer } = lab(Infinity, () => clock.now)
    await settled()
    const large = peer()
    const others = [peer(), peer()]
    const cable = cableTo(uploads, [large, ...others])
    const got = new Map([large, ...others].map(each => [each, 0]))
    const pieceOf = new Map([...got.keys()].map((each, piece) => [each, piece]))
    for (; clock.now < 40_000; clock.now += 100) {
      for (const each of got.keys()) {
        const length = each === large ? 256 * KiB : block
        for (let at = uploads.waiting(each); at < 40; at++)
          uploads.request(each, { piece: pieceOf.get(each)!, begin: 0, length })
      }
      uploads.pump()
      await new Promise(setImmediate)
      for (let left = 12_500; left > 0 && cable[0]; ) {
        const bytes = Math.min(left, cable[0].length)
        left -= bytes
        cable[0].length -= bytes
        got.set(cable[0].peer, got.get(cable[0].peer)! + bytes)
        if (cable[0].length === 0) cable.shift()
      }
      for (const [each, total] of got) uploads.flight.receipt(each, total)
    }
    const fair = [...got.values()].reduce((sum, bytes) => sum + bytes, 0) / got.size
    expect(got.get(large)).toBeGreaterThan(fair / 4)
  })

  test('where the cable carries no more, a piece that only this node has leaves it whole before anybody gets it twice', async () => {
    const { uploads, peer } = lab()
    await settled()
    const peers = [peer(), peer(), peer()]
    for (const each of peers) {
      uploads.flight.track(each, 0)
      for (let begin = 0; begin < MiB; begin += 64 * KiB) uploads.request(each, { piece: 0, begin, length: 64 * KiB })
    }
    const bytes = (each: FakeRequester) => each.served.reduce((sum, { length }) => sum + length, 0)
    const receipted = new Map<FakeRequester, number>()
    // A cable that carries 64 KiB each time: whoever has something under way gets that much of it.
    for (let round = 0; round < 200 && !peers.some(each => bytes(each) === MiB); round++) {
      uploads.pump()
      await settled()
      const next = peers.find(each => bytes(each) > (receipted.get(each) ?? 0))
      if (!next) continue
      receipted.set(next, (receipted.get(next) ?? 0) + 64 * KiB)
      uploads.flight.receipt(next, receipted.get(next)!)
    }
    const [most, ...others] = peers.map(bytes).sort((a, b) => b - a)
    expect(most).toBe(MiB)
    expect(others[0]! + others[1]!).toBeLessThan(MiB)
  })

  test('who asks for a little of every piece, over and over, does not have the others wait for ever', async () => {
    const clock = { now: 0 }
    const { uploads, peer } = lab(Infinity, () => clock.now)
    await settled()
    const [hostile, honest] = [peer(), peer()]
    const cable = cableTo(uploads, [hostile, honest])
    const receipted = new Map([hostile, honest].map(each => [each, 0]))
    for (let at = 0; at < 128; at++)
      uploads.request(honest, { piece: at >> 6, begin: (at % 64) * block, length: block })
    // 64 KiB each 100 ms, for a minute: two pieces are a thirtieth of that.
    let asked = 0
    for (; clock.now < 60_000 && honest.served.length < 128; clock.now += 100) {
      while (uploads.waiting(hostile) < 100) uploads.request(hostile, { piece: asked++ % 5, begin: 0, length: 3 })
      for (let more = 0; more < 64; more++) uploads.request(hostile, { piece: more % 4, begin: 0, length: block })
      uploads.pump()
      await new Promise(setImmediate)
      for (let carried = 0; carried < 64 * KiB && cable.length > 0; ) {
        const { peer, length } = cable.shift()!
        carried += length
        receipted.set(peer, receipted.get(peer)! + length)
      }
      for (const [each, total] of receipted) uploads.flight.receipt(each, total)
    }
    expect(honest.served).toHaveLength(128)
  })

  test('a peer that is found not to read while it is being sent to leaves nothing behind', async () => {
    const { uploads, peer } = lab()
    await settled()
    const ann = peer()
    ann.sendBlocks = (_, onWritten) => {
      onWritten()
      ann.ready = false
      uploads.forget(ann)
    }
    for (let n = 0; n < 60; n++) uploads.request(ann, { piece: 0, begin: n * block, length: block })
    uploads.pump()
    await settled()
    expect(uploads.waiting(ann)).toBe(0)
  })

  test('beyond its queue a peer is refused, and one that does not read is passed over', async () => {
    const { uploads, peer } = lab()
    await settled()
    const [glutton, other] = [peer(), peer()]
    glutton.ready = false
    for (let n = 0; n < 10_000; n++) uploads.request(glutton, { piece: n % 4, begin: 0, length: block })
    uploads.request(other, { piece: 0, begin: 0, length: block })
    uploads.pump()
    await settled()
    expect(glutton.refused).toHaveLength(10_000 - queueLimit)
    expect([uploads.waiting(glutton), glutton.served.length, other.served.length]).toEqual([queueLimit, 0, 1])
    uploads.forget(glutton)
    expect(uploads.waiting(glutton)).toBe(0)
  })

  test('what is cancelled or choked away is refused and not sent', async () => {
    const { uploads, peer } = lab()
    await settled()
    const ann = peer()
    const blocks = [0, 1, 2].map(n => ({ piece: 0, begin: n * block, length: block }))
    for (const each of blocks) uploads.request(ann, each)
    uploads.cancel(ann, blocks[1]!)
    uploads.cancel(ann, { piece: 0, begin: 0, length: 1 })
    expect(ann.refused).toEqual([blocks[1]])
    uploads.choke(ann)
    expect(ann.refused).toEqual([blocks[1], blocks[0], blocks[2]])
    uploads.pump()
    await settled()
    expect(ann.served).toEqual([])
  })

  test('a piece that is not there is refused; so is one that the disk does not give, and the next one is served', async () => {
    const { store, uploads, peer } = lab()
    await settled()
    const ann = peer()
    store.have.clear(2)
    uploads.request(ann, { piece: 2, begin: 0, length: block })
    expect(ann.refused).toHaveLength(1)
    store.readFault = new StoreError('disk_failed', 'EIO')
    uploads.request(ann, { piece: 0, begin: 0, length: block })
    uploads.pump()
    await settled()
    expect(ann.refused).toHaveLength(2)
    store.readFault = undefined
    uploads.request(ann, { piece: 0, begin: 0, length: block })
    uploads.pump()
    await settled()
    expect(ann.served).toHaveLength(1)
  })
})

describe('the slab cache', () => {
  test('memory is used again only when no socket sends from it', async () => {
    const { store } = lab()
    await settled()
    const cache = new SlabCache(store, 1)
    const memory = async (begin: number): Promise<[Uint8Array, readonly Slab[]]> => {
      await cache.load(0, begin, block)
      const loan = cache.borrow(0, begin, block)!
      return [loan.bytes[0]!, loan.slabs]
    }
    const [first, lent] = await memory(0)
    const before = Buffer.from(first)
    const [second, lentToo] = await memory(slabBytes) // the first is out of the cache, and still lent
    expect(second.buffer).not.toBe(first.buffer)
    expect(before.equals(first)).toBe(true)
    cache.giveBack(lentToo)
    cache.giveBack(lent)
    const [third] = await memory(2 * slabBytes)
    expect(third.buffer).toBe(first.buffer)
  })

  test('the least recently used leaves first', async () => {
    const { store } = lab()
    await settled()
    const cache = new SlabCache(store, 2)
    await cache.load(0, 0, 1)
    await cache.load(1, 0, 1)
    cache.giveBack(cache.borrow(0, 0, 1)!.slabs)
    await cache.load(2, 0, 1)
    expect([0, 1, 2].map(piece => cache.borrow(piece, 0, 1) !== undefined)).toEqual([true, false, true])
  })

  test('who asks while it is being read waits for the same read', async () => {
    const { store } = lab()
    await settled()
    const cache = new SlabCache(store, 2)
    await Promise.all([1, 2, 3].map(() => cache.load(0, 0, block)))
    expect(store.reads).toBe(1)
  })
})
