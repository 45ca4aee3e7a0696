/** How many requests are under way with a peer, on a clock that the test moves. */
import { expect, test } from 'vitest'
import { Bitfield } from '../../../src/core/bitfield.ts'
import { KiB, MiB, second } from '../../../src/core/units.ts'
import { LineWindow } from '../../../src/swarm/native/line-window.ts'
import { PartialPiece, unitBytes } from '../../../src/swarm/native/partial-piece.ts'
import { Pipeline } from '../../../src/swarm/native/pipeline.ts'
import { Rate } from '../../../src/swarm/native/rate.ts'

const partial = new PartialPiece(0, 0, () => Buffer.alloc(0), { host: '', has: new Bitfield(1) }, false)
const timeoutMs = 5 * second

/** One that never is what bounds a peer. */
const wideLine = () => new LineWindow({ leastBytes: Infinity, spanMs: second, staleMs: second }, 0)

function pipelineOf(requestLimit = 500, blockLimit = 16 * KiB): Pipeline {
  return new Pipeline(0, timeoutMs, requestLimit, blockLimit, wideLine())
}

/** The same with a peer that has answered once, at once. */
function answered(pipeline: Pipeline): Pipeline {
  pipeline.add(partial, { piece: 9999, begin: 0, length: unitBytes }, 0)
  pipeline.answered(9999, 0, unitBytes, 0)
  return pipeline
}

/** Ask for all there is room for. @returns What was asked for. */
function fill(pipeline: Pipeline, now: number, from = 0): { piece: number; begin: number; length: number }[] {
  const blocks = []
  for (let piece = from; pipeline.room(now) > 0; piece++) {
    const block = { piece, begin: 0, length: pipeline.blockBytes(now) }
    pipeline.add(partial, block, now)
    blocks.push(block)
  }
  return blocks
}

/** A peer that answers at `bytesPerSecond` after `roundTripMs`. @returns Bytes under way at the end. */
function run(pipeline: Pipeline, bytesPerSecond: number, roundTripMs: number, seconds: number): number {
  const waiting: { piece: number; begin: number; length: number; at: number }[] = []
  let piece = 0
  let tokens = 0
  for (let now = 0; now < seconds * second; now++) {
    for (const block of fill(pipeline, now, piece)) {
      waiting.push({ ...block, at: now + roundTripMs })
      piece = block.piece + 1
    }
    tokens = Math.min(tokens + bytesPerSecond / second, 256 * KiB)
    while (waiting[0] && waiting[0].at <= now && tokens >= waiting[0].length) {
      const { piece, begin, length } = waiting.shift()!
      tokens -= length
      pipeline.answered(piece, begin, length, now)
    }
  }
  return pipeline.outstanding
}

test('who has not answered yet is asked for one small block', () => {
  expect(fill(pipelineOf(500, 128 * KiB), 0)).toEqual([{ piece: 0, begin: 0, length: unitBytes }])
})

test('before a rate is known: half a megabyte, what a LAN needs', () => {
  const pipeline = answered(pipelineOf())
  fill(pipeline, 0)
  expect(pipeline.outstanding).toBe(512 * KiB)
})

test.each([
  [100 * MiB, 5],
  [10 * MiB, 50],
  [1 * MiB, 20],
  [100 * KiB, 20],
])(
  '%i bytes a second at %i ms: the round trip is covered, and not much more than a second is bound',
  (rate, roundTrip) => {
    const outstanding = run(pipelineOf(), rate, roundTrip, 10)
    const product = (rate * roundTrip) / second
    expect(outstanding).toBeGreaterThanOrEqual(Math.min(product, 500 * unitBytes) - unitBytes)
    expect(outstanding).toBeLessThanOrEqual(Math.max(1.2 * rate, 5 * unitBytes) + unitBytes)
  },
)

test('never more than the peer keeps queued, nor than 500 blocks', () => {
  const few = answered(pipelineOf(10))
  expect(fill(few, 0)).toHaveLength(10)
  expect(run(pipelineOf(100_000), 2000 * MiB, 100, 2)).toBeLessThanOrEqual(500 * unitBytes)
})

test('large blocks for a peer that brings little, but what it brings at once', () => {
  const pipeline = answered(pipelineOf(500, 256 * KiB))
  for (let now = second; now < 20 * second; now += second) {
    const block = { piece: now, begin: 0, length: pipeline.blockBytes(now) }
    pipeline.add(partial, block, now)
    pipeline.answered(now, 0, block.length, now + 20)
  }
  expect(pipeline.blockBytes(20 * second)).toBe(256 * KiB)
})

test('a peer whose cable becomes slow is asked for small blocks after the first that was late', () => {
  const pipeline = answered(pipelineOf(500, 256 * KiB))
  for (let piece = 1; piece < 20; piece++) {
    pipeline.add(partial, { piece, begin: 0, length: 256 * KiB }, piece * 100)
    pipeline.answered(piece, 0, 256 * KiB, piece * 100 + 20)
  }
  pipeline.add(partial, { piece: 20, begin: 0, length: 256 * KiB }, 2000)
  expect(pipeline.blockBytes(2000)).toBe(256 * KiB)
  expect(pipeline.blockBytes(2000 + second)).toBeLessThan(160 * KiB) // already while it is waited for
  pipeline.answered(20, 0, 256 * KiB, 2000 + 2 * second)
  expect(pipeline.blockBytes(4 * second)).toBeLessThan(64 * KiB)
})

