/**
 * All deals of the origin: one for each artifact in transfer at each site. What is pure is in swarm/seats; here are the clock, the
 * tokens, and the limits on what strangers can make us keep.
 *
 *   token   "2f.nZ3…"     the deal's number in base 36, a dot, 144 random bits
 *
 * Nothing of it is on disk. After a restart nodes ask as before, and the first second is spent listening (see deal.ts).
 */
import { randomBytes } from 'node:crypto'
import { type Artifact, pieceCount } from '../core/artifact.ts'
import { Bitfield } from '../core/bitfield.ts'
import type { Clock } from '../core/clock.ts'
import type { Sha256 } from '../core/digest.ts'
import { MiB } from '../core/units.ts'
import type { Draw } from '../swarm/seats/allowance.ts'
import { Deal } from '../swarm/seats/deal.ts'
import type { SeatAnswer } from '../swarm/seats/protocol.ts'
import type { SeatRules } from '../swarm/seats/rules.ts'
import type { ByteRange } from './byte-range.ts'

export interface SeatAsk {
  readonly node: string
  /** See `siteKey`. */
  readonly site: string
  readonly artifact: Artifact
  readonly have: Bitfield
  readonly want: boolean
  readonly token?: string | undefined
}

interface OpenDeal {
  readonly number: number
  readonly site: string
  readonly artifact: Sha256
  readonly deal: Deal
  /** What a node's bitfields take, at most: what it has, and what was dealt to it. */
  readonly bytesPerNode: number
  readonly bytes: number
  nodes: number
  heardAt: number
}

/** What the bitfields of all nodes of all deals may take. */
const mostBytes = 256 * MiB
/** Of one site: more artifacts than that are not in transfer anywhere, other than by somebody who tries them all. */
const mostDealsPerSite = 64

export class SeatBook {
  readonly #rules: SeatRules
  readonly #mostDeals: number
  readonly #clock: Clock
  readonly #byNumber = new Map<number, OpenDeal>()
  /** By site and artifact, the longest silent first. */
  readonly #deals = new Map<string, OpenDeal>()
  readonly #dealsOfSite = new Map<string, Set<OpenDeal>>()
  #lastNumber = 0
  #bytes = 0

  constructor(rules: SeatRules, mostDeals: number, clock: Clock) {
    this.#rules = rules
    this.#mostDeals = mostDeals
    this.#clock = clock
  }

  /** @returns Also when there is no room for another node or deal: no seat then, the LAN has to do. */
  ask({ site, artifact, node, have, want, token }: SeatAsk): SeatAnswer {
    const now = this.#clock.monotonic()
    this.#forgetSilent(now)
    const key = `${artifact.sha256} ${site}`
    const open = this.#deals.get(key) ?? this.#open(key, site, artifact, now)
    if (!open || (this.#bytes >= mostBytes && !open.deal.knows(node))) return this.#noRoom()
    const answer = open.deal.ask({ node, have, want, token }, now)
    open.heardAt = now
    this.#deals.delete(key)
    this.#deals.set(key, open)
    this.#recount(open, open.deal.view().nodes)
    return answer
  }

  /** May the holder of `token` draw these bytes now? @returns With the site they are for; undefined: no. */
  draw(token: string, artifact: Sha256, range: ByteRange): { site: string; draw: Draw } | undefined {
    const open = this.#byNumber.get(Number.parseInt(token, 36))
    if (open?.artifact !== artifact) return undefined
    const draw = open.deal.draw(token, range, this.#clock.monotonic())
    return draw && { site: open.site, draw }
  }

  /** The node may not draw any more: its leases end, and their pieces are dealt to others. */
  forget(node: string): void {
    const now = this.#clock.monotonic()
    for (const { deal } of this.#deals.values()) {
      if (deal.knows(node)) deal.ask({ node, have: new Bitfield(pieceCount(deal.layout)), want: false }, now)
    }
  }

  /** Seats of a site that have something to fetch, over all artifacts. */
  working(site: string): number {
    const deals = [...(this.#dealsOfSite.get(site) ?? [])]
    return deals.reduce((sum, { deal }) => sum + deal.view().seats.filter(({ pieces }) => pieces.length > 0).length, 0)
  }

  /** Living deals, for the log and for tests. */
  view() {
    const now = this.#clock.monotonic()
    this.#forgetSilent(now)
    return [...this.#deals.values()].map(({ site, artifact, deal }) => {
      deal.forgetSilent(now)
      return { site, artifact, ...deal.view() }
    })
  }

  #open(key: string, site: string, artifact: Artifact, now: number): OpenDeal | undefined {
    const ofSite = this.#dealsOfSite.get(site) ?? new Set()
    if (this.#deals.size >= this.#mostDeals || ofSite.size >= mostDealsPerSite || this.#bytes >= mostBytes)
      return undefined
    const number = ++this.#lastNumber
    const newToken = () => `${number.toString(36)}.${randomBytes(18).toString('base64url')}`
    const deal = new Deal(artifact, this.#rules, newToken, now)
    const pieces = pieceCount(artifact)
    const bytesPerNode = 2 * Math.ceil(pieces / 8) + 500
    const open = {
      number,
      site,
      artifact: artifact.sha256,
      deal,
      bytesPerNode,
      bytes: 4 * pieces + 1000,
      nodes: 0,
      heardAt: now,
    }
    this.#dealsOfSite.set(site, ofSite.add(open))
    this.#byNumber.set(number, open)
    this.#deals.set(key, open)
    this.#bytes += open.bytes
    return open
  }

  #recount(open: OpenDeal, nodes: number): void {
    this.#bytes += (nodes - open.nodes) * open.bytesPerNode
    open.nodes = nodes
  }

  /** No word for so long means that no node is living there any more. */
  #forgetSilent(now: number): void {
    for (const [key, open] of this.#deals) {
      if (now - open.heardAt < Math.max(this.#rules.holderMs, this.#rules.leaseMs)) return
      this.#deals.delete(key)
      this.#byNumber.delete(open.number)
      this.#recount(open, 0)
      this.#bytes -= open.bytes
      const ofSite = this.#dealsOfSite.get(open.site)!
      ofSite.delete(open)
      if (ofSite.size === 0) this.#dealsOfSite.delete(open.site)
    }
  }

  #noRoom(): SeatAnswer {
    const { leaseMs, holderMs } = this.#rules
    return { seat: null, pieces: [], leaseMs, nextMs: Math.ceil(holderMs / 3), siteHolds: 0 }
  }
}

/** @returns undefined when `base64` is no bitfield of this artifact. */
export function parseHave(artifact: Artifact, base64: string): Bitfield | undefined {
  try {
    return Bitfield.parse(pieceCount(artifact), base64)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}
