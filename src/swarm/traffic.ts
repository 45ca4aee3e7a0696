/**
 * Every byte on the TCP connections of one kind, by who is at the other end, since the start: payload, protocol and TLS, all that the
 * kernel was given and gave. Frame headers are all that the counters of the interface have on top.
 */
import type { Socket } from 'node:net'

export interface Flow {
  readonly peer: string
  readonly bytesIn: number
  readonly bytesOut: number
  /** Connections open now. */
  readonly connections: number
}

type Direction = 'in' | 'out'
type Counter = Pick<Socket, 'bytesRead' | 'bytesWritten'>
type Counted = Counter & Pick<Socket, 'once'>

/** Who comes beyond so many is counted as one: names cost memory, and strangers can have many. */
const mostPeers = 1000
const others = 'others'

interface Account {
  bytesIn: number
  bytesOut: number
  readonly open: Map<Counter, Direction>
}

export class Traffic {
  readonly #accounts = new Map<string, Account>()
  readonly #open: Record<Direction, number> = { in: 0, out: 0 }
  #lastCaller: { readonly peer: string; readonly at: number } | undefined

  /** Count this connection until it is closed. @param direction Who has dialled: `in`, the other side. */
  watch(peer: string, socket: Counted, direction: Direction): void {
    const account = this.#accountOf(peer)
    const counter = counterOf(socket)
    account.open.set(counter, direction)
    this.#open[direction]++
    if (direction === 'in') this.#lastCaller = { peer, at: Date.now() }
    socket.once('close', () => {
      this.#open[direction]--
      account.open.delete(counter)
      account.bytesIn += counter.bytesRead
      account.bytesOut += counter.bytesWritten
    })
  }

  /** Connections open now. */
  open(direction?: Direction): number {
    return direction ? this.#open[direction] : this.#open.in + this.#open.out
  }

  /** Who has connected to us last, and when (ms since 1970). */
  get lastCaller(): { readonly peer: string; readonly at: number } | undefined {
    return this.#lastCaller
  }

  view(): Flow[] {
    return [...this.#accounts].map(([peer, { bytesIn, bytesOut, open }]) => {
      const sockets = [...open.keys()]
      return {
        peer,
        bytesIn: sockets.reduce((sum, { bytesRead }) => sum + bytesRead, bytesIn),
        bytesOut: sockets.reduce((sum, { bytesWritten }) => sum + bytesWritten, bytesOut),
        connections: open.size,
      }
    })
  }

  /** All peers together. */
  sum(): Omit<Flow, 'peer'> {
    return this.view().reduce(
      (sum, flow) => ({
        bytesIn: sum.bytesIn + flow.bytesIn,
        bytesOut: sum.bytesOut + flow.bytesOut,
        connections: sum.connections + flow.connections,
      }),
      { bytesIn: 0, bytesOut: 0, connections: 0 },
    )
  }

  #accountOf(peer: string): Account {
    const known = this.#accounts.get(peer)
    if (known) return known
    if (this.#accounts.size >= mostPeers && peer !== others) return this.#accountOf(others)
    const account = { bytesIn: 0, bytesOut: 0, open: new Map() }
    this.#accounts.set(peer, account)
    return account
  }
}

/**
 * A TLS socket counts what it has decrypted; what crossed the line is known to the TCP handle below it. Node does not document that one:
 * without it, TLS is not counted, and a test says so.
 */
function counterOf(socket: Counted): Counter {
  const { _handle } = socket as { _handle?: { _parent?: Partial<Counter> } | null }
  const tcp = _handle?._parent
  return typeof tcp?.bytesRead === 'number' && typeof tcp.bytesWritten === 'number' ? (tcp as Counter) : socket
}
