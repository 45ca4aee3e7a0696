import fc from 'fast-check'
import { expect, test } from 'vitest'
import { pieceCount } from '../../../src/core/artifact.ts'
import { Bitfield } from '../../../src/core/bitfield.ts'
import { KiB } from '../../../src/core/units.ts'
import { Deal } from '../../../src/swarm/seats/deal.ts'
import { defaultSeatRules, longestWaitMs, type SeatRules } from '../../../src/swarm/seats/rules.ts'

/** What the property believes of a site, kept apart from the deal in the plainest way: sets, and a scan for every question. */
class Model {
  now = 0
  readonly rules: SeatRules
  readonly deal: Deal
  readonly pieces: number
  /** Whether a node that is cut off may get what the site holds: then less can be said. */
  readonly repairs: boolean
  /** What each machine has on its disk, whether the origin knows of it or not. */
  readonly disks = new Map<string, Set<number>>()
  /** What each machine said last, and when. */
  readonly said = new Map<string, { at: number; has: Set<number>; believedMs: number }>()
  readonly tokens = new Map<string, string>()
  dealt = new Map<string, readonly number[]>()
  #token = 0

  constructor(pieces: number, rules: SeatRules) {
    this.rules = rules
    this.pieces = pieces
    this.repairs = rules.stallMs < Number.MAX_SAFE_INTEGER
    // One-piece-per-KiB would fall under the "whole artifact in one answer" rule: these pieces are larger.
    const layout = { length: pieces * 256 * KiB - 5, pieceLength: 256 * KiB }
    expect(pieceCount(layout)).toBe(pieces)
    this.deal = new Deal(layout, rules, () => `token-${this.#token++}`, 0)
  }

  disk(node: string): Set<number> {
    const disk = this.disks.get(node) ?? new Set()
    this.disks.set(node, disk)
    return disk
  }

  living(): string[] {
    return [...this.said].filter(([, { at, believedMs }]) => this.now - at < believedMs).map(([node]) => node)
  }

  held(): Set<number> {
    return new Set(this.living().flatMap(node => [...this.said.get(node)!.has]))
  }

  ask(node: string, want: boolean): void {
    const has = new Set(this.disk(node))
    const have = new Bitfield(this.pieces)
    for (const piece of has) have.set(piece)
    const leaseBefore = this.living().includes(node) ? (this.dealt.get(node) ?? []) : []
    const answer = this.deal.ask({ node, have, want, token: this.tokens.get(node) }, this.now)
    // Whoever waits for a seat was told to stay away for a while, and is not forgotten meanwhile.
    const wantingMs = this.rules.leaseMs + (answer.seat === null ? longestWaitMs : 0)
    const believedMs = want && !have.complete ? wantingMs : this.rules.holderMs
    expect(answer.nextMs).toBeLessThanOrEqual(believedMs / (answer.seat === null ? 1.5 : 3))
    this.said.set(node, { at: this.now, has, believedMs })

    const held = this.held()
    expect(answer.siteHolds).toBe(held.size)
    const fresh = answer.pieces.filter(piece => !leaseBefore.includes(piece))
    if (!this.repairs) expect(fresh.filter(piece => held.has(piece))).toEqual([])
    expect(answer.pieces.filter(piece => has.has(piece))).toEqual([])
    expect([...answer.pieces].sort((a, b) => a - b)).toEqual(answer.pieces)
    if (!want) expect(answer.seat).toBeNull()
    if (held.size === this.pieces && !this.repairs) expect(answer.seat).toBeNull()
    if (answer.seat === null) this.tokens.delete(node)
    else this.tokens.set(node, answer.seat)
    this.checkSeats()
  }

