import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { pieceCount, pieceSize } from '../../src/core/artifact.ts'
import { StoreError } from '../../src/core/errors.ts'
import { silentLog } from '../../src/core/log.ts'
import { KiB, MiB, second } from '../../src/core/units.ts'
import { OpeningStore } from '../../src/store/opening-store.ts'
import { Limiter } from '../../src/swarm/limits/limiter.ts'
import { OriginClient } from '../../src/swarm/origin-client.ts'
import { electedPieces } from '../../src/swarm/seats/election.ts'
import { holdSeat } from '../../src/swarm/wan-slice.ts'
import { type ArtifactFixture, makeArtifact } from '../support/artifact.ts'
import { FakeOrigin } from '../support/fake-origin.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { MemoryPieceStore } from '../support/memory-piece-store.ts'
import { reply } from '../support/raw-http-server.ts'
import { scaledClock } from '../support/scaled-clock.ts'

const pieceLength = 16 * KiB
const fixture = makeArtifact({ length: 20 * pieceLength + 100, pieceLength })
const { artifact, content } = fixture
const pieces = pieceCount(artifact)

const started: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const part of started.splice(0).reverse()) await part.stop()
})

interface Site {
  readonly stored?: Iterable<number>
  readonly of?: ArtifactFixture
  readonly neighbours?: readonly string[]
  /** The store is not open yet. */
  readonly opening?: OpeningStore
  /** Arrange the origin before the node asks. */
  readonly origin?: (origin: FakeOrigin) => void
}

/** A node with a real client against a fake origin; its pauses are fifty times as short. */
async function site({ stored = [], of = fixture, neighbours = [], opening, origin: arrange }: Site = {}) {
  const origin = await FakeOrigin.start(of)
  started.push(origin)
  arrange?.(origin)
  const store = MemoryPieceStore.of(of, stored)
  const clock = scaledClock(50)
  const client = new OriginClient(origin.server.url)
  /** Pieces that were stored already when they were asked for. */
  const again: number[] = []
  const holder = holdSeat({
    artifact: of.artifact,
    limiter: new Limiter(),
    node: 'pc-7',
    site: 'berlin',
    lanAddress: () => '10.0.0.9',
    client: {
      seats: (...args) => client.seats(...args),
      fetchRange: (path, range, length, options) => {
        const first = Math.floor(range.start / pieceLength)
        for (let piece = first; piece * pieceLength < range.end; piece++) if (store.have.has(piece)) again.push(piece)
        return client.fetchRange(path, range, length, options)
      },
    },
    path: '/targets/x.pack',
    store: opening ?? store,
    neighbours: () => neighbours,
    clock,
    random: () => 0.5,
    log: silentLog,
  })
  started.push(client, holder, { stop: async () => opening?.failed(new Error('the test is over')) })
  return { origin, store, holder, client, clock, again }
}

const complete = (store: MemoryPieceStore) =>
  expect.poll(() => store.have.complete, { timeout: 10_000, interval: 5 }).toBe(true)
const put = (store: MemoryPieceStore, piece: number) =>
  store.put(piece, content.subarray(piece * pieceLength, piece * pieceLength + pieceSize(artifact, piece)))
const bytesAsked = (origin: FakeOrigin) => origin.ranges.reduce((sum, [start, end]) => sum + end - start, 0)

/** What was sent before has arrived by then, also on a busy machine. */
const settle = () => new Promise(resolve => setTimeout(resolve, 200))

test('alone in its site, a node gets everything, once, in runs', async () => {
  const { origin, store, holder } = await site()
  await complete(store)
  expect(store.content().equals(content)).toBe(true)
  expect(bytesAsked(origin)).toBe(content.length)
  expect(origin.strays).toEqual([])
  expect(origin.ranges.length).toBeLessThanOrEqual(Math.ceil(pieces / 2) + 1)
  expect(holder.view()).toMatchObject({ bytesWan: content.length, bytesWasted: 0, lastError: null })
})

test('the origin hears where the node is in the LAN', async () => {
  const { origin } = await site()
  await expect.poll(() => origin.heard.at(0)?.lan).toBe('10.0.0.9')
})

test('an artifact of one byte', async () => {
  const of = makeArtifact({ length: 1, pieceLength })
  const { store } = await site({ of })
  await complete(store)
})

