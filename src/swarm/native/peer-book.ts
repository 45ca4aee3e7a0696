/**
 * The addresses a swarm knows, and what it thinks of them: when each may be dialled next, how many strikes it has, whether it is
 * banned. Pure.
 *
 * A strike is held against the address and not the connection or the peer id, which cost an attacker nothing to change. At most
 * `candidateLimit` addresses are known, however many a tracker or a neighbour names.
 */
import { minute, second } from '../../core/units.ts'
import type { PeerAddress } from '../engine.ts'
import { canonicalAddress, type Networks } from '../networks.ts'

const candidateLimit = 1000
const strikeLimit = 3
/** Bans are for the life of the swarm; only an attacker with this many addresses inside our networks gets one back. */
const strikesKept = 10_000
const failureLimit = 8
const firstRetryMs = second
const longestRetryMs = minute

interface Candidate {
  readonly address: PeerAddress
  /** In use: being dialled, or connected. */
  busy: boolean
  /** Dials in a row that led to nothing. */
  failures: number
  dueAt: number
}

export class PeerBook {
  readonly #networks: Networks
  readonly #candidates = new Map<string, Candidate>()
  readonly #strikes = new Map<string, number>()
  /** Addresses at which we met ourselves. */
  readonly #own = new Set<string>()

  constructor(networks: Networks) {
    this.#networks = networks
  }

  /** Inside the networks and not banned. @param host Canonical. */
  welcome(host: string): boolean {
    return this.#networks.allowed(host) && this.strikes(host) < strikeLimit
  }

  /** Take candidates in; known, unwelcome and impossible ones are passed over. */
  add(addresses: readonly PeerAddress[], now: number): void {
    for (const { host, port } of addresses) {
      const canonical = canonicalAddress(host)
      if (canonical === undefined || !Number.isInteger(port) || port < 1 || port > 65_535) continue
      const key = keyOf(canonical, port)
      if (!this.welcome(canonical) || this.#candidates.has(key) || this.#own.has(key)) continue
      if (this.#candidates.size >= candidateLimit) return
      this.#candidates.set(key, { address: { host: canonical, port }, busy: false, failures: 0, dueAt: now })
    }
  }

  /** The next address to dial, now in use until `failed` or `ended`. @param skip Not these, for the moment. */
  next(now: number, skip: (address: PeerAddress) => boolean): PeerAddress | undefined {
    for (const [key, candidate] of this.#candidates) {
      if (candidate.busy || candidate.dueAt > now || skip(candidate.address)) continue
      candidate.busy = true
      // To the end of the Map, so that all have their turn.
      this.#candidates.delete(key)
      this.#candidates.set(key, candidate)
      return candidate.address
    }
    return undefined
  }

  /** Somebody who was dialled in vain will be dialled again. */
  get retrying(): boolean {
    for (const { busy, failures } of this.#candidates.values()) if (!busy && failures > 0) return true
    return false
  }

  /** The dial, or the connection before it was of any use, came to nothing. */
  failed({ host, port }: PeerAddress, now: number): void {
    const candidate = this.#candidates.get(keyOf(host, port))
    if (!candidate) return
    candidate.busy = false
    candidate.failures++
    candidate.dueAt = now + Math.min(firstRetryMs * 2 ** (candidate.failures - 1), longestRetryMs)
    if (candidate.failures >= failureLimit) this.#candidates.delete(keyOf(host, port))
  }

  /** A useful connection has ended. */
  ended({ host, port }: PeerAddress, now: number): void {
    const candidate = this.#candidates.get(keyOf(host, port))
    if (!candidate) return
    candidate.busy = false
    candidate.failures = 0
    candidate.dueAt = now + firstRetryMs
  }

  /** We met ourselves there. */
  own({ host, port }: PeerAddress): void {
    this.#candidates.delete(keyOf(host, port))
    if (this.#own.size < candidateLimit) this.#own.add(keyOf(host, port))
  }

  strikes(host: string): number {
    return this.#strikes.get(host) ?? 0
  }

  /** `host` brought a bad piece. @returns Whether it is banned now. */
  strike(host: string): boolean {
    const strikes = this.strikes(host) + 1
    if (this.#strikes.size >= strikesKept && !this.#strikes.has(host)) this.#strikes.delete(first(this.#strikes))
    this.#strikes.set(host, strikes)
    if (strikes < strikeLimit) return false
    for (const [key, { address }] of this.#candidates) if (address.host === host) this.#candidates.delete(key)
    return true
  }
}

function keyOf(host: string, port: number): string {
  return `${host} ${port}`
}

function first(map: ReadonlyMap<string, unknown>): string {
  return map.keys().next().value!
}
