import { describe, expect, test } from 'vitest'
import { Bitfield } from '../../../src/core/bitfield.ts'
import { KiB, MiB } from '../../../src/core/units.ts'
import { Deal } from '../../../src/swarm/seats/deal.ts'
import { defaultSeatRules, type SeatRules } from '../../../src/swarm/seats/rules.ts'
import { fiftyMiB, type SimulatedNode, simulateBranch, twentyMbit } from '../../support/simulated-branch.ts'

const piece = 256 * KiB

/** A deal, and nodes that are as honest as a test wants them. */
function site(pieces: number, rules: Partial<SeatRules> = {}) {
  let tokens = 0
  const layout = { length: pieces * piece, pieceLength: piece }
  const deal = new Deal(layout, { ...defaultSeatRules, ...rules }, () => `token-${tokens++}`, 0)
  const ask = (
    node: string,
    now: number,
    has: Iterable<number> = [],
    more: { want?: boolean; token?: string } = {},
  ) => {
    const have = new Bitfield(pieces)
    for (const index of has) have.set(index)
    return deal.ask({ node, have, want: true, ...more }, now)
  }
  return { deal, ask, all: [...Array(pieces).keys()] }
}

describe('who gets a seat', () => {
  test('twelve nodes ask for 10 MiB at once: five get seats, each with work of its own', () => {
    const { ask } = site(40)
    const answers = Array.from({ length: 12 }, (_, at) => ask(`n${at}`, 0))
    expect(answers.map(({ seat }) => seat !== null)).toEqual(Array.from({ length: 12 }, (_, at) => at < 5))
    const dealt = answers.flatMap(({ pieces }) => pieces)
    expect(new Set(dealt).size).toBe(dealt.length)
    for (const { pieces } of answers.slice(0, 5)) expect(pieces.length).toBeGreaterThan(1)
  })

  test('a small artifact goes out whole in the first answer, and nobody else gets a seat', () => {
    const { ask } = site(4)
    expect(ask('a', 0).pieces).toEqual([0, 1, 2, 3])
    expect(ask('b', 0).seat).toBeNull()
  })

  test('there are fewer pieces than seats: a seat is granted only together with work', () => {
    const { ask } = site(5)
    const seats = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map(node => ask(node, 0)).filter(({ seat }) => seat !== null)
    expect(seats.length).toBeLessThanOrEqual(5)
    expect(seats.flatMap(({ pieces }) => pieces).sort()).toEqual([0, 1, 2, 3, 4])
  })

  test.each([
    ['a thin line: not many times a piece', 8000, 1000, 2000],
    ['a fast line: soon', 200, 50, 50],
  ])('all is dealt, and a seat that is through waits for what others may leave it. %s', (_, pieceMs, least, most) => {
    const { ask } = site(5)
    const [first] = ['a', 'b', 'c', 'd', 'e'].map(node => ask(node, 0).pieces)
    for (let at = 0; at < pieceMs; at += 1000) for (const node of ['a', 'b', 'c', 'd', 'e']) ask(node, at)
    const { pieces, nextMs } = ask('a', pieceMs, first)
    expect(pieces).toEqual([])
    expect(nextMs).toBeGreaterThanOrEqual(least)
    expect(nextMs).toBeLessThanOrEqual(most)
  })

  test.each([
    ['each second', 500, 1000],
    ['a few times a piece, where a piece takes long', 8000, 2000],
  ])('a seat that has enough to do says so %s', (_, pieceMs, most) => {
    const { ask } = site(400)
    const has: number[] = []
    let answer = ask('a', 0)
    let rarest = 0
    for (let now = pieceMs; has.length < 40; now += pieceMs) {
      // It is not forgotten meanwhile.
      for (let at = now - pieceMs; at < now; at += 1000) ask('a', at, has)
      has.push(answer.pieces[0]!)
      answer = ask('a', now, has)
      rarest = Math.max(rarest, answer.nextMs)
    }
    expect(rarest).toBeGreaterThan(0.9 * most)
    expect(rarest).toBeLessThanOrEqual(most)
  })

  test('fifteen wait: they are told to come one after the other, and five seats that lapse are all taken within two seconds', () => {
    const { ask, deal } = site(400)
    const nodes = Array.from({ length: 20 }, (_, at) => `n${at}`)
    const due = new Map(nodes.map(node => [node, 0]))
    let words = 0
    const pass = (from: number, to: number, alive: (node: string) => boolean) => {
      for (let now = from; now < to; now += 50) {
        for (const node of nodes) {
          if (!alive(node) || due.get(node)! > now) continue
          const { seat, nextMs } = ask(node, now)
          due.set(node, now + nextMs)
          if (seat === null) words++
        }
      }
    }
    pass(0, 20_000, () => true)
    const seeds = deal.view().seats.map(({ node }) => node)
    expect(seeds.length).toBe(5)
    // In 20 s; each two seconds would be 150.
    expect(words).toBeLessThan(65)
    expect(deal.view().nodes).toBe(20)
    pass(20_000, 28_200, node => !seeds.includes(node))
    expect(deal.view().seats.filter(({ node }) => !seeds.includes(node)).length).toBe(5)
  })

  test('who asks over and over keeps its appointment, and does not send the others to the end of the queue', () => {
    const { ask } = site(400)
    for (const node of ['a', 'b', 'c', 'd', 'e']) ask(node, 0)
    const first = ask('eager', 0).nextMs
    for (let now = 10; now < 1000; now += 10) expect(ask('eager', now).nextMs).toBe(first - now)
    expect(ask('f', 1000).nextMs).toBeLessThanOrEqual(2400)
    // On time, or nearly so: a new one.
    expect(ask('eager', first - 10).nextMs).toBeGreaterThanOrEqual(2000)
  })

  test('a large site: nobody is told to stay away for more than ten seconds, and nobody is forgotten meanwhile', () => {
    const { ask, deal } = site(400)
    const nextMs = Array.from({ length: 1000 }, (_, at) => ask(`n${at}`, at).nextMs)
    expect(Math.max(...nextMs)).toBe(10_000)
    deal.forgetSilent(10_999)
    expect(deal.view().nodes).toBe(995)
    expect(ask('n999', 10_999).seat).not.toBeNull()
  })

  test('an answer is lost: asking again gives the same seat and the same pieces', () => {
    const { ask } = site(40)
    expect(ask('a', 500)).toEqual({ ...ask('a', 400), nextMs: expect.any(Number) })
  })

  test('a node wants nothing more: its seat goes to the next', () => {
    const { ask } = site(40)
    for (const node of ['a', 'b', 'c', 'd', 'e']) ask(node, 0)
    expect(ask('f', 0).seat).toBeNull()
    expect(ask('c', 100, [], { want: false })).toMatchObject({ seat: null, pieces: [], nextMs: 30_000 })
    expect(ask('f', 200).seat).not.toBeNull()
  })

  test('the site holds everything: no seats, no pieces', () => {
    const { ask, all, deal } = site(40)
    ask('a', 0)
    ask('b', 0, all.slice(0, 20))
    ask('c', 10, all.slice(20))
    expect(ask('a', 20)).toMatchObject({ seat: null, pieces: [], siteHolds: 40 })
    expect(deal.view().seats).toEqual([])
  })

  test('more names than the table holds: the living stay, the newcomer gets nothing and is not counted', () => {
    const { ask, deal, all } = site(40, { mostNodes: 3 })
    for (const node of ['a', 'b', 'c']) ask(node, 0)
    expect(ask('d', 1, all)).toMatchObject({ seat: null, siteHolds: 0 })
    expect(deal.view().nodes).toBe(3)
    expect(ask('a', 2).seat).not.toBeNull()
  })
})