test('what the disk has already is not fetched', async () => {
  const stored = [0, 2, 4, 6, 7, 10, 12, 14, 16, pieces - 1]
  const { origin, store } = await site({ stored })
  await complete(store)
  const before = stored.reduce((sum, piece) => sum + pieceSize(artifact, piece), 0)
  expect(bytesAsked(origin)).toBe(content.length - before)
  expect(origin.ranges.length).toBeGreaterThanOrEqual(8)
  // A run that is through leaves its connection to the next: two for the ranges, two for the talk.
  expect(origin.server.accepted).toBeLessThanOrEqual(4)
})

test('the whole deal in one answer is one request', async () => {
  const { origin, store } = await site({
    origin: origin => {
      origin.runLength = pieces
    },
  })
  await complete(store)
  expect(origin.ranges).toEqual([[0, content.length]])
})

test('the next run is asked for before the last is done, and fetched beside it', async () => {
  const held: (() => void)[] = []
  const { origin, store } = await site({
    origin: origin => {
      origin.nextMs = 600_000
      // The last piece of the first range comes only when the second range has been asked for.
      origin.onRange = (socket, start, end) => {
        if (start > 0) {
          for (const go of held.splice(0)) go()
          return false
        }
        const headers = { 'content-length': String(end), 'content-range': `bytes 0-${end - 1}/${content.length}` }
        const late = end - 10
        reply(socket, 206, content.subarray(0, late), headers)
        held.push(() => void socket.write(content.subarray(late, end)))
        return true
      }
    },
  })
  await complete(store)
  expect(bytesAsked(origin)).toBe(content.length)
})

describe('hold', () => {
  test('complete at the start: says so, asks for no seat, and repeats it from time to time', async () => {
    const { origin, holder } = await site({ stored: Array(pieces).keys() })
    await expect.poll(() => origin.heard.length).toBeGreaterThanOrEqual(3)
    expect(origin.heard.every(({ want, have, seat }) => !want && have.complete && seat === undefined)).toBe(true)
    expect(holder.view().seat).toBeNull()
    expect(origin.ranges).toEqual([])
  })

  test('complete at the start: who became so in the same second as others does not say so in the same second', async () => {
    const clock = new ManualClock()
    let words = 0
    const holder = holdSeat({
      artifact,
      limiter: new Limiter(),
      node: 'pc-7',
      site: 'berlin',
      lanAddress: () => '10.0.0.9',
      client: {
        seats: async () => {
          words++
          return { seat: null, pieces: [], leaseMs: 1000, nextMs: 60_000, siteHolds: pieces }
        },
        fetchRange: () => Promise.reject(new Error('nothing is to be fetched')),
      },
      path: '/targets/x.pack',
      store: MemoryPieceStore.of(
        fixture,
        Array.from({ length: pieces }, (_, piece) => piece),
      ),
      neighbours: () => [],
      clock,
      random: () => 0.5,
      log: silentLog,
    })
    started.push(holder)
    await clock.advance(2400)
    expect(words).toBe(0)
    await clock.advance(200)
    expect(words).toBe(1)
  })

  test('complete in the end: gives the seat back at once', async () => {
    const { origin, store, holder } = await site({
      origin: origin => {
        origin.nextMs = 600_000
      },
    })
    await complete(store)
    await expect.poll(() => origin.heard.at(-1)?.want).toBe(false)
    expect(origin.heard.at(-1)?.seat).toBeDefined()
    await expect.poll(() => holder.view().seat).toBeNull()
  })

  test('complete in the end without a seat: nothing to give back, so it is said when it is time to ask', async () => {
    const { origin, store } = await site({
      origin: origin => {
        origin.runLength = 0
        origin.nextMs = 10_000 // 200 ms
      },
    })
    await expect.poll(() => origin.heard.length).toBe(1)
    for (let piece = 0; piece < pieces; piece++)
      await store.put(piece, content.subarray(piece * pieceLength, piece * pieceLength + pieceSize(artifact, piece)))
    await new Promise(resolve => setTimeout(resolve, 50))
    expect(origin.heard).toHaveLength(1)
    await expect.poll(() => origin.heard.at(-1)?.want).toBe(false)
  })
})

