/**
 * One artifact in webtorrent. What webtorrent is left to do: who to ask for what, and when to serve whom. What it is kept from:
 *
 *  - to know better than the PieceStore. What the store has at the start comes in as `bitfield`; what another hand stores later is marked
 *    at once (`#adopt`). The documented way for the latter is a web seed connection of our own that offers the piece by `have`, but
 *    then webtorrent fetches the piece from it like from any peer: it hashes it again, announces it only after that, may ask a LAN peer for
 *    it first, and waits for every block that some peer was asked for and does not send. So we mark it ourselves.
 *  - to serve out of its own caches. A piece that has passed SHA-1 lies in its memory, served from there, while the store is still checking
 *    SHA-256. `torrent.store` is replaced before anything is put.
 *  - to trust everybody forever: see blame.ts.
 */
import { once } from 'node:events'
import type WebTorrent from 'webtorrent'
import type { ChunkStore, Torrent, Wire } from 'webtorrent'
import { type Artifact, pieceSize } from '../../core/artifact.ts'
import { SwarmError } from '../../core/errors.ts'
import type { PieceStore } from '../../core/piece-store.ts'
import { second } from '../../core/units.ts'
import type { LanLimits, PeerAddress, PeerView, Swarm, SwarmTotals } from '../engine.ts'
import { canonicalAddress, type Networks } from '../networks.ts'
import { Blame } from './blame.ts'
import { chunkStore } from './chunk-store.ts'
import type { Door } from './door.ts'
import { addressText, type Link, Links, parseAddress } from './links.ts'
import { demandInternals } from './undocumented.ts'

/** webtorrent waits 30 s for a block: too long on a LAN, where one that lies still can hold up the last piece. */
const blockTimeoutMs = 10 * second
const strikesToBan = 3
/** Blocks nobody asked for. A few may cross a withdrawal. */
const unaskedLimit = 64

export interface SwarmParts {
  readonly client: WebTorrent
  readonly artifact: Artifact
  readonly metainfo: Uint8Array
  readonly store: PieceStore
  readonly limits: LanLimits
  readonly networks: Networks
  readonly door: Door
  readonly maxPeers: number
  /** Called once, when the swarm is left. */
  readonly onLeft: () => void
}

export class WebtorrentSwarm implements Swarm {
  readonly artifact: Artifact
  readonly #parts: SwarmParts
  readonly #torrent: Torrent
  readonly #chunks: ChunkStore
  readonly #links: Links
  readonly #blame = new Blame()
  readonly #strikes = new Map<string, number>()
  /** Pieces that we are putting into the store ourselves. */
  readonly #putting = new Set<number>()
  readonly #outcome = Promise.withResolvers<void>()
  readonly #forgetStore: () => void
  #ready = false
  #closed = false
  #leaving: Promise<void> | undefined
  #bytesIn = 0
  #bytesOut = 0
  #bytesWasted = 0

