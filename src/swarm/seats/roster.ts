import type { Bitfield } from '../../core/bitfield.ts'
import type { Allowance } from './allowance.ts'
import type { Lease } from './lease.ts'
import { longestWaitMs, type SeatRules } from './rules.ts'

/** A node as the deal knows it, from its first word until it has been silent for too long. */
export interface SiteNode {
  readonly name: string
  have: Bitfield
  heardAt: number
  /** When it is to come if it waits for a seat (`Appointments`). */
  comesAt: number
  lease: Lease | undefined
  /** From its first seat on. */
  allowance: Allowance | undefined
  /** Since when the site has held pieces that this node lacks without one of them reaching it. */
  waitingSince: number
  /** The LAN brings this node nothing (a lie, a dead holder, a switch that isolates): the WAN may, piece by piece. */
  cutOff: boolean
  /** It sat on pieces for too long and has brought none since: where others want work or a seat, they come first. */
  barren: boolean
}

/** Pieces that a node has now and had not when it last spoke, by where they must have come from. */
export interface Gains {
  wan: number
  lan: number
}

/**
 * The living nodes of a site, by how long each is believed: those with a seat, those that wait for one and have been told to stay away
 * meanwhile, and those that only hold the artifact.
 */
export class Roster {
  readonly #rules: SeatRules
  /** The longest silent first: finding who is to be forgotten costs nothing while nobody is. */
  readonly #seated = new Map<string, SiteNode>()
  readonly #waiting = new Map<string, SiteNode>()
  readonly #holding = new Map<string, SiteNode>()

  constructor(rules: SeatRules) {
    this.#rules = rules
  }

  get size(): number {
    return this.#seated.size + this.#waiting.size + this.#holding.size
  }

  find(name: string): SiteNode | undefined {
    return this.#seated.get(name) ?? this.#waiting.get(name) ?? this.#holding.get(name)
  }

  /** @returns undefined when the table is full. The living are safe: a flood of names pushes nobody out. */
  admit(name: string, have: Bitfield, now: number): SiteNode | undefined {
    if (this.size >= this.#rules.mostNodes) return undefined
    const fresh = { lease: undefined, allowance: undefined, cutOff: false, barren: false }
    return { name, have, heardAt: now, comesAt: Number.NEGATIVE_INFINITY, waitingSince: now, ...fresh }
  }

  /** The node has spoken. If it wants the artifact it is taken to wait for a seat: see `seated`. */
  heard(node: SiteNode, wants: boolean, now: number): void {
    const wanted = this.#seated.delete(node.name) || this.#waiting.delete(node.name)
    if (!wanted) node.waitingSince = now
    this.#holding.delete(node.name)
    node.heardAt = now
    ;(wants ? this.#waiting : this.#holding).set(node.name, node)
  }

  /** The node that has just spoken is told that it has a seat, and to come again soon. */
  seated(node: SiteNode): void {
    this.#waiting.delete(node.name)
    this.#seated.set(node.name, node)
  }

  /** Whether the LAN brings this node what the site is said to hold. @param held Pieces the site holds in union. */
  judgeLan(node: SiteNode, gains: Gains, held: number, now: number): void {
    if (gains.lan > 0) node.cutOff = false
    // What a node has is part of what the site holds: equal counts mean that no neighbour has anything for it.
    const nothingToGet = held === node.have.count
    if (gains.lan + gains.wan > 0 || nothingToGet) node.waitingSince = now
    else if (now - node.waitingSince >= this.#rules.stallMs) node.cutOff = true
  }

  /** Take out, one by one, who has been silent for too long. */
  *silent(now: number): Generator<SiteNode> {
    yield* takeOlder(this.#seated, now - this.#rules.leaseMs)
    yield* takeOlder(this.#waiting, now - this.#rules.leaseMs - longestWaitMs)
    yield* takeOlder(this.#holding, now - this.#rules.holderMs)
  }
}

function* takeOlder(nodes: Map<string, SiteNode>, limit: number): Generator<SiteNode> {
  for (const node of nodes.values()) {
    if (node.heardAt > limit) return
    nodes.delete(node.name)
    yield node
  }
}