describe('runs', () => {
  /** One node brings a piece each 100 ms, and says so. @returns How many it has before it, word by word. */
  function brings(pieces: number, others: readonly string[]) {
    const { ask } = site(pieces)
    const has: number[] = []
    const left: number[] = []
    let now = 0
    for (const other of others) ask(other, now, [], { want: false })
    for (let answer = ask('a', now); answer.seat; answer = ask('a', now, has)) {
      left.push(answer.pieces.length)
      now += 100
      has.push(answer.pieces[0]!)
    }
    expect(has.length).toBe(pieces)
    expect(Math.min(...left.slice(0, -2))).toBeGreaterThanOrEqual(2)
    return left
  }

  test('the only seat gets everything, never waits for work, and its runs shrink towards the end', () => {
    const left = brings(400, ['b'])
    expect(Math.max(...left)).toBeGreaterThan(6)
    expect(Math.max(...left)).toBeLessThanOrEqual(2 * 10)
    expect(Math.max(...left.slice(-20))).toBeLessThanOrEqual(12)
  })

  test('a node alone at its site: few runs, each up to half of all before and eight seconds of its work', () => {
    const left = brings(400, [])
    const fresh = left.flatMap((count, at) =>
      at > 0 && count >= left[at - 1]! ? [{ run: count - left[at - 1]! + 1, has: at }] : [],
    )
    // A second of its work each were forty. More than half at a time, and a line that breaks three times uses the allowance up.
    expect(fresh.length).toBeLessThan(20)
    for (const { run, has } of fresh) expect(run).toBeLessThanOrEqual(Math.max(10, has / 2 + 1))
    expect(Math.max(...fresh.map(({ run }) => run))).toBeGreaterThan(50)
  })

  test('a seat behind a slow cable is left no more than it can fetch and pass on meanwhile', () => {
    const { ask } = site(200)
    const has = new Map([
      ['slow', [] as number[]],
      ['fast', []],
    ])
    let dealt = ask('slow', 0).pieces
    let fast = ask('fast', 0).pieces
    // The slow one brings a piece each 4 s, the fast one each 0.5 s.
    for (let now = 500; now <= 60_000 && has.get('fast')!.length < 150; now += 500) {
      if (now % 4000 === 0 && dealt.length > 0) has.get('slow')!.push(dealt[0]!)
      if (fast.length > 0) has.get('fast')!.push(fast[0]!)
      dealt = ask('slow', now, has.get('slow')).pieces
      fast = ask('fast', now, has.get('fast')).pieces
      const left = 200 - has.get('slow')!.length - has.get('fast')!.length
      if (now > 4000) expect(dealt.length).toBeLessThanOrEqual(Math.max(1, (left * 500) / (2 * 4000) + 1))
    }
    expect(has.get('slow')!.length).toBeGreaterThan(5)
  })

  /** A slow seat brings a piece each `slowMs`, a fast one each `fastMs`. @returns What the slow one was dealt, and how much was left. */
  function besideFast(pieces: number, slowMs: number, fastMs: number) {
    const { ask } = site(pieces)
    const slow: number[] = []
    const fast: number[] = []
    const dealt: { now: number; pieces: readonly number[]; fresh: number; left: number }[] = []
    let slows = ask('slow', 0).pieces
    let fasts = ask('fast', 0).pieces
    const held = () => new Set([...slow, ...fast]).size
    for (let now = fastMs; held() < pieces && now < 600_000; now += fastMs) {
      const left = pieces - held()
      if (now % slowMs === 0 && slows.length > 0) slow.push(slows[0]!)
      if (fasts.length > 0) fast.push(fasts[0]!)
      const before = new Set(slows)
      slows = ask('slow', now, slow).pieces
      fasts = ask('fast', now, fast).pieces
      dealt.push({ now, pieces: slows, fresh: slows.filter(piece => !before.has(piece)).length, left })
    }
    expect(held()).toBe(pieces)
    return { slow, dealt }
  }

  test('a seat behind a slow cable is dealt nothing that the others would wait for: to fetch and to pass on', () => {
    const { slow, dealt } = besideFast(200, 4000, 500)
    expect(slow.length).toBeGreaterThan(10)
    const late = dealt.filter(({ now, fresh, left }) => now > 8000 && fresh > 0 && left * 500 < 2 * 4000)
    expect(late).toEqual([])
  })

  test('it gives back what it was dealt before that was known, but for what is under way', () => {
    const { dealt } = besideFast(24, 4000, 500)
    expect(dealt[0]!.pieces).toHaveLength(3)
    expect(dealt.find(({ now }) => now === 3500)!.pieces).toHaveLength(1)
  })

  test('and no more at a time than is worth it: it is not given what the next word takes back', () => {
    const { dealt } = besideFast(200, 200, 50)
    const most = ({ left }: { left: number }) => Math.max(1, (left * 50) / (2 * 200) + 1)
    const many = dealt.filter(each => each.now > 1000 && each.fresh > 0 && each.pieces.length > most(each))
    expect(many).toEqual([])
  })

  test('a second node comes: what the first is given from then on is a second of its work again', () => {
    const { ask } = site(400)
    let has: number[] = []
    let answer = ask('a', 0)
    for (let now = 100; has.length < 100; now += 100) {
      has = [...has, answer.pieces[0]!]
      answer = ask('a', now, has)
    }
    ask('b', 10_000)
    const before = new Set(answer.pieces)
    const all = [...has, ...before]
    expect(ask('a', 15_000, all).pieces.length).toBeLessThanOrEqual(20)
  })

  test('a seat goes on where its last run ended, so that a run is one HTTP range', () => {
    const { ask } = site(400)
    const seats = ['a', 'b', 'c'].map(node => ({ node, has: [] as number[] }))
    for (let now = 0; now < 4000; now += 500) {
      for (const { node, has } of seats) has.push(...ask(node, now, has).pieces.slice(0, 2))
    }
    for (const { has } of seats) expect(has).toEqual(has.map((_, at) => has[0]! + at))
  })
})