describe('while the store is being opened', () => {
  const closed = () => new OpeningStore(artifact)

  test('it asks and fetches; what has come is stored when the store is there, and nothing of it is fetched again', async () => {
    const opening = closed()
    const { origin, store, holder } = await site({ opening })
    await expect.poll(() => holder.view().bytesWan).toBeGreaterThanOrEqual(pieceLength)
    await settle()
    expect(store.have.count).toBe(0)
    opening.opened(store)
    await complete(store)
    expect(store.content().equals(content)).toBe(true)
    expect(bytesAsked(origin)).toBe(content.length)
    expect(origin.strays).toEqual([])
    expect(holder.view()).toMatchObject({ bytesWan: content.length, bytesWasted: 0 })
    // A neighbour's last piece would be heard of, too.
    await expect.poll(() => origin.heard.at(-1)?.want).toBe(false)
  })

  test('a piece waits in memory, and the origin with the next', async () => {
    const of = makeArtifact({ length: 64 * MiB, pieceLength: MiB })
    const twoRuns = (origin: FakeOrigin) => {
      origin.runLength = 63
      origin.kept.add(30)
    }
    const { holder, origin } = await site({ of, opening: new OpeningStore(of.artifact), origin: twoRuns })
    // A run that brings nothing for a while holds up no other: the second lane begins, and waits as well.
    await expect.poll(() => origin.ranges.length, { timeout: 10_000 }).toBe(2)
    await expect.poll(() => holder.view().bytesWan).toBeGreaterThanOrEqual(2 * MiB)
    await settle()
    // One piece for each lane, and what came with its end.
    expect(holder.view().bytesWan).toBeLessThan(2 * (MiB + 256 * KiB))
  })

  test('all of it was on the disk: the seat is given back', async () => {
    const opening = closed()
    const { origin, store, holder } = await site({ opening, stored: Array(pieces).keys() })
    await expect.poll(() => holder.view().bytesWan).toBeGreaterThanOrEqual(pieceLength)
    opening.opened(store)
    await expect.poll(() => origin.heard.at(-1)).toMatchObject({ want: false, seat: expect.any(String) })
    expect(store.puts).toMatchObject({ stored: 0, refused: 0 })
    const { bytesWan, bytesWasted } = holder.view()
    expect(bytesWan).toBe(0)
    expect(bytesWasted).toBeGreaterThanOrEqual(pieceLength)
  })

  test('some of it was on the disk: only the rest is fetched', async () => {
    const opening = closed()
    const { store, holder } = await site({ opening, stored: [0, 1, 5] })
    await expect.poll(() => holder.view().bytesWan).toBeGreaterThanOrEqual(pieceLength)
    opening.opened(store)
    await complete(store)
    expect(store.puts).toMatchObject({ stored: pieces - 3, refused: 0 })
    expect(holder.view().bytesWan).toBe(content.length - 3 * pieceLength)
    // What was dealt at first, before it could say what it has.
    expect(holder.view().bytesWasted).toBeLessThanOrEqual(3 * pieceLength)
  })

  test('it does not open: the holder stops all the same, and asks for nothing more', async () => {
    const opening = closed()
    const { origin, holder } = await site({ opening })
    await expect.poll(() => holder.view().bytesWan).toBeGreaterThanOrEqual(pieceLength)
    const stopped = holder.stop()
    opening.failed(new StoreError('disk_full', 'no room'))
    await stopped
    const asked = origin.server.requests.length
    await settle()
    expect(origin.server.requests).toHaveLength(asked)
  })

  test('it does not open, and nobody has stopped the holder yet: that ends it', async () => {
    const opening = closed()
    const { holder } = await site({ opening })
    opening.failed(new StoreError('disk_full', 'no room'))
    await expect(holder.failed).rejects.toMatchObject({ cause: { code: 'disk_full' } })
  })
})

