/** A set of pieces in BitTorrent's bytes, against a plain set of numbers. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Bitfield } from '../../src/core/bitfield.ts'

const lengths = fc.integer({ min: 0, max: 70 })
const some = lengths.chain(length => fc.tuple(fc.constant(length), fc.uniqueArray(fc.nat({ max: 200 }))))

function holding(length: number, pieces: readonly number[]): { field: Bitfield; set: Set<number> } {
  const field = new Bitfield(length)
  const set = new Set(pieces.filter(piece => piece < length))
  for (const piece of set) field.set(piece)
  return { field, set }
}

test('it holds what was set, whatever way it is read', () => {
  fc.assert(
    fc.property(some, ([length, pieces]) => {
      const { field, set } = holding(length, pieces)
      expect([...field.pieces()]).toEqual([...set].sort((a, b) => a - b))
      expect(field.count).toBe(set.size)
      expect(new Bitfield(length, field.bytes)).toEqual(field)
      for (let piece = -1; piece <= length; piece++) expect(field.has(piece)).toBe(set.has(piece))
    }),
  )
})

test('a full one has every piece, and no spare bit', () => {
  fc.assert(
    fc.property(lengths, length => {
      const full = Bitfield.full(length)
      expect([...full.pieces()]).toEqual([...Array(length).keys()])
      expect(full.complete).toBe(true)
      expect(new Bitfield(length, full.bytes)).toEqual(full)
    }),
  )
})

test('what another lacks is counted', () => {
  fc.assert(
    fc.property(some, fc.array(fc.nat({ max: 200 })), ([length, mine], theirs) => {
      const { field, set } = holding(length, mine)
      const { field: other, set: otherSet } = holding(length, theirs)
      expect(field.countBeyond(other)).toBe([...set].filter(piece => !otherSet.has(piece)).length)
    }),
  )
})

test('a piece that does not exist is not set, and spare bits are refused', () => {
  const field = new Bitfield(9)
  for (const piece of [-1, 9, 0.5, Number.NaN]) expect(() => field.set(piece)).toThrow(RangeError)
  expect(() => new Bitfield(9, Uint8Array.of(0, 0x40))).toThrow('a spare bit is set')
  expect(() => new Bitfield(9, Uint8Array.of(0))).toThrow('2 bytes')
})
