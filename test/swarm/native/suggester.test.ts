/** What a seed hints at: each piece to one peer, what is not taken to another, and never more than a few. */
import { expect, test } from 'vitest'
import { MiB } from '../../../src/core/units.ts'
import { Suggester, type Taker } from '../../../src/swarm/native/suggester.ts'

const pieces = 10
/** Of pieces this large two are hinted at in advance. */
const pieceLength = MiB

class FakeTaker implements Taker {
  fast = true
  interested = true
  readonly hints: number[] = []

  suggest(piece: number): void {
    this.hints.push(piece)
  }
}

function lab(had: readonly number[] = []) {
  const availability = (piece: number) => (had.includes(piece) ? 1 : 0)
  return new Suggester({ pieces, pieceLength, availability, random: () => 0.5 })
}

test('each piece is hinted at once, and only as fast as the hints are taken', () => {
  const suggester = lab()
  const [ann, ben] = [new FakeTaker(), new FakeTaker()]
  for (const peer of [ann, ben, ann, ben]) suggester.tend(peer)
  expect([ann.hints, ben.hints]).toEqual([
    [5, 6],
    [7, 8],
  ])
  for (let turn = 0; turn < pieces; turn++) {
    suggester.taken(ann, ann.hints.at(-1)!)
    suggester.tend(ann)
  }
  expect([...ann.hints, ...ben.hints].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
})

test('what somebody asks for or has already is hinted at to nobody', () => {
  const suggester = lab([6])
  const [ann, ben] = [new FakeTaker(), new FakeTaker()]
  suggester.taken(ben, 5)
  suggester.tend(ann)
  expect(ann.hints).toEqual([7, 8])
})

test('what a peer leaves behind is hinted at to the others', () => {
  const suggester = lab()
  const [ann, ben] = [new FakeTaker(), new FakeTaker()]
  suggester.tend(ann)
  suggester.taken(ann, 5)
  suggester.gone(ann)
  suggester.tend(ben)
  expect(ben.hints).toEqual([6, 7])
})

test('who is not interested, or does not know hints, gets none', () => {
  const suggester = lab()
  const [ann, ben] = [new FakeTaker(), new FakeTaker()]
  ann.fast = false
  ben.interested = false
  for (const peer of [ann, ben]) suggester.tend(peer)
  expect([ann.hints, ben.hints]).toEqual([[], []])
})
