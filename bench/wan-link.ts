/**
 * A WAN line in user space: a TCP relay in front of an origin, with a rate that all connections share fairly, a latency, a byte
 * count both ways, and everything that goes wrong on real lines at the push of a button. For tests and the demo; it needs no root.
 *
 *   node ──┐                    ┌── origin
 *   node ──┼── [link: 20 Mbit/s]┤        down: origin to node, what the line is paid for
 *   node ──┘                    └──      up:   node to origin
 *
 * What it is not: it has no packets, so headers and retransmissions cost nothing, and connecting takes no round trip.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Stoppable } from '../src/core/lifecycle.ts'
import { KiB, second } from '../src/core/units.ts'
import { Limiter } from '../src/swarm/limits/limiter.ts'

export interface WanLinkOptions {
  readonly target: { readonly host: string; readonly port: number }
  /** Payload of all connections together, each way. Default: no limit. */
  readonly bytesPerSecond?: number
  /** Added to a round trip; half of it each way. Default 0. */
  readonly latencyMs?: number
  /** Default: a free port of 127.0.0.1. */
  readonly listen?: { readonly host: string; readonly port: number }
  /** Asked for each new connection: after so many bytes, both ways together, it is reset at both ends. `undefined`: never. */
  readonly fate?: () => number | undefined
}

/** Bytes on their way to the node. Returns what arrives instead: other bytes, of the same length or not. */
export type Tamper = (chunk: Buffer) => Buffer

/** What a connection may have in flight besides what the latency holds. */
const windowBytes = 64 * KiB
/** A timer may wake us this much late; what it cost is made up for, and no more. */
const savedMs = 20
/** The unit in which connections take turns. */
const turnBytes = 4 * KiB

/** Open the line. It is up until `stop()`. */
export async function openWanLink(options: WanLinkOptions): Promise<WanLink> {
  const { host, port } = options.listen ?? { host: '127.0.0.1', port: 0 }
  const server = createServer({ allowHalfOpen: true })
  server.listen(port, host)
  await once(server, 'listening')
  return new WanLink(server, options)
}

export class WanLink implements Stoppable {
  /** Where nodes connect instead of the target. */
  readonly url: string
  readonly port: number
  /** Bytes that the link let through, of connections past and present. */
  bytesDown = 0
  bytesUp = 0
  /** Connections accepted so far; and those of them that met their fate. */
  accepted = 0
  fated = 0
  /** Set it to alter what the origin sends; cleared by undefined. */
  tamper: Tamper | undefined
  readonly #server: Server
  readonly #target: WanLinkOptions['target']
  readonly #oneWayMs: number
  readonly #fate: () => number | undefined
  readonly #down: Limiter
  readonly #up: Limiter
  #bytesPerSecond: number
  #paused = false
  readonly #pairs = new Set<readonly [near: Socket, far: Socket]>()

