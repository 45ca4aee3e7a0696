/**
 * The engine on webtorrent: the first to exist, and the oracle after that. An adapter: webtorrent speaks the protocol and chooses whom to
 * ask; this folder keeps it within the rules of SwarmEngine.
 *
 *   engine.ts       one client, one port, every way of finding peers by itself turned off
 *   door.ts         connections, before they belong to an artifact
 *   checkpoint.ts   one connection: what may pass to webtorrent (frame-filter.ts), and how fast
 *   swarm.ts        one artifact: its pieces (chunk-store.ts), its connections (links.ts), its liars (blame.ts)
 */
import { once } from 'node:events'
import WebTorrent from 'webtorrent'
import type { Artifact } from '../../core/artifact.ts'
import { SwarmError } from '../../core/errors.ts'
import type { PieceStore } from '../../core/piece-store.ts'
import { type EngineOptions, type LanLimits, type SwarmEngine, unlimited } from '../engine.ts'
import { allowNetworks, type Networks } from '../networks.ts'
import { Traffic } from '../traffic.ts'
import { Door } from './door.ts'
import { WebtorrentSwarm } from './swarm.ts'
import { demandInternals } from './undocumented.ts'

const defaultMaxPeers = 50
const defaultMaxConnections = 200

/**
 * @throws SwarmError `swarm_listen` when the port cannot be opened.
 * @throws TypeError when a network is not a CIDR.
 */
export async function startWebtorrentEngine(options: EngineOptions): Promise<SwarmEngine> {
  const engine = new WebtorrentEngine(options)
  await engine.listening()
  return engine
}

class WebtorrentEngine implements SwarmEngine {
  readonly name = 'webtorrent'
  readonly traffic = new Traffic()
  readonly #options: EngineOptions
  readonly #networks: Networks
  readonly #door: Door
  readonly #client: WebTorrent
  readonly #swarms = new Map<string, WebtorrentSwarm>()
  #stopping: Promise<void> | undefined

  constructor(options: EngineOptions) {
    this.#options = options
    this.#networks = allowNetworks(options.networks)
    this.#door = new Door({
      networks: this.#networks,
      traffic: this.traffic,
      maxConnections: options.maxConnections ?? defaultMaxConnections,
      joined: infohash => this.#swarms.get(infohash),
    })
    const { host, port } = options.listen
    this.#client = new WebTorrent({
      torrentPort: { host, port },
      maxConns: options.maxPeers ?? defaultMaxPeers,
      dht: false,
      lsd: false,
      utPex: false,
      natUpnp: false,
      natPmp: false,
      utp: false,
      tracker: false,
      webSeeds: false,
      secure: 0,
    })
    demandInternals('client', this.#client)
    this.#client.throttleGroups = this.#door.throttleGroups
  }

  get port(): number {
    return this.#door.port
  }

  async listening(): Promise<void> {
    const { host, port } = this.#options.listen
    try {
      await once(this.#client, 'listening')
    } catch (cause) {
      throw new SwarmError('swarm_listen', `cannot listen for LAN peers on ${host}, port ${port}`, {
        cause,
        host,
        port,
      })
    }
    // A client without a listener would throw; what ends an artifact is told to its swarm.
    this.#client.on('error', () => {})
    this.#door.port = this.#client.address()?.port ?? port
  }

  async join(artifact: Artifact, metainfo: Uint8Array, store: PieceStore, limits: LanLimits = unlimited()) {
    if (this.#stopping) throw new Error('the engine is stopped')
    if (this.#swarms.has(artifact.infohash)) throw new Error(`artifact ${artifact.sha256} is joined already`)
    const swarm = new WebtorrentSwarm({
      client: this.#client,
      artifact,
      metainfo,
      store,
      limits,
      networks: this.#networks,
      door: this.#door,
      maxPeers: this.#options.maxPeers ?? defaultMaxPeers,
      onLeft: () => this.#swarms.delete(artifact.infohash),
    })
    this.#swarms.set(artifact.infohash, swarm)
    try {
      await swarm.ready()
    } catch (error) {
      await swarm.leave()
      throw error
    }
    return swarm
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    await Promise.all([...this.#swarms.values()].map(swarm => swarm.leave()))
    await new Promise<void>(resolve => this.#client.destroy(() => resolve()))
  }
}
