/**
 * What a node and its neighbours say to each other over HTTP, in the books: each connection is counted with those of the exchange, by the
 * same neighbour, and is one of `limits.lan_connections`.
 *
 *   lan_connections    the exchange, and neighbours that ask us, as they come
 *   the last four      for questions of our own, so that a crowd at the door does not silence us; who finds none free waits
 */
import type { Socket } from 'node:net'
import { Bell } from './bell.ts'
import type { HttpAccount } from './origin-http.ts'
import type { Counted, Traffic } from './traffic.ts'

/** Of all connections to neighbours, so many are kept free for our own questions. */
export const ownQuestions = 4
/** Neighbours that ask us at once, however many connections there may be. */
const mostAsked = 128

export class NeighbourLine {
  readonly #traffic: Traffic
  readonly #most: number
  #asking = 0
  readonly #freed = new Bell()

  /** @param traffic Of the exchange. @param most All connections to neighbours, `ownQuestions` among them. */
  constructor(traffic: Traffic, most: number) {
    this.#traffic = traffic
    this.#most = most
  }

  /** A neighbour has connected to ask. @returns Whether it may: then the connection is counted. */
  admit(address: string, socket: Socket): boolean {
    const most = this.#most - ownQuestions
    if (!this.#traffic.admits(most, 'metadata') || this.#traffic.open('in', 'metadata') >= mostAsked) return false
    this.#traffic.watch(address, socket, 'in', 'metadata')
    return true
  }

  /** Count a connection of our own to this neighbour. */
  dialled(address: string, socket: Counted): void {
    this.#traffic.watch(address, socket, 'out', 'metadata')
  }

  /** For an HTTP client that asks this neighbour. */
  accountOf(address: string): HttpAccount {
    return { watch: socket => this.dialled(address, socket), received() {}, sent() {} } // the bodies are all there is
  }

  /** A place for a connection of our own, if one is free. @returns Give it back with `done`. */
  take(): boolean {
    if (this.#asking >= ownQuestions) return false
    this.#asking++
    return true
  }

  done(): void {
    this.#asking--
    this.#freed.ring()
  }

  /** Run `work` when there is a place for its one connection. An aborted `signal` rejects the waiting with its reason. */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    while (!this.take()) await this.#freed.heard(signal)
    try {
      return await work()
    } finally {
      this.done()
    }
  }
}
