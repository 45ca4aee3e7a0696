import { expect, test } from 'vitest'
import { Bitfield } from '../../../src/core/bitfield.ts'
import { Evidence } from '../../../src/swarm/native/evidence.ts'
import { PartialPiece, unitBytes } from '../../../src/swarm/native/partial-piece.ts'

const peer = (host: string) => ({ host, has: Bitfield.full(1) })
const [ann, ben, eve] = ['ann', 'ben', 'eve'].map(peer) as [
  ReturnType<typeof peer>,
  ReturnType<typeof peer>,
  ReturnType<typeof peer>,
]

/** A piece of three units: for each, who brought it and what. */
function piece(index: number, ...units: [ReturnType<typeof peer>, number][]): PartialPiece {
  const partial = new PartialPiece(
    index,
    units.length * unitBytes,
    () => Buffer.alloc(units.length * unitBytes),
    ann,
    false,
  )
  for (const [unit, [from, fill]] of units.entries())
    partial.fill(unit * unitBytes, Buffer.alloc(unitBytes, fill), from)
  return partial
}

test('of several, only those whose bytes were different are guilty', () => {
  const evidence = new Evidence()
  evidence.record(piece(0, [ann, 1], [eve, 66], [ben, 3]))
  expect([...evidence.convict(piece(0, [ben, 1], [ben, 2], [ben, 3]))]).toEqual(['eve'])
})

test('spoilt twice, both culprits are found, and each once', () => {
  const evidence = new Evidence()
  evidence.record(piece(0, [ann, 1], [eve, 66], [eve, 67]))
  evidence.record(piece(0, [ben, 68], [ann, 2], [ann, 3]))
  const good = piece(0, [ann, 1], [ann, 2], [ann, 3])
  expect([...evidence.convict(good)].sort()).toEqual(['ben', 'eve'])
  expect(evidence.convict(good).size).toBe(0)
})

test('nothing is known of other pieces, of dropped ones, nor of more than the last few', () => {
  const evidence = new Evidence()
  evidence.record(piece(1, [eve, 66]))
  evidence.drop(1)
  for (const index of [0, 1]) expect(evidence.convict(piece(index, [ann, 1])).size).toBe(0)
  for (let index = 0; index < 40; index++) evidence.record(piece(index, [eve, 66]))
  expect(evidence.convict(piece(7, [ann, 1])).size).toBe(0)
  expect(evidence.convict(piece(8, [ann, 1])).size).toBe(1)
})