describe('without a seat', () => {
  test('nothing is fetched; the neighbours bring it, and that is told', async () => {
    const { origin, store } = await site({
      origin: origin => {
        origin.runLength = 0
      },
    })
    await expect.poll(() => origin.heard.length).toBeGreaterThan(2)
    for (let piece = 0; piece < pieces; piece++) await put(store, piece)
    await expect.poll(() => origin.heard.at(-1)?.want).toBe(false)
    expect(origin.ranges).toEqual([])
  })

  test('a seat that comes late is taken', async () => {
    const { origin, store } = await site({
      origin: origin => {
        origin.runLength = 0
      },
    })
    await expect.poll(() => origin.heard.length).toBeGreaterThan(2)
    origin.runLength = 5
    await complete(store)
  })

  test('a seat that was taken away: 403, and the refused token is not shown again', async () => {
    const { origin, store, holder } = await site({
      origin: origin => {
        origin.nextMs = 30_000
        origin.runLength = pieces
        origin.onRange = socket => {
          origin.onRange = undefined
          origin.evict()
          reply(socket, 403, '', { 'retry-after': '1' })
          return true
        }
      },
    })
    await complete(store)
    expect(origin.heard.slice(0, 2).map(({ seat }) => seat)).toEqual([undefined, undefined])
    expect(holder.view().lastError).toBeNull()
  })
})

describe('pieces that stop being wanted', () => {
  /** A range whose first half comes, and then nothing more. */
  const stall = (origin: FakeOrigin) => {
    origin.onRange = (socket, start, end) => {
      const headers = {
        'content-length': String(end - start),
        'content-range': `bytes ${start}-${end - 1}/${content.length}`,
      }
      reply(socket, 206, content.subarray(start, start + pieceLength / 2), headers)
      return true
    }
  }

  test('a piece that comes by LAN ends its range at once, and its bytes are wasted', async () => {
    const { origin, store, holder } = await site({
      origin: origin => {
        origin.runLength = 1
        stall(origin)
      },
    })
    // Both lanes hang in the middle of a piece.
    await expect.poll(() => holder.view().bytesWan).toBe(pieceLength)
    await put(store, 0)
    await expect.poll(() => holder.view().bytesWasted).toBe(pieceLength / 2)
    expect(holder.view().lastError).toBeNull()
    // And on it goes, with the next piece.
    await expect.poll(() => origin.ranges.at(-1)?.[0]).toBe(2 * pieceLength)
  })

  test('when the LAN brings everything, the range ends and the seat goes back', async () => {
    const { origin, store, holder } = await site({ origin: stall })
    await expect.poll(() => origin.ranges.length).toBe(1)
    for (let piece = 0; piece < pieces; piece++) await put(store, piece)
    await expect.poll(() => origin.heard.at(-1)?.want).toBe(false)
    await holder.stop()
    expect(store.listeners).toBe(0)
  })

  test('a piece that is dealt to somebody else is left alone', async () => {
    const { origin, store, holder } = await site({ origin: stall })
    await expect.poll(() => holder.view().bytesWan).toBe(pieceLength / 2)
    for (const piece of [0, 1, 2]) origin.kept.add(piece)
    origin.onRange = undefined
    origin.evict()
    await expect.poll(() => store.have.count, { timeout: 5000 }).toBe(pieces - 3)
    expect(holder.view().bytesWasted).toBe(pieceLength / 2)
    expect(store.puts.known).toBe(0)
  })

  test('a lease that could not be renewed in time is over: nothing more is asked for', async () => {
    const { origin, store, holder } = await site({
      origin: origin => {
        origin.leaseMs = 3000
        origin.nextMs = 1000
        origin.onRange = socket => {
          origin.onSeats = socket => {
            reply(socket, 503)
            return true
          }
          socket.destroy()
          return true
        }
      },
    })
    await expect.poll(() => origin.ranges.length).toBeGreaterThan(0)
    await expect.poll(() => holder.view().seat).toBeNull()
    await settle()
    const asked = origin.ranges.length
    origin.onRange = undefined
    const heard = origin.heard.length
    await expect.poll(() => origin.heard.length, { timeout: 5000 }).toBeGreaterThan(heard)
    expect(origin.ranges.length).toBe(asked)
    expect(holder.view().lastError).not.toBeNull()
    origin.onSeats = undefined
    await complete(store)
    expect(holder.view().lastError).toBeNull()
  })
})

test('while the last pieces are on their way, the origin is not asked without end', async () => {
  const { origin, clock } = await site({
    origin: origin => {
      origin.runLength = pieces
      origin.onRange = (socket, start, end) => {
        const headers = {
          'content-length': String(end - start),
          'content-range': `bytes ${start}-${end - 1}/${content.length}`,
        }
        reply(socket, 206, content.subarray(start, end - 1), headers)
        return true
      }
    },
  })
  await expect.poll(() => origin.open.length).toBe(1)
  const before = { heard: origin.heard.length, time: clock.monotonic() }
  await settle()
  const elapsed = clock.monotonic() - before.time
  expect(origin.heard.length - before.heard).toBeLessThanOrEqual(elapsed / origin.nextMs + 1)
})

