/** The exchange of handshakes on a new connection, within a time limit. Afterwards the wire belongs to whoever asked for it. */
import { type Handshake, HandshakeReader } from './handshake.ts'
import { WireError } from './message.ts'
import type { Wire } from './wire.ts'

export interface GreetingEvents {
  /**
   * The other side's handshake is here. Take the wire over (`onBytes`, `onEnd`), or destroy it.
   * @param rest What came behind the handshake; a view that is gone when the call returns.
   */
  onHandshake(handshake: Handshake, rest: Uint8Array): void
  /** It did not come to a handshake; the wire is destroyed. */
  onFailure(reason: string): void
}

export class Greeting {
  readonly #wire: Wire
  readonly #events: GreetingEvents
  readonly #timer: NodeJS.Timeout
  readonly #reader = new HandshakeReader()
  #over = false

  constructor(wire: Wire, timeoutMs: number, events: GreetingEvents) {
    this.#wire = wire
    this.#events = events
    this.#timer = setTimeout(() => this.fail('no handshake in time'), timeoutMs)
    wire.onBytes = chunk => this.#read(chunk)
    wire.onEnd = reason => this.fail(reason)
  }

  fail(reason: string): void {
    if (this.#over) return
    this.#finish()
    this.#wire.destroy()
    this.#events.onFailure(reason)
  }

  #read(chunk: Uint8Array): void {
    try {
      const read = this.#reader.push(chunk)
      if (!read) return
      this.#finish()
      this.#events.onHandshake(read.handshake, chunk.subarray(read.consumed))
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.fail(error.message)
    }
  }

  #finish(): void {
    this.#over = true
    clearTimeout(this.#timer)
    this.#wire.onBytes = () => {}
    this.#wire.onEnd = () => {}
  }
}
