/** Dials what the peer book names, a few at a time and not too many a second, so that no list of addresses makes us a weapon. */
import type { PeerAddress } from '../engine.ts'
import type { Traffic } from '../traffic.ts'
import { Greeting } from './greeting.ts'
import { encodeHandshake, type Handshake } from './handshake.ts'
import type { PeerBook } from './peer-book.ts'
import type { Tuning } from './tuning.ts'
import { Wire } from './wire.ts'

export interface DialerParts {
  readonly book: PeerBook
  readonly tuning: Tuning
  readonly handshake: Handshake
  readonly traffic: Traffic
  readonly now: () => number
  /** Connections that may still be opened. */
  readonly room: () => number
  readonly isConnected: (address: PeerAddress) => boolean
  /** The other side has greeted. Take the wire over, or destroy it. */
  readonly onWire: (wire: Wire, theirs: Handshake, address: PeerAddress, rest: Uint8Array) => void
}

export class Dialer {
  readonly #parts: DialerParts
  readonly #greetings = new Set<Greeting>()
  #budget: number
  #stopped = false

  constructor(parts: DialerParts) {
    this.#parts = parts
    this.#budget = parts.tuning.dialsPerTick
  }

  /** Dials under way. */
  get dialling(): number {
    return this.#greetings.size
  }

  tick(): void {
    this.#budget = this.#parts.tuning.dialsPerTick
    this.dial()
  }

  dial(): void {
    const { book, tuning, now, room, isConnected } = this.#parts
    while (!this.#stopped && this.#budget > 0 && this.dialling < tuning.dialsAtOnce && room() > 0) {
      const address = book.next(now(), isConnected)
      if (!address) return
      this.#budget--
      this.#greet(address)
    }
  }

  stop(): void {
    this.#stopped = true
    for (const greeting of this.#greetings) greeting.fail('left')
  }

  #greet(address: PeerAddress): void {
    const { book, tuning, handshake, traffic, now, onWire } = this.#parts
    const wire = Wire.dial(address, () => wire.socket.write(encodeHandshake(handshake)))
    traffic.watch(address.host, wire.socket, 'out')
    const greeting = new Greeting(wire, tuning.handshakeMs, {
      onHandshake: (theirs, rest) => {
        this.#greetings.delete(greeting)
        if (theirs.infohash === handshake.infohash) onWire(wire, theirs, address, rest)
        else {
          wire.destroy()
          book.failed(address, now())
        }
        this.dial()
      },
      onFailure: () => {
        this.#greetings.delete(greeting)
        book.failed(address, now())
        this.dial()
      },
    })
    this.#greetings.add(greeting)
  }
}
