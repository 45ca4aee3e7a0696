/**
 * The native engine: one listening port for all artifacts. A connection is nobody's until its handshake names an artifact that is
 * joined; until then it costs a socket, 68 bytes and a timer, and there are only so many of those.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { Artifact } from '../../core/artifact.ts'
import { SwarmError } from '../../core/errors.ts'
import type { PieceStore } from '../../core/piece-store.ts'
import { type EngineOptions, type LanLimits, type PeerAddress, type SwarmEngine, unlimited } from '../engine.ts'
import { allowNetworks, canonicalAddress, type Networks } from '../networks.ts'
import { Traffic } from '../traffic.ts'
import { Greeting } from './greeting.ts'
import { NativeSwarm } from './swarm.ts'
import { defaultTuning, type Tuning } from './tuning.ts'
import { Wire } from './wire.ts'

const defaultMaxPeers = 50
const defaultMaxConnections = 200

/**
 * @param tuning Shorter limits, for tests.
 * @throws SwarmError `swarm_listen` when the port cannot be opened; TypeError for a malformed network.
 */
export async function startNativeEngine(options: EngineOptions, tuning: Partial<Tuning> = {}): Promise<SwarmEngine> {
  const engine = new NativeEngine(options, { ...defaultTuning, ...tuning })
  await engine.listen(options.listen)
  return engine
}

class NativeEngine implements SwarmEngine {
  readonly name = 'native'
  readonly #maxPeers: number
  readonly #networks: Networks
  readonly #tuning: Tuning
  readonly traffic = new Traffic()
  readonly #maxConnections: number
  readonly #server: Server
  readonly #swarms = new Map<string, NativeSwarm>()
  /** Connections without a handshake, the oldest first. */
  readonly #greetings = new Set<Greeting>()
  #port = 0
  #stopping: Promise<void> | undefined

  constructor({ networks, maxPeers, maxConnections }: EngineOptions, tuning: Tuning) {
    this.#maxPeers = maxPeers ?? defaultMaxPeers
    this.#networks = allowNetworks(networks)
    this.#tuning = tuning
    this.#maxConnections = maxConnections ?? defaultMaxConnections
    this.#server = createServer({ pauseOnConnect: true }, socket => this.#greet(socket))
  }

  get port(): number {
    return this.#port
  }

  async listen({ host, port }: PeerAddress): Promise<void> {
    const listening = Promise.withResolvers<void>()
    this.#server.once('error', listening.reject)
    this.#server.listen(port, host, listening.resolve)
    try {
      await listening.promise
    } catch (error) {
      throw new SwarmError('swarm_listen', `port ${port} of ${host} cannot be opened for LAN peers`, { cause: error })
    }
    this.#server.off('error', listening.reject)
    // Out of file descriptors, for instance: this connection is lost, the next may not be.
    this.#server.on('error', () => {})
    this.#port = (this.#server.address() as { port: number }).port
  }

  /** The torrent is not needed: the artifact names the swarm, and the store judges the pieces. */
  async join(artifact: Artifact, _metainfo: Uint8Array, store: PieceStore, limits: LanLimits = unlimited()) {
    const { infohash } = artifact
    if (this.#stopping) throw new Error('the engine is stopped')
    if (this.#swarms.has(infohash)) throw new Error(`artifact ${artifact.sha256} is joined already`)
    const swarm = new NativeSwarm({
      artifact,
      store,
      networks: this.#networks,
      maxPeers: this.#maxPeers,
      port: this.#port,
      limits,
      traffic: this.traffic,
      room: () => this.#maxConnections - this.traffic.open(),
      tuning: this.#tuning,
      random: Math.random,
      now,
      onLeave: () => this.#swarms.delete(infohash),
    })
    this.#swarms.set(infohash, swarm)
    return swarm
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    const closed = new Promise(resolve => this.#server.close(resolve))
    for (const greeting of this.#greetings) greeting.fail('stopped')
    for (const swarm of this.#swarms.values()) await swarm.leave()
    await closed
  }

  #greet(socket: Socket): void {
    const host = canonicalAddress(socket.remoteAddress ?? '')
    const welcome = host !== undefined && this.#networks.allowed(host)
    if (!welcome || !this.traffic.admits(this.#maxConnections, 'pieces')) return void socket.destroy()
    const address = { host, port: socket.remotePort! }
    const wire = Wire.accepted(socket)
    this.traffic.watch(host, wire.socket, 'in')
    const greeting = new Greeting(wire, this.#tuning.handshakeMs, {
      onHandshake: (handshake, rest) => {
        this.#greetings.delete(greeting)
        const swarm = this.#swarms.get(handshake.infohash)
        if (swarm) swarm.accept(wire, handshake, address, rest)
        else wire.destroy()
      },
      onFailure: () => this.#greetings.delete(greeting),
    })
    this.#greetings.add(greeting)
    if (this.#greetings.size <= this.#tuning.halfOpen) return
    const [oldest] = this.#greetings
    oldest!.fail('gave way to another')
  }
}

function now(): number {
  return performance.now()
}
