/**
 * The deal: which seat fetches which pieces over the WAN. One deal for each artifact at each site. Pure: it is told who says
 * what, and when; it keeps no timer, and randomness comes in as `newToken`.
 *
 *   40 pieces missing, A asks      A: 0-3                  first runs are small: who knows who else will ask
 *   B asks                         B: 22-25                amid the largest gap, so that both have room to go on
 *   A asks again, has 0-2          A: 3 4-7                the next run before the last is done: a line never idles
 *   B falls silent, had 22         missing 23-25 again     and 22, unless somebody else has got it from B by then
 *   nothing missing, A idle        A: 38 39                moved from C, which would need three times as long
 *
 * Rules
 *  - no piece is dealt to two living leases
 *  - a piece that the site holds is not dealt (but for a node that is cut off from the LAN: `stallMs`)
 *  - every missing piece is dealt in the end, as long as one seat lives and brings what it gets
 *  - a node without a seat is told when to come: they come one after the other, so that a free seat is soon taken
 *  - at most `seatsPerSite` seats, and a seat only together with work: few pieces, few seats; none missing, none at all
 *
 * What nodes say is not proven. A node that claims pieces it has not, or sits on pieces it does not fetch, delays its own site:
 * `stallMs`, moving and eviction end that. It cannot make the origin send much more than two payloads (allowance.ts).
 */
import { type PieceLayout, pieceCount, pieceSize } from '../../core/artifact.ts'
import type { Bitfield } from '../../core/bitfield.ts'
import { Allowance, type Draw } from './allowance.ts'
import { Appointments } from './appointments.ts'
import { Holdings } from './holdings.ts'
import { Lease } from './lease.ts'
import type { SeatAnswer } from './protocol.ts'
import { type Gains, Roster, type SiteNode } from './roster.ts'
import { barrenMs, type SeatRules, seatlessMs } from './rules.ts'
import { collect, renewMs, roomiest, runSize } from './run.ts'
import { chooseTakeOver } from './take-over.ts'
import { worthwhile } from './worthwhile.ts'

/** One word of one node. */
export interface Ask {
  readonly node: string
  /** As many bits as the artifact has pieces. Handed over: the caller does not touch it again. */
  readonly have: Bitfield
  /** False: it needs nothing more, and holds what it has. */
  readonly want: boolean
  /** The token the node thinks it holds. */
  readonly token?: string | undefined
}

const nobody = -1
/** Evictions in a row beyond this many do not lengthen the patience further: a quarter of an hour. */
const mostDoublings = 5

export class Deal {
  readonly layout: PieceLayout
  readonly #rules: SeatRules
  readonly #newToken: () => string
  readonly #createdAt: number
  readonly #holdings: Holdings
  /** By piece: the slot of the lease it is dealt to, or nobody. */
  readonly #owner: Int8Array
  /** By piece: how often it was moved from one seat to another. */
  readonly #moves: Uint8Array
  /** By slot. */
  readonly #leases: (Lease | undefined)[]
  readonly #roster: Roster
  readonly #appointments = new Appointments()
  /** Pieces that nobody at the site has and no lease covers. */
  #undealt: number
  /** Evictions since a seat last brought a piece. */
  #evictions = 0
  #listenUntil = Number.NEGATIVE_INFINITY

  /** @param now Milliseconds that never go back, as in every other call. */
  constructor(layout: PieceLayout, rules: SeatRules, newToken: () => string, now: number) {
    const pieces = pieceCount(layout)
    this.layout = layout
    this.#rules = rules
    this.#roster = new Roster(rules)
    this.#newToken = newToken
    this.#createdAt = now
    this.#holdings = new Holdings(pieces)
    this.#owner = new Int8Array(pieces).fill(nobody)
    this.#moves = new Uint8Array(pieces)
    this.#leases = new Array(rules.seatsPerSite).fill(undefined)
    this.#undealt = pieces
  }

  /** A node speaks: it is counted, its lease renewed or granted, and it hears what is its own now. */
  ask(ask: Ask, now: number): SeatAnswer {
    this.forgetSilent(now)
    const needs = ask.want && !ask.have.complete
    const node = this.#hear(ask, needs, now)
    if (!node || !needs) return this.#answer(undefined, this.#rules.holderMs / 3)
    this.#listenAfterRestart(ask, node, now)
    const lease = node.lease ? this.#refill(node.lease, now) : this.#grant(node, now)
    if (lease) this.#roster.seated(node)
    return this.#answer(lease, this.#nextMs(node, now))
  }

