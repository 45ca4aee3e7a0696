/**
 * One artifact being fetched and served: joins the parts (download, uploads, announcer, dialer, roster) to the peers and the store,
 * and owns the one clock they all live by.
 */
import { randomBytes } from 'node:crypto'
import type { Artifact } from '../../core/artifact.ts'
import { SwarmError } from '../../core/errors.ts'
import type { PieceStore } from '../../core/piece-store.ts'
import { minute } from '../../core/units.ts'
import type { LanLimits, PeerAddress, PeerView, Swarm, SwarmTotals } from '../engine.ts'
import type { Networks } from '../networks.ts'
import type { Traffic } from '../traffic.ts'
import { Announcer } from './announcer.ts'
import { judge } from './choker.ts'
import { Completion } from './completion.ts'
import { Dialer } from './dialer.ts'
import { Download } from './download.ts'
import { encodeExtensionHandshake, extensionHandshakeId, receiptId } from './extension.ts'
import { encodeHandshake, type Handshake } from './handshake.ts'
import { largestBlockBytes } from './message.ts'
import { Pace } from './pace.ts'
import type { Block } from './partial-piece.ts'
import { Peer, type PeerEvents } from './peer.ts'
import { PeerBook } from './peer-book.ts'
import { Roster } from './roster.ts'
import { Suggester } from './suggester.ts'
import type { Tuning } from './tuning.ts'
import { queueLimit, Uploads } from './upload.ts'
import type { Wire } from './wire.ts'

const client = 'sigmesh 0.1'
const peerIdPrefix = '-SM0100-'

export interface NativeSwarmParts {
  readonly artifact: Artifact
  readonly store: PieceStore
  readonly networks: Networks
  readonly maxPeers: number
  /** Where this engine listens. */
  readonly port: number
  readonly limits: LanLimits
  readonly traffic: Traffic
  /** Connections that the engine may still have, over all swarms. */
  readonly room: () => number
  readonly tuning: Tuning
  /** 0 <= random() < 1. */
  readonly random: () => number
  /** Monotonic milliseconds. */
  readonly now: () => number
  readonly onLeave: () => void
}

export class NativeSwarm implements Swarm, PeerEvents {
  readonly artifact: Artifact
  readonly handshake: Handshake
  readonly #parts: NativeSwarmParts
  readonly #roster: Roster
  readonly #book: PeerBook
  readonly #dialer: Dialer
  readonly #download: Download
  readonly #uploads: Uploads
  readonly #suggester: Suggester
  readonly #announcer: Announcer
  readonly #completion: Completion
  readonly #pace: Pace
  readonly #unlisten: () => void
  /** Somebody's interest has changed since slots were given. */
  #unjudged = false
  #ended = false
  #left = false