  /** Use `openWanLink`. @param server Listening. */
  constructor(server: Server, { target, bytesPerSecond, latencyMs = 0, fate = () => undefined }: WanLinkOptions) {
    const { address, port } = server.address() as AddressInfo
    this.port = port
    this.url = `http://${address.includes(':') ? `[${address}]` : address}:${port}`
    this.#server = server
    this.#target = target
    this.#oneWayMs = latencyMs / 2
    this.#fate = fate
    this.#bytesPerSecond = bytesPerSecond ?? Number.POSITIVE_INFINITY
    this.#down = new Limiter(this.#bytesPerSecond, { savedMs })
    this.#up = new Limiter(this.#bytesPerSecond, { savedMs })
    server.on('connection', near => this.#join(near))
  }

  /** Connections open now. */
  get connections(): number {
    return this.#pairs.size
  }

  /** @param bytesPerSecond undefined: no limit. */
  setRate(bytesPerSecond: number | undefined): void {
    this.#bytesPerSecond = bytesPerSecond ?? Number.POSITIVE_INFINITY
    this.#apply()
  }

  /** The line goes dead: nothing passes, nobody is told. New connections are accepted and hang. */
  pause(): void {
    this.#paused = true
    this.#apply()
  }

  resume(): void {
    this.#paused = false
    this.#apply()
  }

  /** Every connection is reset, at both ends. New ones are welcome. */
  cutAll(): void {
    for (const pair of this.#pairs) reset(pair)
  }

  async stop(): Promise<void> {
    this.resume()
    this.cutAll()
    if (!this.#server.listening) return
    this.#server.close()
    await once(this.#server, 'close')
  }

  #apply(): void {
    for (const limiter of [this.#down, this.#up]) limiter.setRate(this.#paused ? 0 : this.#bytesPerSecond)
  }

  #join(near: Socket): void {
    this.accepted++
    const far = connect({ ...this.#target, allowHalfOpen: true })
    const pair = [near, far] as const
    this.#pairs.add(pair)
    for (const socket of pair) {
      socket.setNoDelay(true)
      socket.on('error', () => {}) // the other end hears of it by 'close'
      socket.on('close', failed => {
        if (failed) reset(pair)
        // An orderly end of one side leaves the other what is still on its way.
        if (near.destroyed && far.destroyed) this.#pairs.delete(pair)
      })
    }
    let left = this.#fate() ?? Number.POSITIVE_INFINITY
    const live = (bytes: number) => {
      if (left > 0 && left <= bytes) {
        this.fated++
        reset(pair)
      }
      left -= bytes
    }
    void this.#carry(near, far, this.#up, bytes => {
      this.bytesUp += bytes
      live(bytes)
    })
    void this.#carry(far, near, this.#down, bytes => {
      this.bytesDown += bytes
      live(bytes)
    })
  }

  /** Everything from one end to the other, in turns; ends when either end is gone. */
  async #carry(from: Socket, to: Socket, limiter: Limiter, count: (bytes: number) => void): Promise<void> {
    const flight = new Flight(to, this.#oneWayMs)
    try {
      // The iterator alone would destroy the whole socket at the end of one direction.
      for await (const chunk of from.iterator({ destroyOnReturn: false })) {
        for (let at = 0; at < chunk.length; at += turnBytes) {
          const turn = chunk.subarray(at, at + turnBytes)
          await limiter.pass(turn.length)
          if (to.destroyed) return
          count(turn.length)
          await flight.send(
            limiter === this.#down && this.tamper ? this.tamper(Buffer.from(turn)) : turn,
            this.#bytesPerSecond,
          )
        }
      }
      await flight.end()
    } catch {
      // A reset on this side; both sockets are closed by their handlers.
    }
  }
}

/** One direction of one connection: bytes arrive after the latency, in order, and no more are under way than the line holds. */
class Flight {
  readonly #to: Socket
  readonly #oneWayMs: number
  #bytes = 0
  #landed: Promise<void> = Promise.resolve()

  constructor(to: Socket, oneWayMs: number) {
    this.#to = to
    this.#oneWayMs = oneWayMs
  }

  /** Resolves when there is room for more. */
  async send(turn: Buffer, bytesPerSecond: number): Promise<void> {
    if (this.#oneWayMs === 0) return this.#land(turn)
    this.#bytes += turn.length
    const before = this.#landed
    const arrival = delay(this.#oneWayMs)
    this.#landed = (async () => {
      await before
      await arrival
      await this.#land(turn)
      this.#bytes -= turn.length
    })()
    const held = Math.min(bytesPerSecond, 1e9) * (this.#oneWayMs / second)
    if (this.#bytes > windowBytes + held) await before
  }

  async end(): Promise<void> {
    await this.#landed
    if (this.#oneWayMs > 0) await delay(this.#oneWayMs)
    this.#to.end()
  }

  async #land(turn: Buffer): Promise<void> {
    if (this.#to.destroyed || this.#to.write(turn)) return
    await drained(this.#to)
  }
}

function reset(pair: readonly [Socket, Socket]): void {
  for (const end of pair) end.resetAndDestroy()
}

/** Resolves when the socket takes more, or is gone. */
function drained(socket: Socket): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      socket.off('drain', done).off('close', done)
      resolve()
    }
    socket.on('drain', done).on('close', done)
  })
}
