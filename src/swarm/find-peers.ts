/**
 * Peers from the origin's tracker: tells it that this node has, or wants, an artifact, and gives the swarm the neighbours that it
 * names. The tracker names only nodes of the same site; the swarm dials only what lies inside its networks.
 *
 *   started     at once, or within two seconds where neighbours are known already: what is small is here by then, and one announce says all.
 *               Then every two seconds while the artifact is incomplete and few neighbours are known: all nodes of a branch start together,
 *               and the first ones to ask are told of nobody
 *   (regular)   then as often as the tracker wants, every 5 seconds to 30 minutes
 *   completed   once, when the store has become complete meanwhile; within five seconds, since all nodes of a branch become so together, and
 *               have better to do just then
 *   stopped     once, on the way out, if the tracker answers at once
 *
 * A tracker that fails or lies must not stop anything: peers come from elsewhere too, and the WAN slice needs none.
 */
import type { Clock } from '../core/clock.ts'
import { DownloadError, describeError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import type { PieceStore } from '../core/piece-store.ts'
import { minute, second } from '../core/units.ts'
import { Bell } from './bell.ts'
import type { Swarm } from './engine.ts'
import type { AnnounceParams, OriginClient } from './origin-client.ts'

export interface PeerSearchParts {
  readonly origin: Pick<OriginClient, 'announce'>
  readonly swarm: Pick<Swarm, 'artifact' | 'addPeers'>
  readonly store: Pick<PieceStore, 'have' | 'onPiece'>
  readonly site: string
  /** Where neighbours reach this node: its address inside the LAN, as it is now, and the port of the engine. */
  lanAddress(): string
  readonly port: number
  /** 20 characters. */
  readonly peerId: string
  /** Is somebody known already who has the artifact, or fetches it? */
  hasNeighbours(): boolean
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly log: Log
}

const firstWithinMs = 2 * second
const completedWithinMs = 5 * second
const eagerIntervalMs = 2 * second
/** Eager no longer than this: alone in a branch, there is nobody to find. */
const eagerTries = 15
/** Knowing this many neighbours is enough: each of them brings us further ones by dialling us. */
const enoughPeers = 10
const shortestIntervalMs = 5 * second
const longestIntervalMs = 30 * minute
/** After a failed announce: this long, doubled each time. */
const firstRetryMs = 2 * second
const longestRetryMs = 5 * minute
/** A node that stops does not wait for a dead line. */
const farewellMs = second
/** Neighbours that we count; beyond that it makes no difference. */
const mostKnown = 1000

/** Announce until stopped. Nothing that happens on the way is an error of the caller's. */
export function findPeers(parts: PeerSearchParts): Stoppable {
  return new PeerSearch(parts)
}

class PeerSearch implements Stoppable {
  readonly #parts: PeerSearchParts
  readonly #over = new AbortController()
  readonly #stored = new Bell()
  readonly #known = new Set<string>()
  readonly #done: Promise<void>
  /** What the tracker believes of this node. */
  #told: 'nothing' | 'incomplete' | 'complete' = 'nothing'
  #tries = 0
  #failures = 0

  constructor(parts: PeerSearchParts) {
    this.#parts = parts
    this.#done = this.#run()
  }

  async stop(): Promise<void> {
    this.#over.abort(new Error('the search for peers was stopped'))
    await this.#done
  }

  async #run(): Promise<void> {
    const { store, hasNeighbours } = this.#parts
    const deaf = store.onPiece(() => this.#stored.ring())
    try {
      if (hasNeighbours()) await this.#sleepWithin(firstWithinMs)
      for (;;) await this.#waitFor(await this.#announce())
    } catch (error) {
      if (!this.#over.signal.aborted) throw error
      await this.#farewell()
    } finally {
      deaf()
    }
  }

  /** @returns How long to wait before the next announce, in milliseconds. */
  async #announce(): Promise<number> {
    const { origin, swarm, log } = this.#parts
    const params = this.#params()
    try {
      this.#tries++
      const { peers, intervalMs } = await origin.announce(params, this.#over.signal)
      this.#failures = 0
      this.#told = params.left === 0 ? 'complete' : 'incomplete'
      const others = peers.filter(peer => peer.host !== params.lanAddress || peer.port !== params.port)
      for (const { host, port } of others) if (this.#known.size < mostKnown) this.#known.add(`${host} ${port}`)
      swarm.addPeers(others)
      return this.#eager() ? eagerIntervalMs : Math.min(Math.max(intervalMs, shortestIntervalMs), longestIntervalMs)
    } catch (error) {
      if (this.#over.signal.aborted || !(error instanceof DownloadError)) throw error
      const waitMs = Math.min(firstRetryMs * 2 ** this.#failures++, longestRetryMs)
      log.debug({ ...describeError(error), waitMs }, 'no usable answer of the tracker')
      return waitMs
    }
  }

  /** Wait, but not that long when there is to tell that the artifact has become complete. */
  async #waitFor(ms: number): Promise<void> {
    const { clock, store } = this.#parts
    const news = () => this.#failures === 0 && this.#told === 'incomplete' && store.have.complete
    if (!news()) await this.#stored.heardWithin(ms, clock, this.#over.signal, news)
    if (news()) await this.#sleepWithin(completedWithinMs)
  }

  #sleepWithin(ms: number): Promise<void> {
    const { clock, random } = this.#parts
    return clock.sleep(random() * ms, this.#over.signal)
  }

  #eager(): boolean {
    return !this.#parts.store.have.complete && this.#known.size < enoughPeers && this.#tries < eagerTries
  }

  #params(event = this.#event()): AnnounceParams {
    const { swarm, store, site, port, peerId } = this.#parts
    const lanAddress = this.#parts.lanAddress()
    const { artifact } = swarm
    // Whole pieces: the tracker only wants to know whether this is 0.
    const left = store.have.complete ? 0 : Math.max(1, artifact.length - store.have.count * artifact.pieceLength)
    const params = { site, infohash: artifact.infohash, peerId, lanAddress, port, left }
    return event === undefined ? params : { ...params, event }
  }

  #event(): AnnounceParams['event'] {
    if (this.#told === 'nothing') return 'started'
    return this.#told === 'incomplete' && this.#parts.store.have.complete ? 'completed' : undefined
  }

  /** Best effort: who is not told forgets us in time. */
  async #farewell(): Promise<void> {
    if (this.#told === 'nothing') return
    await this.#parts.origin.announce(this.#params('stopped'), AbortSignal.timeout(farewellMs)).catch(() => {})
  }
}