describe('silence', () => {
  test('a lease lapses: its unfinished pieces, and those that nobody living holds, are dealt again', () => {
    const { ask } = site(8)
    const first = ask('a', 0).pieces
    ask('a', 1000, [first[0]!])
    const others = new Set<number>()
    for (let now = 2000; now < 60_000; now += 1000) {
      for (const index of ask('b', now, others).pieces) others.add(index)
    }
    expect([...others].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  })

  test('a lapsed node had passed a piece on: that piece is not dealt again', () => {
    const { ask } = site(8)
    const [brought] = ask('a', 0).pieces
    ask('a', 1000, [brought!])
    const dealtToB = new Set<number>()
    for (let now = 2000; now < 60_000; now += 1000) {
      for (const index of ask('b', now, [brought!, ...dealtToB]).pieces) dealtToB.add(index)
    }
    expect(dealtToB.has(brought!)).toBe(false)
    expect(dealtToB.size).toBe(7)
  })

  test('a seat comes back too late, with its old token: it hears only what is its own now', () => {
    const { ask } = site(40, { seatsPerSite: 1 })
    const lost = ask('a', 0)
    const taken = ask('b', 7000)
    expect(taken.pieces).toEqual(lost.pieces)
    expect(ask('a', 7001, [], { token: lost.seat! })).toMatchObject({ seat: null, pieces: [] })
  })

  test('a complete node is believed between two announces, and forgotten after three were missed', () => {
    const { ask, all } = site(8)
    ask('done', 0, all, { want: false })
    expect(ask('b', 89_000).siteHolds).toBe(8)
    expect(ask('b', 90_000)).toMatchObject({ siteHolds: 0, seat: expect.any(String) })
  })

  test('the origin was restarted: a node shows a token nobody knows, and the site is heard before anything is dealt', () => {
    const { ask, all } = site(40)
    expect(ask('a', 0, [], { token: 'of another life' })).toMatchObject({ seat: null, pieces: [], nextMs: 2000 })
    ask('b', 500, all.slice(4))
    expect(ask('a', 2000, [], { token: 'of another life' }).pieces).toEqual([0])
  })
})

describe('lies, broken LANs and hung seats', () => {
  test('a liar says it has everything: who waits in vain for stallMs gets it over the WAN, until the LAN brings something', () => {
    const { ask, all } = site(40)
    const has: number[] = []
    let stalled: ReturnType<typeof ask> | undefined
    for (let now = 0; now < 31_000; now += 1000) {
      ask('liar', now, all, { want: false })
      stalled = ask('a', now)
      if (now < 30_000) expect(stalled.seat).toBeNull()
    }
    expect(stalled!.pieces.length).toBeGreaterThan(0)
    has.push(...stalled!.pieces)
    // It goes on without another wait, as long as only the WAN brings anything.
    const next = ask('a', 32_000, has)
    expect(next.pieces.length).toBeGreaterThan(0)
    expect(next.pieces.some(index => has.includes(index))).toBe(false)
    const fromLan = all.filter(index => !next.pieces.includes(index)).slice(-1)
    expect(ask('a', 33_000, [...has, ...next.pieces, ...fromLan])).toMatchObject({ seat: null, pieces: [] })
  })

  test('a cut-off node fetches what the site holds: a neighbour that gets it too does not take it off the list', () => {
    const { ask, all } = site(40)
    let { pieces } = ask('a', 0)
    for (let now = 0; now < 40_000; now += 1000) {
      ask('holder', now, all, { want: false })
      pieces = ask('a', now).pieces
    }
    ask('b', 40_000, pieces)
    expect(ask('a', 40_001).pieces).toEqual(pieces)
  })

  test('nodes that the LAN does not reach get disjoint pieces too', () => {
    const { ask, all } = site(200)
    const dealt: number[] = []
    for (let now = 0; now < 40_000; now += 1000) {
      ask('liar', now, all, { want: false })
      for (const node of ['a', 'b', 'c', 'd', 'e', 'f']) {
        const { pieces } = ask(node, now)
        if (now === 39_000) dealt.push(...pieces)
      }
    }
    expect(dealt.length).toBeGreaterThan(10)
    expect(new Set(dealt).size).toBe(dealt.length)
  })

  test('a seat hangs and renews: an idle one takes its pieces over, each time more patiently', () => {
    const { ask, deal } = site(6, { seatsPerSite: 2 })
    const hung = ask('hung', 0).pieces
    const has: number[] = []
    const moves: number[] = []
    for (let now = 250; now < 600_000; now += 250) {
      const before = deal.view().seats.find(seat => seat.node === 'hung')!.pieces
      ask('hung', now)
      for (const index of ask('a', now, has).pieces) if (!hung.includes(index) && !has.includes(index)) has.push(index)
      const after = deal.view().seats.find(seat => seat.node === 'hung')?.pieces ?? []
      if (before.join() !== after.join()) moves.push(now)
    }
    // Both hang on to the last piece for ever: it goes to and fro a few times in ten minutes, not a hundred times.
    expect(moves.length).toBeGreaterThan(1)
    expect(moves.length).toBeLessThan(25)
  })

  test('all seats hang, and renew: a node that waits gets a seat in the end', () => {
    const { ask } = site(40)
    let seated = -1
    for (let now = 0; now < 120_000 && seated < 0; now += 1000) {
      for (const node of ['a', 'b', 'c', 'd', 'e']) ask(node, now)
      if (ask('honest', now).seat) seated = now
    }
    expect(seated).toBeGreaterThan(25_000)
    expect(seated).toBeLessThan(60_000)
  })
})

describe('bytes', () => {
  const range = (first: number, count = 1) => ({ start: first * piece, end: (first + count) * piece })

  test('only what is dealt to the living lease of that token', () => {
    const { ask, deal } = site(40)
    const a = ask('a', 0)
    const b = ask('b', 0)
    const [first, last] = [a.pieces[0]!, a.pieces.at(-1)!]
    expect(deal.draw(a.seat!, range(first, a.pieces.length), 1)).toBeDefined()
    expect(deal.draw(b.seat!, range(first), 1)).toBeUndefined()
    expect(deal.draw('guessed', range(first), 1)).toBeUndefined()
    expect(deal.draw(a.seat!, { start: last * piece, end: (last + 1) * piece + 1 }, 1)).toBeUndefined()
    expect(deal.draw(a.seat!, { start: first * piece, end: first * piece }, 1)).toBeUndefined()
    expect(deal.draw(a.seat!, range(first), 6000)).toBeUndefined()
  })

  test('a node draws the same pieces again and again: twice and a piece, then no more; what was not sent is given back', () => {
    const { ask, deal } = site(40)
    const { seat, pieces } = ask('a', 0)
    const whole = range(pieces[0]!, pieces.length)
    deal.draw(seat!, whole, 1)?.refund(whole.end - whole.start)
    expect(deal.draw(seat!, whole, 1)).toBeDefined()
    expect(deal.draw(seat!, whole, 1)).toBeDefined()
    expect(deal.draw(seat!, range(pieces[0]!), 1)).toBeDefined()
    expect(deal.draw(seat!, range(pieces[0]!), 1)).toBeUndefined()
    // A node that gives the seat back and takes it again gets no second account.
    ask('a', 2, [], { want: false })
    const again = ask('a', 3)
    expect(again.pieces).toEqual(pieces)
    expect(deal.draw(again.seat!, range(pieces[0]!), 4)).toBeUndefined()
    // But one whose line breaks every transfer gets on, slowly.
    for (let now = 1000; now <= 31_000; now += 1000) ask('a', now)
    expect(deal.draw(again.seat!, range(pieces[0]!), 31_000)).toBeDefined()
  })

  test('sending goes on while the piece is its own or has reached it otherwise, not after the lease', () => {
    const { ask, deal } = site(40)
    const { seat, pieces } = ask('a', 0)
    const draw = deal.draw(seat!, range(pieces[0]!, pieces.length), 0)!
    ask('a', 5000, [pieces[0]!])
    expect(draw.keeps(pieces[0]!, 5000)).toBe(true)
    expect(draw.keeps(pieces[1]!, 10_999)).toBe(true)
    expect(draw.keeps(pieces[1]!, 11_000)).toBe(false)
    // Nor when somebody else holds that seat and those pieces.
    ask('b', 11_001)
    expect(draw.keeps(pieces[1]!, 11_002)).toBe(false)
  })
})

describe('cost', () => {
  test('with 1,000 nodes and 1,000 pieces, a word of one node looks at no other node', () => {
    const pieces = 1000
    const deal = new Deal({ length: pieces * piece, pieceLength: piece }, defaultSeatRules, () => 'token', 0)
    let looks = 0
    const watched = (has: number) => {
      const have = new Bitfield(pieces)
      for (let index = 0; index < has; index++) have.set(index)
      const { bytes } = have
      const counted = new Proxy(bytes, {
        get(target, key) {
          looks++
          return Reflect.get(target, key)
        },
      })
      return Object.defineProperty(have, 'bytes', { value: counted })
    }
    for (let node = 0; node < 1000; node++) deal.ask({ node: `n${node}`, have: watched(node % 900), want: true }, 0)
    looks = 0
    deal.ask({ node: 'n500', have: watched(501), want: true }, 1)
    // Its old word and its new one, 125 bytes each.
    expect(looks).toBeLessThanOrEqual(2 * 125)
  })
})

describe('a simulated branch, 20 Mbit/s', () => {
  const many = (count: number, node: (at: number) => SimulatedNode = () => ({})) =>
    Array.from({ length: count }, (_, at) => node(at))
  const kbit = 1000 / 8
  test.each<[string, readonly SimulatedNode[], { time: number; payloads: number }]>([
    ['one node alone', many(1), { time: 1.02, payloads: 1.001 }],
    ['20 nodes at once', many(20), { time: 1.02, payloads: 1.001 }],
    ['40 nodes at once', many(40), { time: 1.02, payloads: 1.001 }],
    ['20 nodes, spread over 15 s', many(20, at => ({ from: at * 750 })), { time: 1.05, payloads: 1.01 }],
    ['one seed at 1 Mbit/s', many(20, at => (at === 2 ? { limit: 1000 * kbit } : {})), { time: 1.05, payloads: 1.01 }],
    ['one seed at 0.4 Mbit/s', many(20, at => (at === 2 ? { limit: 400 * kbit } : {})), { time: 1.05, payloads: 1.01 }],
    ['one seed hangs', many(20, at => (at === 2 ? { limit: 0 } : {})), { time: 1.05, payloads: 1.01 }],
    ['two seeds die at 40 %', many(20, at => (at < 2 ? { until: 8400 } : {})), { time: 1.1, payloads: 1.02 }],
    ['all five seeds die at 50 %', many(20, at => (at < 5 ? { until: 10_500 } : {})), { time: 1.4, payloads: 1.04 }],
  ])('%s: 50 MiB cross the line once, about as fast as it can', (_, nodes, bar) => {
    const result = simulateBranch(fiftyMiB, twentyMbit, 60, nodes)
    expect(result.complete).toBe(true)
    expect(result.time).toBeLessThanOrEqual(bar.time)
    expect(result.payloads).toBeLessThanOrEqual(bar.payloads)
  })

  test('a thin line, 2 Mbit/s and 160 ms: a slow piece is not taken for a hung seat', () => {
    const result = simulateBranch(32, twentyMbit / 10, 160, many(20))
    expect(result.payloads).toBeLessThanOrEqual(1.01)
    expect(result.time).toBeLessThanOrEqual(1.05)
  })

  test('undisturbed, exactly five of them work, and about equally', () => {
    const { seeds, brought } = simulateBranch(fiftyMiB, twentyMbit, 60, many(12))
    expect(seeds).toBe(5)
    for (const pieces of brought.slice(0, 5)) expect(pieces).toBeGreaterThan(fiftyMiB / 5 / 2)
    expect(brought.slice(5)).toEqual(Array(7).fill(0))
  })
})

test('an artifact of one piece, shorter than a piece, and one of the most pieces there may be', () => {
  const deal = (length: number, pieceLength: number) =>
    new Deal({ length, pieceLength }, defaultSeatRules, () => 't', 0)
  expect(deal(1, piece).ask({ node: 'a', have: new Bitfield(1), want: true }, 0).pieces).toEqual([0])
  const large = deal(65_536 * MiB, MiB)
  expect(large.ask({ node: 'a', have: new Bitfield(65_536), want: true }, 0).pieces).toEqual([0])
})
