/**
 * No request counts twice. Pure: times come in.
 *
 * Every request carries the second it was made in, and a nonce. The guard remembers, for each key, the newest second and the nonces of
 * the minute before it: what is older than that minute is refused unseen. So what it keeps is a minute of each node's requests, however
 * far clocks may differ. Requests made before the origin was started are refused, too: their nonces are forgotten.
 *
 * It is asked only about requests whose signature holds: a stranger cannot make it remember anything.
 */
import { clockToleranceSeconds } from '../swarm/identity/join-protocol.ts'

/** `skewed`: made too far from now. `full`: this key has asked more often than anybody needs to. */
export type Verdict = 'fresh' | 'replayed' | 'skewed' | 'full'

/** Requests of one node may overtake each other by so much, waiting for a connection. */
const memorySeconds = 60
const mostNoncesPerKey = 8192
const mostNonces = 1_000_000

interface Memory {
  newest: number
  /** By the second they were made in. */
  readonly nonces: Map<number, Set<string>>
  count: number
}

export class ReplayGuard {
  readonly #startedAt: number
  /** The longest silent first. */
  readonly #memories = new Map<string, Memory>()
  #count = 0

  /** @param startedAt Seconds since 1970, as all times here. */
  constructor(startedAt: number) {
    this.#startedAt = Math.floor(startedAt)
  }

  /** Nonces kept, for tests. */
  get size(): number {
    return this.#count
  }

  /** Cheap, and asked before a signature is checked. */
  inTime(created: number, now: number): 'fresh' | 'skewed' | 'replayed' {
    if (Math.abs(created - now) > clockToleranceSeconds) return 'skewed'
    return created < this.#startedAt ? 'replayed' : 'fresh'
  }

  /** Judge a request, and remember it when it is fresh. */
  judge(key: string, nonce: string, created: number, now: number): Verdict {
    const inTime = this.inTime(created, now)
    if (inTime !== 'fresh') return inTime
    this.#forgetSilent(now)
    const memory = this.#memories.get(key) ?? { newest: created, nonces: new Map(), count: 0 }
    if (created < memory.newest - memorySeconds || memory.nonces.get(created)?.has(nonce)) return 'replayed'
    this.#advance(memory, created)
    if (memory.count >= mostNoncesPerKey || this.#count >= mostNonces) return 'full'
    memory.nonces.set(created, (memory.nonces.get(created) ?? new Set<string>()).add(nonce))
    memory.count++
    this.#count++
    this.#memories.delete(key)
    this.#memories.set(key, memory)
    return 'fresh'
  }

  #advance(memory: Memory, created: number): void {
    if (created <= memory.newest) return
    memory.newest = created
    for (const [at, nonces] of memory.nonces) {
      if (at < created - memorySeconds) this.#forget(memory, at, nonces.size)
    }
  }

  #forget(memory: Memory, at: number, count: number): void {
    memory.nonces.delete(at)
    memory.count -= count
    this.#count -= count
  }

  /** Of whom nothing has come for so long that all it ever sent is out of time. */
  #forgetSilent(now: number): void {
    for (const [key, memory] of this.#memories) {
      if (now - memory.newest <= clockToleranceSeconds) return
      this.#memories.delete(key)
      this.#count -= memory.count
    }
  }
}
