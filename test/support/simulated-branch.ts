import { pieceSize } from '../../src/core/artifact.ts'
import { Bitfield } from '../../src/core/bitfield.ts'
import { KiB, MiB } from '../../src/core/units.ts'
import { Deal } from '../../src/swarm/seats/deal.ts'
import { defaultSeatRules } from '../../src/swarm/seats/rules.ts'

export interface SimulatedNode {
  /** Bytes a second it can take from the WAN at most; 0: it asks, and never fetches. */
  readonly limit?: number
  /** ms: it starts then, and is dead from `until` on. */
  readonly from?: number
  readonly until?: number
}

const tickMs = 10
export const twentyMbit = (20 * 1000 * 1000) / 8
/** In pieces of 256 KiB. */
export const fiftyMiB = (50 * MiB) / (256 * KiB)

/** One machine of the branch: what it has, what it fetches, and the answer that is on its way to it. */
class Machine {
  readonly name: string
  readonly limit: number
  readonly from: number
  readonly until: number
  readonly have: Bitfield
  token: string | undefined
  queue: number[] = []
  /** The piece under way, and its bytes so far. */
  piece = -1
  bytes = 0
  run = 0
  left = 0
  askAt: number
  copied = 0
  brought = 0
  answer: { at: number; pieces: number[]; token: string | null; nextMs: number } | undefined

  constructor(name: string, node: SimulatedNode, pieces: number, line: number) {
    this.name = name
    this.limit = node.limit ?? line
    this.from = node.from ?? 0
    this.until = node.until ?? Number.POSITIVE_INFINITY
    this.askAt = this.from
    this.have = new Bitfield(pieces)
  }

  hear(now: number): void {
    if (!this.answer || this.answer.at > now) return
    this.queue = this.answer.pieces
    this.run = this.queue.length
    this.token = this.answer.token ?? undefined
    this.askAt = now + this.answer.nextMs
    this.answer = undefined
  }

  /** As nodes do: when told to, and at each piece brought once less than half of the run is left. */
  ask(deal: Deal, now: number, roundTrip: number): void {
    this.queue = this.queue.filter(piece => !this.have.has(piece) && piece !== this.piece)
    const left = this.queue.length + (this.piece >= 0 ? 1 : 0)
    const early = left < this.left && (left === 1 || left * 2 < this.run)
    this.left = left
    if (this.answer || (this.askAt > now && !early)) return
    const have = new Bitfield(this.have.length, this.have.bytes)
    const want = !have.complete
    const { seat, pieces, nextMs } = deal.ask({ node: this.name, have, want, token: this.token }, now)
    this.answer = { at: now + roundTrip, pieces, token: seat, nextMs }
  }

  /** @returns The pieces that these bytes complete. */
  receive(bytes: number, size: (piece: number) => number): number[] {
    const done: number[] = []
    this.bytes += bytes
    while (this.piece >= 0 && this.bytes >= size(this.piece)) {
      this.bytes -= size(this.piece)
      this.have.set(this.piece)
      done.push(this.piece)
      this.piece = this.queue.shift() ?? -1
    }
    if (this.piece < 0) this.bytes = 0
    this.brought += done.length
    return done
  }
}

/**
 * A branch in simulated time: nodes on one WAN line that is shared evenly ask a real deal as nodes do, and a LAN copies every
 * finished piece to everybody after 100 ms. A node finishes the piece that it has begun even if that was moved to another
 * meanwhile: what the line carries twice is counted.
 *
 * @param line Bytes a second. @param roundTrip ms from asking to hearing the answer.
 */
export function simulateBranch(pieces: number, line: number, roundTrip: number, nodes: readonly SimulatedNode[]) {
  const layout = { length: pieces * 256 * KiB, pieceLength: 256 * KiB }
  let tokens = 0
  const deal = new Deal(layout, defaultSeatRules, () => `token-${tokens++}`, 0)
  const machines = nodes.map((node, at) => new Machine(`n${at}`, node, pieces, line))
  const arrivals: { at: number; piece: number }[] = []
  const onLan: number[] = []
  const seeds = new Set<string>()
  let lineBytes = 0
  let now = 0
  const alive = () => machines.filter(({ from, until }) => now >= from && now < until)
  for (; now < 3_600_000 && !machines.every(m => m.have.complete || m.until <= now); now += tickMs) {
    while (arrivals.length > 0 && arrivals[0]!.at <= now) onLan.push(arrivals.shift()!.piece)
    for (const machine of alive()) {
      while (machine.copied < onLan.length) machine.have.set(onLan[machine.copied++]!)
      machine.hear(now)
      if (machine.token) seeds.add(machine.name)
      machine.ask(deal, now, roundTrip)
      if (machine.piece < 0 && machine.limit > 0) machine.piece = machine.queue.shift() ?? -1
    }
    // A slow node takes less than its share of the line; what it leaves goes to the others.
    const busy = alive().filter(m => m.piece >= 0)
    busy.sort((a, b) => a.limit - b.limit)
    let capacity = (line * tickMs) / 1000
    busy.forEach((machine, at) => {
      const share = Math.min(capacity / (busy.length - at), (machine.limit * tickMs) / 1000)
      capacity -= share
      lineBytes += share
      const done = machine.receive(share, piece => pieceSize(layout, piece))
      for (const piece of done) arrivals.push({ at: now + 100, piece })
    })
  }
  return {
    /** Until the last node had everything / what the line needs for one payload. */
    time: now / 1000 / (layout.length / line),
    payloads: lineBytes / layout.length,
    seeds: seeds.size,
    brought: machines.map(machine => machine.brought),
    complete: machines.every(m => m.have.complete || m.until <= now),
  }
}
