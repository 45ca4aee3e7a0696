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
/** What for, between neighbours: pieces of artifacts by BitTorrent; metadata and what else is asked over HTTP. */
export type LanPurpose = 'pieces' | 'metadata'
type Counter = Pick<Socket, 'bytesRead' | 'bytesWritten'>
export type Counted = Counter & Pick<Socket, 'once'>

/** Who comes beyond so many is counted as one: names cost memory, and strangers can have many. */
const mostPeers = 1000
const others = 'others'

/** Of all connections, so many may be dialled by others; the rest is for those that we dial, so that a crowd at the door does not cut us off. */
const incomingShare = 0.9
/** The same by purpose: a crowd at one door leaves room at the other. */
const shares: Readonly<Record<LanPurpose, number>> = { pieces: 0.8, metadata: 0.4 }

/** Of one peer, or for one purpose: connections that are closed, and those that are open. */
class Account {
  readonly open = new Map<Counter, Direction>()
  #bytesIn = 0
  #bytesOut = 0

  close(counter: Counter): void {
    this.open.delete(counter)
    this.#bytesIn += counter.bytesRead
    this.#bytesOut += counter.bytesWritten
  }

  flow(): Omit<Flow, 'peer'> {
    const sockets = [...this.open.keys()]
    return {
      bytesIn: sockets.reduce((sum, { bytesRead }) => sum + bytesRead, this.#bytesIn),
      bytesOut: sockets.reduce((sum, { bytesWritten }) => sum + bytesWritten, this.#bytesOut),
      connections: this.open.size,
    }
  }

  /** Connections open now. */
  count(direction: Direction): number {
    let count = 0
    for (const each of this.open.values()) if (each === direction) count++
    return count
  }
}

export class Traffic {
  readonly #accounts = new Map<string, Account>()
  readonly #purposes: Readonly<Record<LanPurpose, Account>> = { pieces: new Account(), metadata: new Account() }
  readonly #open: Record<Direction, number> = { in: 0, out: 0 }
  #lastCaller: { readonly peer: string; readonly at: number } | undefined

  /** Count this connection until it is closed. @param direction Who has dialled: `in`, the other side. */
  watch(peer: string, socket: Counted, direction: Direction, purpose: LanPurpose = 'pieces'): void {
    const accounts = [this.#accountOf(peer), this.#purposes[purpose]]
    const counter = counterOf(socket)
    for (const account of accounts) account.open.set(counter, direction)
    this.#open[direction]++
    if (direction === 'in' && purpose === 'pieces') this.#lastCaller = { peer, at: Date.now() }
    socket.once('close', () => {
      this.#open[direction]--
      for (const account of accounts) account.close(counter)
    })
  }

  /** Connections open now. @param purpose Default: all. */
  open(direction?: Direction, purpose?: LanPurpose): number {
    if (direction === undefined) return this.#open.in + this.#open.out
    return purpose ? this.#purposes[purpose].count(direction) : this.#open[direction]
  }

  /** May one more that others have dialled come in? @param most Connections at most, in both directions. */
  admits(most: number, purpose: LanPurpose): boolean {
    const within = (share: number) => Math.max(1, Math.floor(most * share))
    return (
      this.open() < most &&
      this.open('in') < within(incomingShare) &&
      this.open('in', purpose) < within(shares[purpose])
    )
  }

  /** Who has connected to us for pieces last, and when (ms since 1970). */
  get lastCaller(): { readonly peer: string; readonly at: number } | undefined {
    return this.#lastCaller
  }

  view(): Flow[] {
    return [...this.#accounts].map(([peer, account]) => ({ peer, ...account.flow() }))
  }

  /** All peers together, for one purpose. */
  sumOf(purpose: LanPurpose): Omit<Flow, 'peer'> {
    return this.#purposes[purpose].flow()
  }

  /** All peers together, for all purposes. */
  sum(): Omit<Flow, 'peer'> {
    const [pieces, metadata] = [this.sumOf('pieces'), this.sumOf('metadata')]
    return {
      bytesIn: pieces.bytesIn + metadata.bytesIn,
      bytesOut: pieces.bytesOut + metadata.bytesOut,
      connections: pieces.connections + metadata.connections,
    }
  }

  #accountOf(peer: string): Account {
    const known = this.#accounts.get(peer)
    if (known) return known
    if (this.#accounts.size >= mostPeers && peer !== others) return this.#accountOf(others)
    const account = new Account()
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