describe('a line that breaks', () => {
  test('a cut transfer goes on at the very byte', async () => {
    let cut = false
    const { origin, store, holder } = await site()
    origin.onRange = (socket, start, end) => {
      if (cut || end - start < 2 * pieceLength) return false
      cut = true
      const headers = {
        'content-length': String(end - start),
        'content-range': `bytes ${start}-${end - 1}/${content.length}`,
      }
      reply(socket, 206, content.subarray(start, start + pieceLength + 1000), headers)
      setTimeout(() => socket.destroy(), 20)
      return true
    }
    await complete(store)
    expect(cut).toBe(true)
    expect(origin.ranges.some(([start]) => start % pieceLength === 1000)).toBe(true)
    expect(holder.view()).toMatchObject({ bytesWan: content.length, bytesWasted: 0 })
  })

  test('an origin that is away for a while: the error is shown, then forgotten, and the time it stalls is told', async () => {
    const { origin, store, holder, clock } = await site({
      origin: origin => {
        origin.onSeats = socket => {
          reply(socket, 500)
          return true
        }
      },
    })
    await expect.poll(() => holder.view().lastError?.code).toBe('origin_status')
    await expect.poll(() => clock.monotonic() - holder.view().stalledSince).toBeGreaterThan(5 * second)
    origin.onSeats = undefined
    await complete(store)
    await expect.poll(() => holder.view().lastError).toBeNull()
    expect(clock.monotonic() - holder.view().stalledSince).toBeLessThan(60 * second)
  })

  test('it backs off: an origin in trouble is not hammered', async () => {
    const { origin, clock } = await site({
      origin: origin => {
        origin.onRange = socket => {
          reply(socket, 500)
          return true
        }
      },
    })
    await expect.poll(() => origin.ranges.length).toBeGreaterThan(2)
    await expect.poll(() => clock.monotonic(), { timeout: 10_000 }).toBeGreaterThan(60 * second)
    // Two lanes: half a second, one, two, four, eight, then every 15 s at most, of each at least half.
    expect(origin.ranges.length).toBeLessThanOrEqual(2 * (6 + clock.monotonic() / (7.5 * second)))
  })
})

describe('what is no use going on with', () => {
  const bad = Buffer.from(content)
  bad[5 * pieceLength + 7]! ^= 1

  test('an origin whose artifact has a flipped bit: three tries, then piece_mismatch', async () => {
    const { origin, store, holder } = await site()
    origin.onRange = (socket, start, end) => {
      origin.send(socket, start, end, bad)
      return true
    }
    await expect(holder.failed).rejects.toMatchObject({ code: 'piece_mismatch', facts: { piece: 5, times: 3 } })
    expect(store.have.has(5)).toBe(false)
    expect(store.puts.refused).toBe(3)
    await settle()
    const asked = origin.ranges.length
    await settle()
    expect(origin.ranges.length).toBe(asked)
    expect(store.listeners).toBe(0)
  })

  test('a piece that is bad once is fetched again, and that is all', async () => {
    let once = true
    const { origin, store, holder } = await site()
    origin.onRange = (socket, start, end) => {
      const altered = once && start <= 5 * pieceLength && end > 5 * pieceLength
      if (altered) once = false
      origin.send(socket, start, end, altered ? bad : content)
      return true
    }
    await complete(store)
    expect(store.puts.refused).toBe(1)
    expect(holder.view().bytesWasted).toBeGreaterThanOrEqual(pieceLength)
    expect(holder.view().bytesWan).toBe(content.length)
    expect(store.content().equals(content)).toBe(true)
  })

  test('a disk that fails ends it with its own error', async () => {
    const { store, holder } = await site({
      origin: origin => {
        origin.runLength = 0
      },
    }).then(async parts => {
      parts.store.putFault = new StoreError('disk_full', 'no space')
      parts.origin.runLength = 3
      return parts
    })
    await expect(holder.failed).rejects.toBe(store.putFault)
  })
})