  /**
   * May the holder of `token` draw the bytes [start, end) of the artifact? Every piece they touch must be dealt to it.
   *
   * @returns undefined: no. Else the bytes are taken off its allowance; what is not sent should be refunded.
   */
  draw(token: string, { start, end }: { start: number; end: number }, now: number): Draw | undefined {
    this.forgetSilent(now)
    const lease = this.#leases.find(living => living?.token === token)
    if (!lease || start >= end) return undefined
    const last = Math.floor((end - 1) / this.layout.pieceLength)
    for (let piece = Math.floor(start / this.layout.pieceLength); piece <= last; piece++) {
      if (this.#owner[piece] !== lease.slot) return undefined
    }
    const allowance = lease.node.allowance!
    if (!allowance.reserve(end - start, now)) return undefined
    return {
      node: lease.node.name,
      keeps: (piece, at) => {
        this.forgetSilent(at)
        if (this.#leases[lease.slot] !== lease) return false
        // A piece that the node has got elsewhere meanwhile is let through: cutting it would break the request for the rest.
        return this.#owner[piece] === lease.slot || (this.#owner[piece] === nobody && this.#holdings.has(piece))
      },
      refund: bytes => allowance.refund(bytes),
    }
  }

  /** Forget whoever has been silent for too long. Every other call does this first. Amortised: a node is forgotten once. */
  forgetSilent(now: number): void {
    for (const node of this.#roster.silent(now)) {
      this.#end(node)
      this.#holdings.replace(node.have, undefined, (piece, _, copies) => this.#lost(piece, copies))
    }
  }

  knows(node: string): boolean {
    return this.#roster.find(node) !== undefined
  }

  /** Nodes counted, living leases with the pieces each has still to bring, and pieces held by the site in union. */
  view() {
    return {
      nodes: this.#roster.size,
      seats: this.#living().map(lease => ({ node: lease.node.name, pieces: [...lease.unfinished.keys()] })),
      siteHolds: this.#holdings.held,
    }
  }

  /** @returns undefined when there are too many nodes to know this one too. */
  #hear({ node: name, have }: Ask, needs: boolean, now: number): SiteNode | undefined {
    const known = this.#roster.find(name)
    const node = known ?? this.#roster.admit(name, have, now)
    if (!node) return undefined
    const before = known?.have
    node.have = have
    this.#roster.heard(node, needs, now)
    this.#roster.judgeLan(node, this.#recount(node, before, now), this.#holdings.held, now)
    if (!needs) this.#end(node)
    if (this.#holdings.held === this.#holdings.pieces) this.#endSeats()
    return node
  }

  /** Count what the node has now against what it had. */
  #recount(node: SiteNode, before: Bitfield | undefined, now: number): Gains {
    let bytes = 0
    const gains = { wan: 0, lan: 0 }
    this.#holdings.replace(before, node.have, (piece, gained, copies) => {
      if (!gained) return this.#lost(piece, copies)
      const owner = this.#owner[piece]!
      if (owner === nobody) {
        if (copies === 1) this.#undealt--
        gains.lan++
        return
      }
      const lease = this.#leases[owner]!
      if (lease.node === node) {
        bytes += pieceSize(this.layout, piece)
        gains.wan++
      } else {
        gains.lan++
        // A repair: the site was said to hold it when it was dealt, so another copy changes nothing.
        if (copies > 1) return
      }
      lease.unfinished.delete(piece)
      this.#owner[piece] = nobody
    })
    if (bytes > 0) {
      node.lease!.brought(bytes, now)
      node.barren = false
      this.#evictions = 0
    }
    return gains
  }

  #lost(piece: number, copies: number): void {
    if (copies === 0 && this.#owner[piece] === nobody) this.#undealt++
  }

  /**
   * A token that this deal never gave out: the origin was restarted, and the site holds more than has been said so far. Dealing
   * before everybody has had time to speak once would fetch it again. Only at the start, so nobody can hold a site up with it.
   */
  #listenAfterRestart({ token }: Ask, node: SiteNode, now: number): void {
    if (token === undefined || node.lease || now - this.#createdAt >= this.#seatlessMs) return
    this.#listenUntil = this.#createdAt + this.#seatlessMs
  }

  /** @returns undefined when no seat is free, or there is nothing to do for one more. */
  #grant(node: SiteNode, now: number): Lease | undefined {
    let slot = this.#leases.indexOf(undefined)
    if (slot < 0) slot = this.#evict(node, now)
    if (slot < 0) return undefined
    const lease = new Lease(this.#newToken(), node, slot, now)
    const run = this.#chooseRun(lease, now)
    if (run.length === 0) return undefined
    node.lease = lease
    node.allowance ??= new Allowance(this.#holdings.pieces, this.layout.pieceLength, now)
    this.#leases[slot] = lease
    this.#give(lease, run, now)
    return lease
  }

  /** The next run when less than half of the last is left, or when the last piece is under way. */
  #refill(lease: Lease, now: number): Lease {
    this.#relieve(lease, now)
    if (lease.runsLow) this.#give(lease, this.#chooseRun(lease, now), now)
    return lease
  }

  /** What it will not have passed on before the others are through goes back, but for the piece that is under way. */
  #relieve(lease: Lease, now: number): void {
    const kept = Math.max(1, this.#worth(lease, now))
    for (const piece of [...lease.unfinished.keys()].slice(kept)) this.#release(lease, piece)
  }

  #worth(lease: Lease, now: number): number {
    return worthwhile(lease, this.#living(), this.#undealt, this.layout.pieceLength, now)
  }

  #give(lease: Lease, run: readonly number[], now: number): void {
    if (run.length === 0) return
    for (const piece of run) {
      if (!this.#holdings.has(piece)) this.#undealt--
      this.#owner[piece] = lease.slot
      lease.node.allowance!.dealt(piece, pieceSize(this.layout, piece))
    }
    lease.take(run, now)
  }

  /** Pieces for this seat, owned by nobody: missing ones, else what a cut-off node lacks, else another seat's for an idle one. */
  #chooseRun(lease: Lease, now: number): readonly number[] {
    if (now < this.#listenUntil) return []
    const { node } = lease
    if (this.#undealt > 0) {
      const more = this.#worth(lease, now) - lease.unfinished.size
      const missing = (piece: number) => this.#owner[piece] === nobody && !this.#holdings.has(piece)
      return this.#collect(lease, Math.min(more, this.#runSize(lease, this.#undealt)), missing)
    }
    if (node.cutOff) {
      const lacking = this.#holdings.pieces - node.have.count
      const freeFor = (piece: number) => this.#owner[piece] === nobody && !node.have.has(piece)
      return this.#collect(lease, this.#runSize(lease, lacking), freeFor)
    }
    return lease.unfinished.size === 0 ? this.#takeOver(lease, now) : []
  }

  /** Who comes first may be one of many; who has brought something and is still alone has nobody to leave work to, or to end together with. */
  #runSize(lease: Lease, available: number): number {
    if (lease.rate === 0) return runSize(this.layout, lease, available, this.#rules.seatsPerSite)
    return runSize(this.layout, lease, available, this.#roster.size === 1 ? 'alone' : this.#living().length)
  }

  #collect(lease: Lease, count: number, free: (piece: number) => boolean): number[] {
    const pieces = this.#holdings.pieces
    const goesOn = lease.next >= 0 && lease.next < pieces && free(lease.next)
    const from = goesOn ? lease.next : roomiest(pieces, free, left => this.#owner[left] !== nobody)
    return collect(pieces, from, count, free)
  }

  #takeOver(taker: Lease, now: number): readonly number[] {
    const others = this.#living().filter(lease => lease !== taker && lease.unfinished.size > 0)
    const moves = (piece: number) => this.#moves[piece]!
    const missing = (piece: number) => !this.#holdings.has(piece)
    const taken = chooseTakeOver(taker, others, this.layout.pieceLength, moves, missing, now)
    if (!taken) return []
    if (taken.hung) taken.donor.node.barren = true
    for (const piece of taken.pieces) {
      this.#release(taken.donor, piece)
      this.#moves[piece] = Math.min(255, this.#moves[piece]! + 1)
    }
    return taken.pieces
  }

  /** A node waits and no seat is free: the seat that has brought nothing for longest gives way. @returns Its slot, or -1. */
  #evict(asker: SiteNode, now: number): number {
    if (asker.barren) return -1
    const patience = barrenMs * 2 ** Math.min(this.#evictions, mostDoublings)
    const [barren] = this.#living()
      .filter(lease =>
        lease.unfinished.size > 0
          ? lease.silenceMs(now) >= Math.max(patience, 4 * lease.usualPieceMs(this.layout.pieceLength))
          : lease.node.barren,
      )
      .sort((a, b) => b.silenceMs(now) - a.silenceMs(now))
    if (!barren) return -1
    if (barren.unfinished.size > 0) this.#evictions++
    barren.node.barren = true
    this.#end(barren.node)
    return barren.slot
  }

  /** The seat ends: what it has not brought is missing again, unless the site holds it. */
  #end(node: SiteNode): void {
    const { lease } = node
    if (!lease) return
    for (const piece of lease.unfinished.keys()) this.#release(lease, piece)
    this.#leases[lease.slot] = undefined
    node.lease = undefined
  }

  /** The site holds everything: seats end, but for those of nodes that the LAN does not reach. */
  #endSeats(): void {
    for (const { node } of this.#living()) if (!node.cutOff) this.#end(node)
  }

  #release(lease: Lease, piece: number): void {
    lease.unfinished.delete(piece)
    this.#owner[piece] = nobody
    if (!this.#holdings.has(piece)) this.#undealt++
  }

  #living(): Lease[] {
    return this.#leases.filter(lease => lease !== undefined)
  }

  /** How long a node without a seat waits at least before it asks again. */
  get #seatlessMs(): number {
    return Math.min(seatlessMs, this.#rules.leaseMs / 3)
  }

  #nextMs(node: SiteNode, now: number): number {
    if (node.lease) return renewMs(this.layout.pieceLength, node.lease, this.#rules.leaseMs)
    return now < this.#listenUntil ? this.#listenUntil - now : this.#appointments.nextMs(node, now, this.#seatlessMs)
  }

  #answer(lease: Lease | undefined, nextMs: number): SeatAnswer {
    return {
      seat: lease?.token ?? null,
      pieces: lease ? [...lease.unfinished.keys()].sort((a, b) => a - b) : [],
      leaseMs: this.#rules.leaseMs,
      nextMs: Math.ceil(nextMs),
      siteHolds: this.#holdings.held,
    }
  }
}
