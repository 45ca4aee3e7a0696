/** Which block is asked of whom: the rules of the picker, by example and by simulation. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../bench/seeded-random.ts'
import { Bitfield } from '../../../src/core/bitfield.ts'
import { type Block, type PartialPiece, unitBytes } from '../../../src/swarm/native/partial-piece.ts'
import { type Asker, type Grants, overdueMs, Picker } from '../../../src/swarm/native/picker.ts'

const pieceUnits = 4
let now = 0
const everything = (): Grants => ({ start: true, help: true })
const ownOnly = (): Grants => ({ start: true, help: false })

class FakePeer implements Asker {
  current: PartialPiece | undefined
  held = 0
  barren = -1
  undoubledAt = Number.NEGATIVE_INFINITY
  answerMs = 0
  suggested: number[] = []
  readonly host: string
  readonly has: Bitfield
  readonly requests: { block: Block; partial: PartialPiece }[] = []

  constructor(name: string, has: Bitfield) {
    this.host = name
    this.has = has
  }

  asked(piece: number, unit: number): boolean {
    const at = unit * unitBytes
    return this.requests.some(
      ({ block }) => block.piece === piece && block.begin <= at && at < block.begin + block.length,
    )
  }

  /** A second passes with every question: whatever is under way is overdue. */
  ask(picker: Picker, grants = everything, units = 1): Block | undefined {
    now += 1000
    const block = picker.next(this, units * unitBytes, now, grants)
    if (block) this.requests.push({ block, partial: picker.started.get(block.piece)! })
    return block
  }
}

function lab(pieces: number, mostStarted = 8) {
  const have = new Bitfield(pieces)
  const ended: number[] = []
  const picker = new Picker({
    have,
    mostStarted,
    length: () => pieceUnits * unitBytes,
    memory: () => Buffer.alloc(pieceUnits * unitBytes),
    onEnded: partial => ended.push(partial.index),
    random: seededRandom(1),
  })
  const peer = (name: string, ...has: number[]) => {
    const field = new Bitfield(pieces)
    for (const piece of has) field.set(piece)
    if (has.length === 0) return new FakePeer(name, Bitfield.full(pieces))
    for (const piece of has) picker.order.gained(piece)
    return new FakePeer(name, field)
  }
  return { have, picker, ended, peer }
}