test('stop in the middle: no request, timer or listener is left', async () => {
  const { origin, store, holder } = await site({
    origin: origin => {
      origin.onRange = () => true
    },
  })
  await expect.poll(() => origin.ranges.length).toBe(1)
  await holder.stop()
  await holder.stop()
  await settle()
  const heard = origin.heard.length
  await settle()
  expect(origin.heard.length).toBe(heard)
  expect(store.listeners).toBe(0)
})

test('whatever is cut, evicted or brought by others: only dealt pieces are fetched, and stored ones never again', async () => {
  const event = fc.record({
    /** Happens at the first request after so many pieces are stored. */
    at: fc.nat(pieces - 1),
    what: fc.constantFrom('cut', 'lan', 'evict'),
    /** After so many bytes. */
    cut: fc.nat(3 * pieceLength),
    /** This piece. */
    lan: fc.nat(pieces - 1),
  })
  const scenario = fc.record({
    stored: fc.uniqueArray(fc.nat(pieces - 1), { maxLength: pieces }),
    runLength: fc.integer({ min: 1, max: 8 }),
    events: fc.array(event, { maxLength: 6 }),
  })
  await fc.assert(
    fc.asyncProperty(scenario, async ({ stored, runLength, events }) => {
      const { origin, store, holder, client, again } = await site({
        stored,
        origin: origin => {
          origin.runLength = runLength
        },
      })
      const waiting = [...events]
      origin.onRange = (socket, start, end) => {
        const due = waiting.findIndex(({ at }) => store.have.count >= at)
        const now = due < 0 ? undefined : waiting.splice(due, 1)[0]!
        if (now?.what === 'lan') void put(store, now.lan)
        if (now?.what === 'evict') origin.evict()
        if (now?.what !== 'cut') return false
        const headers = {
          'content-length': String(end - start),
          'content-range': `bytes ${start}-${end - 1}/${content.length}`,
        }
        reply(socket, 206, content.subarray(start, Math.min(end, start + now.cut)), headers)
        setTimeout(() => socket.destroy(), 5)
        return true
      }
      await complete(store)
      expect(origin.strays).toEqual([])
      expect(again).toEqual([])
      expect(store.puts.refused).toBe(0)
      expect(store.content().equals(content)).toBe(true)
      await holder.stop()
      await client.stop()
      await origin.stop()
    }),
    { seed: 6, numRuns: 40 },
  )
})

describe('no answer about seats, while the payload is open to all', () => {
  const gone = (status: number, code: string) => (origin: FakeOrigin) => {
    origin.openPayloads = true
    origin.onSeats = socket => {
      reply(socket, status, JSON.stringify({ error: { code } }))
      return true
    }
  }

  test('a node that sees nobody fetches everything after a while, once, and without a seat', async () => {
    const { origin, store, holder } = await site({ origin: gone(500, 'internal') })
    await complete(store)
    expect(bytesAsked(origin)).toBe(content.length)
    expect(origin.heard.length).toBeGreaterThan(3)
    expect(holder.view()).toMatchObject({ bytesWan: content.length, lastError: { code: 'origin_status' } })
  })

  test('neighbours that are dead cannot keep it from the rest: their turns pass', async () => {
    const of = makeArtifact({ length: 5 * MiB, pieceLength: 64 * KiB })
    const neighbours = ['a', 'b', 'c', 'd'] // five with this one: all of them are seeds
    expect(electedPieces(of.artifact.sha256, of.artifact, neighbours, 'pc-7', 0).length).toBeLessThan(80)
    const { origin, store } = await site({ of, neighbours, origin: gone(500, 'internal') })
    await complete(store)
    expect(bytesAsked(origin)).toBe(of.content.length)
  })

  test('the seat service comes back: from then on only what is dealt is fetched', async () => {
    const { origin, store } = await site({ origin: gone(500, 'internal') })
    origin.openPayloads = false
    await expect.poll(() => origin.strays.length, { timeout: 60_000 }).toBeGreaterThan(0) // elected, and refused
    origin.strays.length = 0
    origin.onSeats = undefined
    await expect.poll(() => store.have.complete, { timeout: 60_000 }).toBe(true)
    expect(store.content().equals(content)).toBe(true)
  })

  test.each(['identity_revoked', 'other_node'])('who is refused (%s) is not elected', async code => {
    const { origin } = await site({ origin: gone(403, code) })
    await expect.poll(() => origin.heard.length, { timeout: 60_000 }).toBeGreaterThan(7)
    expect(origin.ranges).toEqual([])
  })
})