test('large blocks for a fast peer, small ones for a slow one', () => {
  const [fast, slow] = [pipelineOf(500, 128 * KiB), pipelineOf(500, 128 * KiB)]
  run(fast, 50 * MiB, 1, 2)
  run(slow, 100 * KiB, 1, 8)
  expect(fast.blockBytes(2 * second)).toBe(128 * KiB)
  expect(slow.blockBytes(8 * second)).toBeLessThan(2 * unitBytes)
})

test('no answer for too long: everything lapses, and one small request is left to show life with', () => {
  const pipeline = pipelineOf(500, 128 * KiB)
  const asked = fill(pipeline, 0)
  expect(pipeline.late(timeoutMs)).toBe(false)
  expect(pipeline.late(timeoutMs + 1)).toBe(true)
  expect(pipeline.lapse()).toHaveLength(asked.length)
  expect([pipeline.outstanding, pipeline.lapses]).toEqual([0, 1])
  expect(fill(pipeline, timeoutMs, 1000)).toEqual([{ piece: 1000, begin: 0, length: unitBytes }])
})

test('an answer resets the patience; what trickles and completes nothing does not', () => {
  const pipeline = answered(pipelineOf())
  const [first] = fill(pipeline, 0)
  pipeline.answered(first!.piece, first!.begin, first!.length, 4 * second)
  expect(pipeline.late(8 * second)).toBe(false)
  expect(pipeline.late(9.1 * second)).toBe(true)
})

test('the late answer to a lapsed request is still known for one', () => {
  const pipeline = pipelineOf()
  const [first] = fill(pipeline, 0)
  pipeline.lapse()
  expect(pipeline.answered(first!.piece, first!.begin, first!.length, 9)).toMatchObject({ lapsed: true })
  expect([pipeline.snubbed, pipeline.outstanding]).toEqual([false, 0])
  expect(pipeline.answered(first!.piece, first!.begin, first!.length, 9)).toBeUndefined()
})

test('all peers together: no more than the cable carries', () => {
  const line = new LineWindow({ leastBytes: 4 * unitBytes, spanMs: second, staleMs: second }, 0)
  const [ann, ben] = [0, 1].map(() => answered(new Pipeline(0, timeoutMs, 500, 16 * KiB, line)))
  const most = 4 * unitBytes + 2 * 2 * unitBytes // what has arrived counts twice, before there is a rate
  fill(ann!, 0)
  expect(ann!.outstanding).toBe(most)
  expect(ben!.room(0)).toBeLessThanOrEqual(0)
  ann!.clear()
  expect(ben!.room(0)).toBe(most)
})

test('what a piece that is here leaves in the queue of a slow peer is taken back, lapsed or not, and once', () => {
  const pipeline = answered(pipelineOf())
  const [first] = fill(pipeline, 0)
  pipeline.lapse()
  expect(pipeline.withdraw(first!.piece, () => true)).toMatchObject([{ piece: first!.piece }])
  expect(pipeline.withdraw(first!.piece, () => true)).toEqual([])
})

test('an answer of another length answers nothing', () => {
  const pipeline = pipelineOf()
  pipeline.add(partial, { piece: 3, begin: unitBytes, length: 100 }, 0)
  for (const [piece, begin, length] of [
    [3, unitBytes, 99],
    [3, unitBytes + 1, 100],
    [2, unitBytes, 100],
    [0xffffffff, 0xffffffff, 100],
  ] as const)
    expect(pipeline.answered(piece, begin, length, 1)).toBeUndefined()
  expect(pipeline.outstanding).toBe(100)
})

test('what lapsed is forgotten in the end, so that a peer that is often cancelled does not fill up', () => {
  const pipeline = pipelineOf()
  for (let piece = 0; piece < 5000; piece++) {
    pipeline.add(partial, { piece, begin: 0, length: unitBytes }, 0)
    pipeline.withdraw(piece, () => true)
  }
  expect(pipeline.asked(0, 0)).toBe(false)
  expect(pipeline.asked(4999, 0)).toBe(true)
  expect(pipeline.room(0)).toBeGreaterThan(0)
})

test('a unit inside a larger request counts as asked for', () => {
  const pipeline = pipelineOf()
  pipeline.add(partial, { piece: 1, begin: 2 * unitBytes, length: 3 * unitBytes }, 0)
  expect([1, 2, 3, 4, 5].map(unit => pipeline.asked(1, unit))).toEqual([false, true, true, true, false])
})

test('a rate is right from its first sample on, and forgets', () => {
  const rate = new Rate(0)
  expect(rate.at(10)).toBeUndefined()
  for (let now = 1; now <= 100; now++) rate.add(1000, now)
  expect(rate.at(100)).toBeCloseTo(1_000_000, -4)
  expect(rate.at(5000)).toBeLessThan(20_000)
})