  constructor(parts: NativeSwarmParts) {
    const { artifact, store, tuning, now } = parts
    this.#parts = parts
    this.artifact = artifact
    this.handshake = {
      infohash: artifact.infohash,
      peerId: peerIdPrefix + randomBytes(6).toString('hex'),
      extended: true,
      fast: true,
    }
    this.#roster = new Roster(parts.maxPeers, tuning.perHost)
    this.#book = new PeerBook(parts.networks)
    this.#dialer = new Dialer({
      book: this.#book,
      tuning,
      handshake: this.handshake,
      now,
      room: () => Math.min(parts.maxPeers - this.#roster.size - this.#dialer.dialling, parts.room()),
      traffic: parts.traffic,
      isConnected: address => this.#roster.isConnected(address),
      onWire: (wire, theirs, address, rest) => this.#dialled(wire, theirs, address, rest),
    })
    this.#download = new Download({
      store,
      peers: this.#roster,
      limiter: parts.limits.lan_down,
      random: parts.random,
      now,
      onWanting: () => this.#pace.stir(),
      onStrike: host => this.#strike(host),
      onFault: error => this.#fail(error),
    })
    this.#uploads = new Uploads({
      store,
      limiter: parts.limits.lan_up,
      availability: piece => this.#download.picker.order.availability(piece),
      now,
    })
    this.#suggester = new Suggester({
      pieces: store.pieces,
      pieceLength: store.layout.pieceLength,
      availability: piece => this.#download.picker.order.availability(piece),
      random: parts.random,
    })
    this.#announcer = new Announcer({
      peers: this.#roster,
      have: store.have,
      availability: piece => this.#download.picker.order.availability(piece),
      now,
      random: parts.random,
    })
    this.#completion = new Completion(store)
    this.#unlisten = store.onPiece(piece => this.#stored(piece))
    this.#pace = new Pace(tuning, now, () => this.#look())
  }

  addPeers(addresses: readonly PeerAddress[]): void {
    if (this.#ended) return
    this.#book.add(addresses, this.#parts.now())
    this.#dialer.dial()
    this.#pace.stir()
  }

  totals(): SwarmTotals {
    const { bytesIn, bytesWasted } = this.#download
    return { bytesIn, bytesOut: this.#uploads.bytesOut, bytesWasted }
  }

  peers(): readonly PeerView[] {
    return [...this.#roster].map(peer => peer.view())
  }

  completed(signal?: AbortSignal): Promise<void> {
    return this.#completion.wait(signal)
  }

  async leave(): Promise<void> {
    if (this.#left) return
    this.#left = true
    this.#end(new SwarmError('swarm_failed', 'the swarm was left before the artifact was complete'))
    this.#parts.onLeave()
  }

  /** An incoming connection that has greeted. @param host Canonical. @param rest What came behind the handshake. */
  accept(wire: Wire, theirs: Handshake, address: PeerAddress, rest: Uint8Array): void {
    if (this.#ended || !this.#book.welcome(address.host)) {
      wire.destroy()
      return
    }
    wire.socket.write(encodeHandshake(this.handshake))
    // To ourselves the answer says just that; then there is nothing more to say.
    if (theirs.peerId === this.handshake.peerId) wire.socket.destroySoon()
    else if (!this.#join(wire, theirs, address, 'in', rest)) wire.destroy()
  }

  onInventory(peer: Peer): void {
    this.#download.inventory(peer)
  }

  onHave(peer: Peer, piece: number): void {
    this.#download.have(peer, piece)
    this.#suggester.taken(peer, piece)
    this.#uploads.has(peer, piece)
  }

  onReceipts(peer: Peer): void {
    this.#uploads.flight.track(peer, peer.bytesOut)
  }

  onReceipt(peer: Peer, total: number): void {
    this.#uploads.flight.receipt(peer, total)
  }

  onBlock(peer: Peer, piece: number, begin: number, block: Uint8Array): void {
    this.#download.block(peer, piece, begin, block)
  }

  onReject(peer: Peer, block: Block): void {
    this.#download.rejected(peer, block)
  }

  onChoke(peer: Peer): void {
    this.#download.choked(peer)
  }

  onInterest(): void {
    this.#unjudged = true
  }

  onRequest(peer: Peer, block: Block): void {
    this.#suggester.taken(peer, block.piece)
    if (peer.choked) peer.refuse(block)
    else this.#uploads.request(peer, block)
  }

  onCancel(peer: Peer, block: Block): void {
    this.#uploads.cancel(peer, block)
  }

  onTurn(peer: Peer): void {
    this.#pace.stir()
    peer.declareInterest()
    this.#download.fill(peer)
    if (peer.connection.talking) this.#announcer.tell(peer)
    if (this.#unjudged) this.#giveSlots()
    if (this.#parts.store.have.complete) this.#suggester.tend(peer)
    peer.acknowledge()
    this.#uploads.pump()
  }

  onDrain(): void {
    this.#uploads.pump()
  }

  onClose(peer: Peer): void {
    const now = this.#parts.now()
    this.#pace.stir()
    this.#roster.delete(peer)
    this.#download.gone(peer)
    this.#uploads.forget(peer)
    this.#suggester.gone(peer)
    this.#unjudged = true
    if (peer.direction === 'in') return
    const useful = peer.usefulAt > peer.connectedAt || now - peer.connectedAt > minute
    if (useful) this.#book.ended(peer.address, now)
    else this.#book.failed(peer.address, now)
  }

  #dialled(wire: Wire, theirs: Handshake, address: PeerAddress, rest: Uint8Array): void {
    const own = theirs.peerId === this.handshake.peerId
    if (!own && this.#book.welcome(address.host) && this.#join(wire, theirs, address, 'out', rest)) return
    if (own) this.#book.own(address)
    else this.#book.failed(address, this.#parts.now())
    wire.destroy()
  }

  #join(wire: Wire, theirs: Handshake, address: PeerAddress, direction: 'in' | 'out', rest: Uint8Array): boolean {
    const { tuning, now, store } = this.#parts
    const newcomer = { host: address.host, id: theirs.peerId, direction }
    if (!this.#roster.admit(newcomer, this.handshake.peerId, this.#dialer.dialling, now())) return false
    const strikes = (host: string) => this.#book.strikes(host)
    const { layout } = store
    const { frames, line } = this.#download
    const about = { handshake: theirs, address, direction, layout, tuning, frames, line, now, strikes }
    const peer = new Peer({ wire, ...about, events: this })
    this.#roster.add(peer)
    this.#pace.stir()
    this.#introduce(peer)
    peer.connection.receive(rest)
    return true
  }

  /** The first words to a peer: who we are, what we have. */
  #introduce(peer: Peer): void {
    const { have } = this.#parts.store
    const { out } = peer.connection
    if (peer.extended) {
      const { port } = this.#parts
      const self = { port, requestQueue: queueLimit, blockBytes: largestBlockBytes, receiptId, client }
      out.extended(extensionHandshakeId, encodeExtensionHandshake(self))
    }
    if (peer.fast && have.complete) out.bare('haveAll')
    else if (peer.fast && have.count === 0) out.bare('haveNone')
    else if (have.count > 0) out.bitfield(have.bytes)
    this.#announcer.join(peer)
  }

  #stored(piece: number): void {
    this.#pace.stir()
    this.#download.stored(piece)
    this.#announcer.add(piece)
    this.#completion.check()
  }

  #strike(host: string): void {
    const banned = this.#book.strike(host)
    for (const peer of [...this.#roster]) {
      if (peer.host !== host) continue
      if (banned) peer.connection.close('banned')
      else peer.rest()
    }
  }

  #giveSlots(): void {
    this.#unjudged = false
    const now = this.#parts.now()
    const { choke, unchoke } = judge(this.#roster, now)
    for (const peer of choke) {
      peer.setChoked(true, now)
      this.#uploads.choke(peer)
    }
    for (const peer of unchoke) peer.setChoked(false, now)
  }

  /** Everything that only time brings about. */
  #look(): void {
    const now = this.#parts.now()
    this.#download.tick(now)
    this.#giveSlots()
    this.#uploads.pump()
    for (const peer of [...this.#roster]) this.#check(peer, now)
    this.#dialer.tick()
    if (this.#book.retrying) this.#pace.stir()
  }

  #check(peer: Peer, now: number): void {
    const { tuning } = this.#parts
    const { connection } = peer
    if (now - connection.heardAt > tuning.silenceMs) connection.close('silent')
    else if (now - (connection.backlogSince ?? now) > tuning.stuckMs) connection.close('takes nothing')
    else if (peer.pipeline.lapses >= tuning.lapses) connection.close('too slow')
    else if (now - connection.saidAt > tuning.keepAliveMs) connection.out.keepAlive()
    if (connection.closed) return
    peer.settleInterest(now, this.#parts.store.have.complete)
    this.#announcer.tell(peer)
    // What came last may have been too little for a receipt, and its sender may wait for one.
    peer.acknowledge()
  }

  #fail(error: unknown): void {
    this.#end(new SwarmError('swarm_failed', 'a piece could not be stored', { cause: error }))
  }

  #end(reason: SwarmError): void {
    if (this.#ended) return
    this.#ended = true
    this.#pace.stop()
    this.#unlisten()
    for (const part of [this.#dialer, this.#download, this.#uploads, this.#announcer]) part.stop()
    for (const peer of [...this.#roster]) peer.connection.close('left')
    this.#completion.fail(reason)
  }
}
