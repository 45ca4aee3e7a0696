/**
 * Where connections come in and go out, before they belong to an artifact: each gets a Checkpoint, addresses outside the networks and
 * crowds that say nothing are hung up on.
 *
 * webtorrent asks its throttle groups for two streams a connection, first `down`, then at once `up`; the door is both groups.
 */
import type { Socket } from 'node:net'
import type { ThrottleGroup, Wire } from 'webtorrent'
import { canonicalAddress, type Networks } from '../networks.ts'
import type { Traffic } from '../traffic.ts'
import { Checkpoint, type Joined } from './checkpoint.ts'

/** Connections that have not said which artifact they want: each holds a socket for 25 seconds at most. */
const silentLimit = 256
const silentLimitByHost = 32

export interface DoorParts {
  readonly networks: Networks
  readonly traffic: Traffic
  /** Over all artifacts. */
  readonly maxConnections: number
  /** What is joined under this name; undefined when nothing is. */
  joined(infohash: string): Joined | undefined
}

export class Door {
  readonly throttleGroups: { down: ThrottleGroup; up: ThrottleGroup }
  /** Where we listen; 0 as long as that is not known. */
  port = 0
  readonly #parts: DoorParts
  readonly #checkpoints = new Map<string, Checkpoint>()
  /** By checkpoint, the address it talks to. */
  readonly #hosts = new Map<Checkpoint, string>()

  constructor(parts: DoorParts) {
    this.#parts = parts
    let built: Checkpoint | undefined
    this.throttleGroups = {
      down: {
        throttle: () => {
          built = this.#build()
          return built.inbound
        },
        destroy() {},
      },
      up: {
        throttle: () => {
          if (!built) throw new Error('unreachable: webtorrent builds a connection from its inner end')
          return built.outbound
        },
        destroy() {},
      },
    }
  }

  /** The checkpoint before `wire`; undefined when the connection has ended meanwhile. */
  checkpointOf(wire: Wire): Checkpoint | undefined {
    return this.#checkpoints.get(keyOf(wire.type === 'tcpIncoming', wire.remoteAddress, wire.remotePort))
  }

  #build(): Checkpoint {
    return new Checkpoint({
      joined: this.#parts.joined,
      admit: (checkpoint, socket) => this.#admit(checkpoint, socket),
    })
  }

  #admit(checkpoint: Checkpoint, socket: Socket): boolean {
    const { networks, traffic, maxConnections } = this.#parts
    const { remoteAddress, remotePort, localPort } = socket
    const host = canonicalAddress(remoteAddress ?? '')
    if (remoteAddress === undefined || host === undefined || !networks.allowed(host)) return false
    if (traffic.open() >= maxConnections || this.#isCrowded(host)) return false
    socket.setNoDelay(true) // requests of 17 bytes would wait for the acknowledgement of the last one
    const incoming = localPort === this.port
    traffic.watch(host, socket, incoming ? 'in' : 'out')
    const key = keyOf(incoming, remoteAddress, remotePort ?? 0)
    this.#checkpoints.set(key, checkpoint)
    this.#hosts.set(checkpoint, host)
    socket.once('close', () => {
      this.#checkpoints.delete(key)
      this.#hosts.delete(checkpoint)
    })
    return true
  }

  #isCrowded(host: string): boolean {
    const silent = [...this.#hosts].filter(([checkpoint]) => !checkpoint.greeted)
    return silent.length >= silentLimit || silent.filter(([, other]) => other === host).length >= silentLimitByHost
  }
}

/** Both ends may use one port for dialling and listening: only the direction tells such connections apart. */
function keyOf(incoming: boolean, address: string, port: number): string {
  return `${incoming ? 'in' : 'out'} ${address} ${port}`
}
