/**
 * Which of the neighbours that are known for an artifact its swarm gets to know, and when. A connection costs both ends a millisecond of a
 * processor and more. A large artifact earns it many times; but forty nodes that all connect to each other for one piece of 10 KiB do little
 * else for seconds.
 *
 *   as they are named      three at random, and one more for each piece of the artifact
 *   then                   three every two seconds, as long as pieces are missing: those may be gone, or as poor as we are
 *   and when it is whole   three every ten seconds: who lacks something dials us, unless a firewall of ours keeps him out
 *
 * Who is named again two minutes later is given again: a swarm forgets whom it dialled in vain for so long, and a machine that is switched on
 * in the morning comes back under its old name.
 */
import type { Clock } from '../core/clock.ts'
import { inBackground, type Stoppable } from '../core/lifecycle.ts'
import type { PieceStore } from '../core/piece-store.ts'
import { minute, second } from '../core/units.ts'
import { Bell } from '../swarm/bell.ts'
import type { PeerAddress, Swarm } from '../swarm/engine.ts'
import { shuffled } from './shuffled.ts'

export interface PeerSupplyParts {
  readonly swarm: Pick<Swarm, 'addPeers'>
  readonly store: Pick<PieceStore, 'have' | 'pieces'>
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
}

const few = 3
const missingMs = 2 * second
const wholeMs = 10 * second
const againMs = 2 * minute
/** Names cost memory, and a stranger can have many. */
const mostKnown = 1000
const waits = Number.POSITIVE_INFINITY

export class PeerSupply implements Stoppable {
  readonly #parts: PeerSupplyParts
  /** By host and port: when the swarm was given who was named; never yet, of those who wait. */
  readonly #known = new Map<string, number>()
  #waiting: PeerAddress[] = []
  readonly #named = new Bell()
  readonly #pouring: Stoppable

  constructor(parts: PeerSupplyParts) {
    this.#parts = parts
    this.#pouring = inBackground(ended => this.#pour(ended))
  }

  /** Name some, new or not. */
  offer(peers: readonly PeerAddress[]): void {
    const { store, random } = this.#parts
    if (this.#known.size >= mostKnown) this.#forget()
    for (const { host, port } of shuffled(peers, random)) {
      const key = keyOf({ host, port })
      if (this.#known.has(key) ? !this.#isLongGiven(key) : this.#known.size >= mostKnown) continue
      this.#known.set(key, waits)
      this.#waiting.push({ host, port })
    }
    const given = this.#known.size - this.#waiting.length
    if (!store.have.complete) this.#give(few + store.pieces - given)
    if (this.#waiting.length > 0) this.#named.ring()
  }

  stop(): Promise<void> {
    return this.#pouring.stop()
  }

  async #pour(ended: AbortSignal): Promise<void> {
    const { store, clock } = this.#parts
    for (;;) {
      if (this.#waiting.length === 0) await this.#named.heard(ended)
      const whole = store.have.complete
      await clock.sleep(whole ? wholeMs : missingMs, ended)
      if (whole === store.have.complete) this.#give(few)
    }
  }

  #give(count: number): void {
    const peers = this.#waiting.splice(0, Math.max(0, count))
    for (const peer of peers) this.#known.set(keyOf(peer), this.#parts.clock.monotonic())
    if (peers.length > 0) this.#parts.swarm.addPeers(peers)
  }

  #isLongGiven(key: string): boolean {
    return this.#parts.clock.monotonic() - this.#known.get(key)! >= againMs
  }

  #forget(): void {
    for (const key of this.#known.keys()) if (this.#isLongGiven(key)) this.#known.delete(key)
  }
}

function keyOf({ host, port }: PeerAddress): string {
  return `${host} ${port}`
}