describe('rules', () => {
  test('a peer goes on with its piece before it starts another', () => {
    const { picker, peer } = lab(10)
    const ann = peer('ann')
    const blocks = Array.from({ length: pieceUnits + 1 }, () => ann.ask(picker)!)
    expect(new Set(blocks.slice(0, pieceUnits).map(block => block.piece)).size).toBe(1)
    expect(blocks.at(-1)!.piece).not.toBe(blocks[0]!.piece)
    expect(ann.held).toBe(2)
  })

  test('two peers bring two pieces, so that a bad one has one culprit', () => {
    const { picker, peer } = lab(10)
    expect(peer('ann').ask(picker)!.piece).not.toBe(peer('ben').ask(picker)!.piece)
  })

  test('the rarest first', () => {
    const { picker, peer } = lab(10)
    peer('cat', 0, 1, 2, 4, 5, 6, 7, 8, 9)
    expect(peer('ann', 0, 1, 2, 3, 4, 5, 6, 7, 8, 9).ask(picker)).toMatchObject({ piece: 3 })
  })

  test('what a peer left half done is finished before anything is started', () => {
    const { picker, peer } = lab(10)
    const [ann, ben] = [peer('ann'), peer('ben')]
    const { piece } = ann.ask(picker)!
    for (const { block, partial } of ann.requests) picker.release(ann, partial, block)
    expect(ben.ask(picker)).toMatchObject({ piece, begin: 0 })
    expect([ann.held, ben.held, ann.current]).toEqual([0, 1, undefined])
  })

  test('who left with nothing under way leaves its piece to the others as well', () => {
    const { picker, peer } = lab(10)
    const [ann, ben] = [peer('ann'), peer('ben')]
    const { piece, begin } = ann.ask(picker)!
    ann.requests[0]!.partial.fill(begin, Buffer.alloc(unitBytes), ann)
    picker.leave(ann)
    expect(ben.ask(picker)).toMatchObject({ piece, begin: unitBytes })
  })

  test('nothing left to start: help, then ask for what is under way elsewhere', () => {
    const { picker, peer } = lab(1)
    const [ann, ben] = [peer('ann'), peer('ben')]
    ann.ask(picker, everything, 3)
    expect(ben.ask(picker, ownOnly)).toBeUndefined()
    expect(ben.ask(picker)).toMatchObject({ begin: 3 * unitBytes, length: unitBytes })
    for (const unit of [0, 1, 2])
      expect(ben.ask(picker, everything, 9)).toMatchObject({ begin: unit * unitBytes, length: unitBytes })
    expect(ben.ask(picker)).toBeUndefined()
    expect(ann.ask(picker)).toMatchObject({ begin: 3 * unitBytes })
  })

  test('a suggestion decides among equally rare pieces, and only there', () => {
    const { picker, peer } = lab(8)
    const ann = peer('ann')
    peer('ben', 5)
    ann.suggested = [9, 2 ** 32 - 1, 5, 3]
    expect(ann.ask(picker, ownOnly, pieceUnits)).toMatchObject({ piece: 3 })
    ann.suggested = [3]
    expect([0, 1, 2, 4, 6, 7]).toContain(ann.ask(picker, ownOnly, pieceUnits)!.piece)
  })

  test('what is not overdue comes once', () => {
    const { picker, peer } = lab(1)
    const [ann, ben] = [peer('ann'), peer('ben')]
    ann.ask(picker, everything, pieceUnits)
    ben.answerMs = 400
    expect(picker.next(ben, unitBytes, now + overdueMs + ben.answerMs, everything)).toBeUndefined()
    ben.answerMs = 0
    expect(picker.next(ben, unitBytes, now + 3 * overdueMs, everything)).toMatchObject({ begin: 0 })
  })

  test('what is overdue is asked of another, what was started since is not', () => {
    const { picker, peer } = lab(3)
    const [ann, ben, cat] = [peer('ann'), peer('ben'), peer('cat')]
    const [old, less, young] = [ann, ben, cat].map(each => each!.ask(picker, everything, pieceUnits)!)
    const onlyOldIsOverdue = now - 1000
    const doubled = Array.from({ length: 2 * pieceUnits }, () => {
      const block = picker.next(cat, unitBytes, onlyOldIsOverdue, everything)
      if (block) cat.requests.push({ block, partial: picker.started.get(block.piece)! })
      return block?.piece
    })
    expect(doubled).toEqual([...Array(pieceUnits).fill(old!.piece), ...Array(pieceUnits).fill(undefined)])
    expect(picker.started.get(less!.piece)!.doubled || picker.started.get(young!.piece)!.doubled).toBe(false)
  })

  test('a piece that several spoilt comes whole from one', () => {
    const { picker, peer } = lab(1)
    const [ann, ben] = [peer('ann'), peer('ben')]
    ann.ask(picker)
    picker.again(picker.started.get(0)!, true)
    ann.requests.length = 0
    expect(ann.ask(picker)).toMatchObject({ begin: 0 })
    expect(ben.ask(picker)).toBeUndefined()
    picker.release(ann, ann.requests[0]!.partial, ann.requests[0]!.block)
    expect(ben.ask(picker)).toMatchObject({ begin: 0 }) // from the start: nothing of ann's is kept
    expect(picker.started.get(0)!.owner).toBe(ben)
  })

  test('started pieces are limited; one that nobody goes on with gives way, the least complete', () => {
    const { picker, peer, ended } = lab(10, 2)
    const [ann, ben] = [peer('ann', 1, 2), peer('ben', 3)]
    ann.ask(picker, everything, pieceUnits)
    ann.ask(picker, everything, pieceUnits)
    expect(ben.ask(picker)).toBeUndefined()
    const [full, empty] = ann.requests as [(typeof ann.requests)[0], (typeof ann.requests)[0]]
    full.partial.fill(0, Buffer.alloc(unitBytes), ann)
    for (const { partial, block } of ann.requests) picker.release(ann, partial, block)
    expect(ben.ask(picker)).toMatchObject({ piece: 3 })
    expect(ended).toEqual([empty.partial.index])
  })

  test('a piece that came from elsewhere is asked of nobody', () => {
    const { picker, peer, ended } = lab(2)
    const ann = peer('ann')
    ann.ask(picker)
    for (const piece of [0, 1]) picker.stored(piece)
    expect(ann.ask(picker)).toBeUndefined()
    expect([ended.length, ann.held, ann.current]).toEqual([1, 0, undefined])
  })

  test('a search in vain is not made again until there is something new', () => {
    const { picker, peer } = lab(3)
    const [ann, ben] = [peer('ann', 0), peer('ben')]
    ann.ask(picker, ownOnly, pieceUnits)
    expect(ann.ask(picker, ownOnly)).toBeUndefined()
    const looked = ann.barren
    expect(looked).toBeGreaterThanOrEqual(0)
    ben.ask(picker, ownOnly, pieceUnits)
    picker.again(ann.requests[0]!.partial)
    expect(ann.ask(picker, ownOnly)).toMatchObject({ piece: 0 })
  })
})

