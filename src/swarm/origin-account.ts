/**
 * What the line to the origin carried, by purpose: the bodies of requests and answers. The sum of all connections is counted beside it, at
 * their sockets, and the difference is what it took to carry them: heads of HTTP, and TLS.
 */
import { type Counted, type Flow, Traffic } from './traffic.ts'

export const purposes = ['payload', 'metadata', 'seats', 'tracker', 'news', 'reports'] as const
export type Purpose = (typeof purposes)[number]

export interface BothWays {
  readonly bytesIn: number
  readonly bytesOut: number
}

export interface OriginAccountView {
  readonly total: Omit<Flow, 'peer'>
  readonly purposes: Readonly<Record<Purpose, BothWays>>
  /** Heads of HTTP, and TLS. */
  readonly protocol: BothWays
}

const origin = 'origin'

export class OriginAccount {
  readonly traffic = new Traffic()
  readonly #bodies = new Map<Purpose, { bytesIn: number; bytesOut: number }>(
    purposes.map(purpose => [purpose, { bytesIn: 0, bytesOut: 0 }]),
  )

  watch(socket: Counted): void {
    this.traffic.watch(origin, socket, 'out')
  }

  received(purpose: Purpose, bytes: number): void {
    this.#bodies.get(purpose)!.bytesIn += bytes
  }

  sent(purpose: Purpose, bytes: number): void {
    this.#bodies.get(purpose)!.bytesOut += bytes
  }

  view(): OriginAccountView {
    const { bytesIn, bytesOut, connections } = this.traffic.sum()
    const bodies = [...this.#bodies.values()]
    // A request whose body is counted may not have reached its socket yet.
    const rest = (total: number, parts: readonly number[]) =>
      Math.max(
        0,
        parts.reduce((left, part) => left - part, total),
      )
    return {
      total: { bytesIn, bytesOut, connections },
      purposes: Object.fromEntries([...this.#bodies].map(([name, body]) => [name, { ...body }])) as Record<
        Purpose,
        BothWays
      >,
      protocol: {
        bytesIn: rest(
          bytesIn,
          bodies.map(body => body.bytesIn),
        ),
        bytesOut: rest(
          bytesOut,
          bodies.map(body => body.bytesOut),
        ),
      },
    }
  }
}
