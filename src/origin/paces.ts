/** The pace that each seat asks for, for as long as it lives: a node with a limit of its own is sent no more than that, so that nothing queues on its line. */
import { minute } from '../core/units.ts'
import { Limiter } from '../swarm/limits/limiter.ts'

interface Pace {
  readonly limiter: Limiter
  heardAt: number
}

/** Longer than a lease lives without a word. */
const keptMs = 20 * minute
/** A node that gives its seat back and asks again has a new one each time. Whose pace is forgotten is sent more than it reads, no more. */
const mostPaces = 20_000

export class Paces {
  /** By token, the longest silent first. Tokens are the origin's own, and few: the living leases of all sites. */
  readonly #paces = new Map<string, Pace>()

  /** A seat has spoken. @param bytesPerSecond undefined: as fast as it goes. @param now Monotonic milliseconds. */
  ask(token: string, bytesPerSecond: number | undefined, now: number): void {
    for (const [old, { heardAt }] of this.#paces) {
      if (now - heardAt < keptMs && this.#paces.size < mostPaces) break
      this.#paces.delete(old)
    }
    const known = this.#paces.get(token)
    if (!known && bytesPerSecond === undefined) return
    const pace = known ?? { limiter: new Limiter(), heardAt: now }
    pace.limiter.setRate(bytesPerSecond ?? Number.POSITIVE_INFINITY)
    pace.heardAt = now
    this.#paces.delete(token)
    this.#paces.set(token, pace)
  }

  of(token: string): Limiter | undefined {
    return this.#paces.get(token)?.limiter
  }
}