test('any course of events: every piece is complete in the end, nobody is asked for what it lacks or twice for the same', () => {
  const courses = fc.record({
    seed: fc.nat(),
    holdings: fc.array(fc.uniqueArray(fc.nat(5), { minLength: 1 }), { minLength: 1, maxLength: 4 }),
    mostStarted: fc.integer({ min: 1, max: 4 }),
  })
  fc.assert(
    fc.property(courses, ({ seed, holdings, mostStarted }) => {
      const random = seededRandom(seed)
      const { picker, peer, have } = lab(6, mostStarted)
      const peers = [peer('seed'), ...holdings.map((pieces, at) => peer(`peer ${at}`, ...pieces))]
      for (let step = 0; !have.complete; step++) {
        expect(step).toBeLessThan(5000)
        const one = peers[Math.floor(random() * peers.length)]!
        if (random() < 0.5) check(one, one.ask(picker, everything, 1 + Math.floor(random() * 3)))
        else if (one.requests.length > 0) settle(picker, have, one, random() < 0.7)
        expect(picker.started.size).toBeLessThanOrEqual(mostStarted)
      }
      expect(picker.order.length).toBe(0)
      expect(peers.map(({ held }) => held)).toEqual(peers.map(() => 0))
    }),
    { seed: 6, numRuns: 200 },
  )
})

function check(peer: FakePeer, block: Block | undefined): void {
  if (!block) return
  expect(peer.has.has(block.piece)).toBe(true)
  const mine = peer.requests.filter(({ block: other }) => other.piece === block.piece)
  const units = mine.flatMap(({ block: { begin, length } }) =>
    [...Array(length / unitBytes)].map((_, n) => begin / unitBytes + n),
  )
  expect(new Set(units).size).toBe(units.length)
}

/** A request is answered, or is not. */
function settle(picker: Picker, have: Bitfield, peer: FakePeer, answered: boolean): void {
  const { block, partial } = peer.requests.shift()!
  if (!answered) picker.release(peer, partial, block)
  if (!answered || picker.started.get(block.piece) !== partial || (partial.exclusive && partial.owner !== peer)) return
  partial.fill(block.begin, Buffer.alloc(block.length), peer)
  if (!partial.complete) return
  have.set(block.piece)
  picker.stored(block.piece)
}
