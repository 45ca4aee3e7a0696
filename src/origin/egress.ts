/** Artifact bytes sent, by site and artifact: what the whole design is measured by. */
import type { Sha256 } from '../core/digest.ts'

/** Beyond this many pairs, bytes are only counted in total. */
const mostCounters = 20_000

export class Egress {
  readonly #bytes = new Map<string, { site: string; artifact: Sha256; bytes: number }>()
  #total = 0

  get total(): number {
    return this.#total
  }

  /** @param site Undefined for bytes that nobody's lease accounts for (`payloads = "open"`). */
  sent(site: string | undefined, artifact: Sha256, bytes: number): void {
    this.#total += bytes
    const key = `${artifact} ${site ?? ''}`
    const counter = this.#bytes.get(key)
    if (counter) counter.bytes += bytes
    else if (this.#bytes.size < mostCounters) this.#bytes.set(key, { site: site ?? '', artifact, bytes })
  }

  view(): readonly { site: string; artifact: Sha256; bytes: number }[] {
    return [...this.#bytes.values()].map(counter => ({ ...counter }))
  }
}