  checkSeats(): void {
    this.deal.forgetSilent(this.now)
    const { seats, siteHolds, nodes } = this.deal.view()
    const held = this.held()
    expect(siteHolds).toBe(held.size)
    expect(nodes).toBe(this.living().length)
    expect(seats.length).toBeLessThanOrEqual(this.rules.seatsPerSite)
    const all = seats.flatMap(seat => seat.pieces)
    expect(new Set(all).size).toBe(all.length)
    if (!this.repairs) expect(all.filter(piece => held.has(piece))).toEqual([])
    for (const seat of seats) expect(this.living()).toContain(seat.node)
    this.dealt = new Map(seats.map(seat => [seat.node, seat.pieces]))
  }

  /** The machine fetches the first pieces dealt to it, and keeps silent about it for now. */
  fetch(node: string, count: number): void {
    for (const piece of (this.dealt.get(node) ?? []).slice(0, count)) this.disk(node).add(piece)
  }
}

type Step = (model: Model) => void
const nodes = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
const node = fc.constantFrom(...nodes)
const steps: fc.Arbitrary<[string, Step]> = fc.oneof(
  { weight: 6, arbitrary: node.map((n): [string, Step] => [`${n} asks`, m => m.ask(n, true)]) },
  { weight: 1, arbitrary: node.map((n): [string, Step] => [`${n} is done`, m => m.ask(n, false)]) },
  {
    weight: 6,
    arbitrary: fc
      .tuple(node, fc.nat({ max: 9 }))
      .map(([n, count]): [string, Step] => [`${n} fetches ${count}`, m => m.fetch(n, count)]),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(node, node).map(([from, to]): [string, Step] => [
      `${to} copies ${from}`,
      m => {
        for (const piece of m.disk(from)) m.disk(to).add(piece)
      },
    ]),
  },
  { weight: 1, arbitrary: node.map((n): [string, Step] => [`the disk of ${n} is lost`, m => m.disk(n).clear()]) },
  {
    weight: 5,
    arbitrary: fc.constantFrom(1, 200, 1000, 2500, 7000, 40_000, 100_000).map((ms): [string, Step] => [
      `${ms} ms pass`,
      m => {
        m.now += ms
        m.checkSeats()
      },
    ]),
  },
)

test.each([
  ['the LAN is believed', Number.MAX_SAFE_INTEGER],
  ['nodes that wait for 5 s get pieces over the WAN', 5000],
])(
  'whatever nodes do, %s: no piece in two living leases, none that its node has, never too many seats',
  (_, stallMs) => {
    const pieceCounts = fc.integer({ min: 5, max: 70 })
    const seatCounts = fc.integer({ min: 1, max: 6 })
    fc.assert(
      fc.property(pieceCounts, seatCounts, fc.array(steps, { maxLength: 120 }), (pieces, seatsPerSite, script) => {
        const model = new Model(pieces, { ...defaultSeatRules, seatsPerSite, stallMs })
        for (const [, step] of script) step(model)

        // And every piece is dealt in the end, as long as one seat lives: whatever happened before, one honest node gets them all.
        for (let round = 0; round < 500 && !(model.disk('z').size === pieces); round++) {
          if (model.held().size === pieces && !model.repairs) break
          model.now += 1000
          model.ask('z', true)
          model.fetch('z', 100)
        }
        model.ask('z', true)
        expect(model.held().size).toBe(pieces)
      }),
      { seed: 20_261_122, numRuns: 400 },
    )
  },
)

test('hung seats that renew for ever do not keep a piece from a node that works', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 5, max: 60 }),
      fc.array(fc.nat({ max: 3 }), { minLength: 5, maxLength: 5 }),
      (pieces, stopsAfter) => {
        const model = new Model(pieces, { ...defaultSeatRules, stallMs: Number.MAX_SAFE_INTEGER })
        const hung = nodes.slice(0, 5)
        for (let round = 0; round < 3000 && model.held().size < pieces; round++) {
          model.now += 500
          hung.forEach((n, at) => {
            model.ask(n, true)
            if (round < stopsAfter[at]!) model.fetch(n, 1)
          })
          model.ask('z', true)
          model.fetch('z', 2)
        }
        expect(model.held().size).toBe(pieces)
      },
    ),
    { seed: 7, numRuns: 25 },
  )
})
