import { expect, test } from 'vitest'
import { Bitfield } from '../../../src/core/bitfield.ts'
import { KiB } from '../../../src/core/units.ts'
import { type Bringer, PartialPiece, unitBytes } from '../../../src/swarm/native/partial-piece.ts'

const [ann, ben] = ['10.0.0.1', '10.0.0.2'].map((host): Bringer => ({ host, has: Bitfield.full(1) })) as [
  Bringer,
  Bringer,
]
/** Four and a bit units. */
const size = 4 * unitBytes + 100

test('units are handed out in order, side by side, the odd end last', () => {
  const piece = new PartialPiece(7, size, () => Buffer.alloc(size), ann, false)
  expect(piece.take(2 * unitBytes, 0)).toEqual({ piece: 7, begin: 0, length: 2 * unitBytes })
  expect(piece.take(1, 0)).toEqual({ piece: 7, begin: 2 * unitBytes, length: unitBytes })
  expect(piece.take(128 * KiB, 0)).toEqual({ piece: 7, begin: 3 * unitBytes, length: unitBytes + 100 })
  expect(piece.take(unitBytes, 0)).toBeUndefined()
})

test('what is released is handed out again, what is here is not', () => {
  const piece = new PartialPiece(0, size, () => Buffer.alloc(size), ann, false)
  const block = piece.take(3 * unitBytes, 0)!
  piece.fill(unitBytes, Buffer.alloc(unitBytes), ann)
  piece.release(block)
  expect(piece.take(9 * unitBytes, 0)).toEqual({ piece: 0, begin: 0, length: unitBytes })
  expect(piece.take(unitBytes, 0)).toEqual({ piece: 0, begin: 2 * unitBytes, length: unitBytes })
})

test('bytes that come twice count once, and do not change what is here', () => {
  const piece = new PartialPiece(0, size, () => Buffer.alloc(size), ann, false)
  expect(piece.fill(0, Buffer.alloc(unitBytes, 1), ann)).toBe(unitBytes)
  expect(piece.fill(0, Buffer.alloc(3 * unitBytes, 2), ben)).toBe(2 * unitBytes)
  expect([piece.bytes[0], piece.bytes[unitBytes]]).toEqual([1, 2])
  expect(piece.received).toBe(3 * unitBytes)
})

test('whole, it knows whether one brought it all', () => {
  const [one, two] = [0, 0].map(() => new PartialPiece(0, size, () => Buffer.alloc(size), ann, false)) as [
    PartialPiece,
    PartialPiece,
  ]
  one.fill(0, Buffer.alloc(size, 1), ben)
  expect([one.complete, one.soleBringer(), one.received]).toEqual([true, ben, size])
  two.fill(unitBytes, Buffer.alloc(unitBytes, 1), ann)
  two.fill(0, Buffer.alloc(size, 1), ben)
  expect([two.complete, two.soleBringer()]).toEqual([true, undefined])
  expect([...two.units()].map(unit => unit.from.host)).toEqual([ben, ann, ben, ben, ben].map(({ host }) => host))
})

test('in the end game a unit is asked of so many and no more, of nobody twice', () => {
  const piece = new PartialPiece(0, 2 * unitBytes, () => Buffer.alloc(2 * unitBytes), ann, false)
  piece.take(2 * unitBytes, 0)
  const never = () => false
  expect(piece.double(unitBytes, 3, 1, 0, unit => unit === 0)).toMatchObject({ begin: unitBytes })
  expect(piece.double(9 * unitBytes, 3, 1, 0, never)).toMatchObject({ begin: 0, length: 2 * unitBytes })
  expect(piece.double(9 * unitBytes, 3, 1, 0, never)).toMatchObject({ begin: 0, length: unitBytes })
  expect(piece.double(9 * unitBytes, 3, 1, 0, never)).toBeUndefined()
})

test('what was asked for a moment ago is not asked for twice', () => {
  const piece = new PartialPiece(0, 2 * unitBytes, () => Buffer.alloc(2 * unitBytes), ann, false)
  piece.take(unitBytes, 100)
  piece.take(unitBytes, 200)
  const never = () => false
  expect(piece.double(9 * unitBytes, 3, 100, 300, never)).toBeUndefined()
  expect(piece.double(9 * unitBytes, 3, 101, 300, never)).toMatchObject({ begin: 0, length: unitBytes })
  expect(piece.double(9 * unitBytes, 3, 201, 300, never)).toMatchObject({ begin: unitBytes })
})

test('idle is what waits with nothing under way', () => {
  const piece = new PartialPiece(0, 2 * unitBytes, () => Buffer.alloc(2 * unitBytes), ann, false)
  expect(piece.idle).toBe(true)
  const block = piece.take(unitBytes, 0)!
  expect(piece.idle).toBe(false)
  piece.release(block)
  expect(piece.idle).toBe(true)
  piece.fill(0, Buffer.alloc(2 * unitBytes), ann)
  expect(piece.idle).toBe(false)
})

test('a block that is the piece becomes its memory, if it may', () => {
  const memory = Buffer.alloc(size)
  const block = Buffer.alloc(size, 1)
  const [kept, copied] = [true, false].map(keeps => {
    const piece = new PartialPiece(0, size, () => memory, ann, false)
    expect(piece.fill(0, block, ben, () => keeps)).toBe(size)
    expect([piece.complete, piece.soleBringer(), piece.bytes]).toEqual([true, ben, block])
    return piece
  })
  expect([kept?.bytes === block, kept?.adopted]).toEqual([true, true])
  expect([copied?.bytes === memory, copied?.adopted]).toEqual([true, false])
})

test('nothing is kept of a part of the piece, nor where bytes are here already', () => {
  const piece = new PartialPiece(0, size, () => Buffer.alloc(size), ann, false)
  const keep = () => expect.unreachable()
  piece.fill(unitBytes, Buffer.alloc(unitBytes, 1), ann, keep)
  piece.fill(0, Buffer.alloc(size, 2), ben, keep)
  expect([piece.adopted, piece.bytes[0], piece.bytes[unitBytes]]).toEqual([false, 2, 1])
})
