/**
 * "Can you reach me?": who is listened to cannot find out alone whether a firewall lets others in. A node asks a neighbour, which dials it
 * back and says what came of it:
 *
 *   GET /reach/pc-7      { "outcome": "reached" }
 *                        { "outcome": "timeout" }       as where a firewall drops; `refused`: nobody listens; `unreachable`: no way there
 *                        { "outcome": "unheard" }       no beacon of pc-7 from this address: nobody is dialled
 *                        { "outcome": "busy" }          not now
 *
 * Rules, since a service that dials for others is worth abusing
 *  - the one address that is dialled is that of the connection which asks; nobody can make one up and still hear the answer
 *  - the one port is what this very node has named in a beacon: under the key of the site, and sent from the same address
 *  - nothing is said on that connection and nothing is read from it; the answer is one of the words above
 *  - one dial for an asker in ten seconds, and two at once for all, of two seconds each; each is one of `limits.lan_connections`
 */
import { connect } from 'node:net'
import type { Clock } from '../core/clock.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import { z } from '../core/schema.ts'
import { second } from '../core/units.ts'
import type { Beacon } from './beacon/datagram.ts'
import type { NeighbourLine } from './neighbour-line.ts'

export const reachOutcomes = ['reached', 'timeout', 'refused', 'unreachable', 'unheard', 'busy'] as const
export type ReachOutcome = (typeof reachOutcomes)[number]

export const reachAnswer = z.strictObject({ outcome: z.enum(reachOutcomes) })
export const reachAnswerLimitBytes = 256

export function reachUrlPath(node: string): string {
  return `/reach/${node}`
}

export interface DialBackParts {
  /** What this node's last beacon says; undefined when none was heard of late. */
  heard(node: string): Pick<Beacon, 'address' | 'port'> | undefined
  readonly line: Pick<NeighbourLine, 'take' | 'done' | 'dialled'>
  readonly clock: Pick<Clock, 'monotonic'>
}

const mostAtOnce = 2
const pauseMs = 10 * second
const patienceMs = 2 * second

export class DialBack implements Stoppable {
  readonly #parts: DialBackParts
  readonly #over = new AbortController()
  /** By address, monotonic; the oldest first. */
  readonly #lastDial = new Map<string, number>()
  #underWay = 0

  constructor(parts: DialBackParts) {
    this.#parts = parts
  }

  /** @param node As it calls itself. @param from Where its question comes from. Never throws. */
  async reach(node: string, from: string): Promise<ReachOutcome> {
    const told = this.#parts.heard(node)
    if (told?.address !== from) return 'unheard'
    const { clock, line } = this.#parts
    const now = clock.monotonic()
    for (const [address, at] of this.#lastDial) if (now - at >= pauseMs) this.#lastDial.delete(address)
    if (this.#underWay >= mostAtOnce || this.#lastDial.has(from) || !line.take()) return 'busy'
    this.#lastDial.set(from, now)
    this.#underWay++
    try {
      return await dial(from, told.port, line, this.#over.signal)
    } finally {
      this.#underWay--
      line.done()
    }
  }

  async stop(): Promise<void> {
    this.#over.abort()
  }
}

function dial(
  host: string,
  port: number,
  line: Pick<NeighbourLine, 'dialled'>,
  over: AbortSignal,
): Promise<ReachOutcome> {
  return new Promise(resolve => {
    const socket = connect({ host, port, signal: over })
    line.dialled(host, socket)
    const patience = setTimeout(() => end('timeout'), patienceMs)
    const end = (outcome: ReachOutcome) => {
      clearTimeout(patience)
      socket.destroy()
      resolve(outcome)
    }
    socket.once('connect', () => end('reached'))
    socket.on('error', ({ code }: NodeJS.ErrnoException) => end(code === 'ECONNREFUSED' ? 'refused' : 'unreachable'))
  })
}
