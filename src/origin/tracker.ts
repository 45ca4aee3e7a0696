/**
 * The tracker: BEP 3 over HTTP, compact answers (BEP 23, BEP 7), mounted in the origin's own server. bittorrent-tracker parses and
 * answers; who is shown to whom is ours, by its documented `getSwarm` and `createSwarm`.
 *
 *   GET /announce/berlin?info_hash=…&peer_id=…&port=6889&ip=10.1.2.7&left=0&compact=1     a node, which signs it
 *   GET /announce/<key>?info_hash=…                                                      a stock client, see announce-key.ts
 *
 *  - a peer is shown only peers of its own site, by their LAN address
 *  - only artifacts of the newest manifests have swarms; for anything else the answer is a failure, and nothing is kept
 *  - no UDP, no WebSocket, no scrape, no statistics: each would tell strangers more, or amplify what they send
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import Server, { type AnnounceParams, type Swarm } from 'bittorrent-tracker/server'
import type { Clock } from '../core/clock.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import { mostWanted, SiteSwarm } from './site-swarm.ts'
import { lanAddress, siteKey } from './sites.ts'

export interface TrackerOptions {
  /** How often clients announce; they are forgotten after three times this. */
  readonly intervalMs: number
  readonly peersPerSwarm: number
  /** Sites times artifacts. */
  readonly mostSwarms: number
  readonly knows: (infohash: string) => Promise<boolean>
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
}

/** Who announces. */
export interface Announce {
  /** As the client names it, or as it is bound to its identity: a site, or `auto`. */
  readonly site: string
  /** Where the request comes from. */
  readonly remote: string
  /** The key of its node. */
  readonly owner?: string | undefined
  /** The only infohash it may announce; any when left out. */
  readonly infohash?: string | undefined
}

interface Announcer extends Announce {
  readonly lan: string
}

export class Tracker implements Stoppable {
  readonly #options: TrackerOptions
  readonly #server: Server
  readonly #announcers = new WeakMap<IncomingMessage, Announcer>()
  /** By site and infohash, the longest silent first. */
  readonly #swarms = new Map<string, { swarm: SiteSwarm; heardAt: number }>()

  constructor(options: TrackerOptions) {
    this.#options = options
    this.#server = new Server({
      http: false,
      udp: false,
      ws: false,
      stats: false,
      interval: options.intervalMs,
      filter: (infohash, params, allow) => void this.#admit(infohash, params).then(allow, allow),
    })
    this.#server.getSwarm = (key, done) => done(null, this.#face(key))
    this.#server.createSwarm = this.#server.getSwarm
  }

  /** Answer one announce. */
  announce(request: IncomingMessage, response: ServerResponse, { site, remote, owner, infohash }: Announce): void {
    // The library puts the socket's address in place of what the client names.
    const named = new URLSearchParams(request.url?.split('?', 2)[1]).getAll('ip')
    const lan = lanAddress(named.length === 1 ? named[0] : undefined, remote)
    const key = siteKey(site, remote, named.length === 1 ? lan : undefined)
    this.#announcers.set(request, { site: key, remote, lan, owner, infohash })
    response.setHeader('content-type', 'text/plain')
    response.setHeader('cache-control', 'no-store')
    this.#server.onHttpRequest(request, response, { action: 'announce' })
  }

  /** Name this node's peers to nobody any more. */
  forget(owner: string): void {
    for (const { swarm } of this.#swarms.values()) swarm.removeOf(owner)
  }

  /** Swarms and peers, for the log and for tests. */
  view(): { swarms: number; peers: number } {
    this.#forgetSilent(this.#options.clock.monotonic())
    const sizes = [...this.#swarms.values()].map(({ swarm }) => swarm.size)
    return { swarms: sizes.length, peers: sizes.reduce((sum, size) => sum + size, 0) }
  }

  async stop(): Promise<void> {
    this.#server.close()
    this.#swarms.clear()
  }

  /** @returns Why not, or null. What is in `params` from here on is what the swarm sees. */
  async #admit(infohash: string, params: AnnounceParams): Promise<Error | null> {
    const { site, lan, infohash: only = infohash } = this.#announcers.get(params.httpReq)!
    // The key was checked against our reading of the query, this is the library's: should they ever differ, nobody gains by it.
    if (infohash !== only) return new Error('unknown torrent')
    if (!(await this.#options.knows(infohash))) return new Error('unknown torrent')
    if (!Number.isInteger(params.port)) return new Error('invalid port')
    params.info_hash = `${infohash} ${site}`
    params.ip = lan
    // Anything else makes the library answer with peers as objects of ours.
    if (params.compact !== 0) params.compact = 1
    this.#forgetSilent(this.#options.clock.monotonic())
    const room = this.#swarms.size < this.#options.mostSwarms || this.#swarms.has(params.info_hash)
    return room ? null : new Error('the tracker is full')
  }

  /** What the library sees of a swarm. It is kept from the first peer on. */
  #face(key: string): Swarm {
    return {
      announce: (params, done) => {
        const now = this.#options.clock.monotonic()
        const swarm = this.#swarms.get(key)?.swarm ?? new SiteSwarm(this.#options.peersPerSwarm, this.#life)
        const { peer_id: peerId, ip, port, left, event, numwant } = params
        const { remote, owner } = this.#announcers.get(params.httpReq)!
        if (event === 'stopped') swarm.remove({ peerId, ip, port })
        else swarm.put({ peerId, ip, port, remote, owner, complete: left === 0 }, now)
        this.#swarms.delete(key)
        if (swarm.size > 0) this.#swarms.set(key, { swarm, heardAt: now })
        const wanted = event === 'stopped' ? 0 : Math.min(numwant, mostWanted)
        const peers = swarm.pick(wanted, { peerId, ip, port }, this.#options.random)
        done(null, { complete: swarm.complete, incomplete: swarm.size - swarm.complete, peers })
      },
    }
  }

  get #life(): number {
    return 3 * this.#options.intervalMs
  }

  #forgetSilent(now: number): void {
    for (const [key, { swarm, heardAt }] of this.#swarms) {
      swarm.forgetSilent(now)
      if (now - heardAt < this.#life) return
      this.#swarms.delete(key)
    }
  }
}