  constructor(parts: SwarmParts) {
    const { client, artifact, metainfo, store, maxPeers } = parts
    this.artifact = artifact
    this.#parts = parts
    this.#links = new Links(client.peerId, maxPeers)
    this.#outcome.promise.catch(() => {}) // whoever calls completed() hears of it
    this.#chunks = this.#chunkStore()
    this.#torrent = client.add(metainfo, {
      strategy: 'rarest',
      private: true,
      preloadedStore: this.#chunks,
      storeCacheSlots: 0,
      bitfield: Uint8Array.from(store.have.bytes),
    })
    demandInternals('torrent', this.#torrent)
    this.#listen()
    this.#forgetStore = store.onPiece(index => this.#adopt(index))
  }

  /** @throws Error when webtorrent does not take the metainfo, or the swarm is left meanwhile. */
  async ready(): Promise<void> {
    const gone = new AbortController()
    this.#torrent.once('close', () => gone.abort(new Error('the swarm was left before it was ready')))
    await once(this.#torrent, 'ready', { signal: gone.signal })
    if (this.#torrent.infoHash !== this.artifact.infohash)
      throw new Error('the metainfo is not the one of the artifact')
    this.#ready = true
    for (const index of this.store.have.pieces()) if (!this.#torrent.bitfield.get(index)) this.#adopt(index)
    this.#finishIfComplete()
    this.#lookAgain()
  }

  get store(): PieceStore {
    return this.#parts.store
  }

  get limits(): LanLimits {
    return this.#parts.limits
  }

  addPeers(addresses: readonly PeerAddress[]): void {
    if (this.#closed) return
    for (const { host, port } of addresses) {
      const canonical = canonicalAddress(host)
      if (canonical === undefined || !this.#parts.networks.allowed(canonical)) continue
      if (Number.isInteger(port) && port > 0 && port < 65_536)
        this.#torrent.addPeer(addressText({ host: canonical, port }))
    }
  }

  totals(): SwarmTotals {
    return { bytesIn: this.#bytesIn, bytesOut: this.#bytesOut, bytesWasted: this.#bytesWasted }
  }

  peers(): readonly PeerView[] {
    return this.#links.views(this.store.pieces)
  }

  async completed(signal?: AbortSignal): Promise<void> {
    if (!signal) return this.#outcome.promise
    signal.throwIfAborted()
    const aborted = Promise.withResolvers<never>()
    const onAbort = () => aborted.reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await Promise.race([this.#outcome.promise, aborted.promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  leave(): Promise<void> {
    this.#leaving ??= this.#close(new SwarmError('swarm_failed', 'the swarm was left before it was complete')).finally(
      this.#parts.onLeft,
    )
    return this.#leaving
  }

  async #close(reason: SwarmError): Promise<void> {
    this.#forgetStore()
    this.#outcome.reject(reason)
    if (!this.#closed) await new Promise<void>(resolve => this.#torrent.destroy(resolve))
  }

  #fail(cause: unknown): void {
    const sentence = cause instanceof Error ? cause.message : String(cause)
    void this.#close(new SwarmError('swarm_failed', `webtorrent gave up on the artifact: ${sentence}`, { cause }))
  }

  #listen(): void {
    const torrent = this.#torrent
    torrent.on('error', error => this.#fail(error))
    torrent.once('close', () => {
      this.#closed = true
    })
    torrent.once('metadata', () => {
      torrent.store = this.#chunks
    })
    torrent.on('warning', (warning: Error) => {
      const [, index] = /^Piece (\d+) failed verification$/.exec(warning.message) ?? []
      if (index !== undefined) this.#refuse(Number(index))
    })
    torrent.on('wire', (wire: Wire) => this.#onWire(wire))
    const request = torrent._request
    torrent._request = (wire, index, hotswap) => {
      const link = this.#links.get(wire)
      return (
        link !== undefined &&
        this.#blame.mayAsk(index, link.address.host) &&
        request.call(torrent, wire, index, hotswap)
      )
    }
    // Its own redials come this way as well, after one, five and fifteen seconds.
    const addPeer = torrent._addPeer
    torrent._addPeer = (address, type, source) =>
      this.#links.mayDial(parseAddress(address)) ? addPeer.call(torrent, address, type, source) : null
  }

  #onWire(wire: Wire): void {
    const checkpoint = this.#parts.door.checkpointOf(wire)
    const link = checkpoint && this.#links.admit(wire, checkpoint)
    if (!link) {
      wire.destroy()
      return
    }
    wire.setTimeout(blockTimeoutMs, true)
    wire.extendedMapping = {} // no metadata exchange: what is not offered cannot be attacked
    wire.extendedHandshake = { v: 'sigmesh', reqq: 500 }
    this.#watchBlocks(link)
    wire.on('choke', () => this.#release(link))
    for (const end of ['finish', 'close'])
      wire.once(end, () => {
        this.#links.remove(wire)
        this.#release(link)
      })
    checkpoint.attach(wire)
    // An unchoke that came right behind the handshake was before webtorrent listened for it.
    setImmediate(() => this.#lookAgain())
  }

  #lookAgain(): void {
    if (this.#ready && !this.#closed) this.#torrent._update()
  }

  /** Who brought which block, counted. */
  #watchBlocks({ wire, address: { host } }: Link): void {
    let answer: Uint8Array | undefined
    let unasked = 0
    const request = wire.request
    wire.request = (index, offset, length, callback) => {
      const attempt = this.#blame.asked(index, host)
      request.call(wire, index, offset, length, (error, block) => {
        answer = block
        if (block && !this.#blame.received(attempt, index, offset, block, host)) this.#bytesWasted += block.length
        callback(error, block)
      })
    }
    wire.on('piece', (_index: number, _offset: number, block: Uint8Array) => {
      if (block === answer) return
      this.#bytesWasted += block.length
      if (++unasked > unaskedLimit) wire.destroy()
    })
    wire.on('upload', (bytes: number) => {
      this.#bytesOut += bytes
    })
  }

  /** What `host` alone was trusted with goes back to everybody. */
  #release({ address: { host } }: Link): void {
    if (this.#closed) return
    for (const index of this.#blame.gone(host)) this.#startAnew(index)
  }

  #startAnew(index: number): void {
    this.#bytesWasted += this.#blame.restart(index)
    if (!this.#closed && !this.store.have.has(index)) this.#torrent._markUnverified(index)
  }

  #chunkStore(): ChunkStore {
    return chunkStore(this.store, {
      trying: index => this.#putting.add(index),
      done: (index, outcome) => {
        this.#putting.delete(index)
        if (outcome === 'stored') this.#bytesIn += pieceSize(this.artifact, index)
        if (outcome === 'stored') this.#convict(this.#blame.good(index))
        else this.#bytesWasted += this.#blame.settle(index)
        this.#finishIfComplete()
      },
      refused: index => {
        this.#putting.delete(index)
        this.#refuse(index)
      },
      failed: error => this.#fail(error),
    })
  }

  /** A whole piece is bad. */
  #refuse(index: number): void {
    this.#bytesWasted += pieceSize(this.artifact, index)
    this.#convict(this.#blame.bad(index))
    if (this.store.have.has(index)) this.#adopt(index)
    else this.#startAnew(index)
  }

  /** Another hand has stored the piece: what webtorrent does after a put of its own. */
  #adopt(index: number): void {
    if (!this.#ready || this.#closed || this.#putting.has(index)) return
    this.#bytesWasted += this.#blame.settle(index)
    this.#torrent._markVerified(index)
    for (const wire of this.#torrent.wires) wire.have(index)
    this.#torrent._checkDone()
    this.#lookAgain()
    this.#finishIfComplete()
  }

  #finishIfComplete(): void {
    if (this.store.have.complete) this.#outcome.resolve()
  }

  #convict(hosts: readonly string[]): void {
    for (const host of hosts) {
      const strikes = (this.#strikes.get(host) ?? 0) + 1
      this.#strikes.set(host, strikes)
      if (strikes < strikesToBan) continue
      this.#links.ban(host)
      for (const index of this.#blame.touchedBy(host)) this.#startAnew(index)
    }
  }
}
