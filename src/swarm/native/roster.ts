/**
 * The connected peers of a swarm, and who may become one. Against a flood: limits in all and by address, a share of the places that
 * only peers we dialled can have, and places taken back from those that have brought and fetched nothing for a while.
 */
import { second } from '../../core/units.ts'
import type { PeerAddress } from '../engine.ts'
import type { Peer } from './peer.ts'

/** Of the places; the rest is for peers that the tracker or a neighbour named. */
const incomingShare = 0.8
const graceMs = 30 * second

export interface Newcomer {
  readonly host: string
  readonly id: string
  readonly direction: 'in' | 'out'
}

export class Roster implements Iterable<Peer> {
  readonly #peers = new Set<Peer>()
  readonly #most: number
  readonly #perHost: number

  constructor(most: number, perHost: number) {
    this.#most = most
    this.#perHost = perHost
  }

  get size(): number {
    return this.#peers.size
  }

  [Symbol.iterator](): Iterator<Peer> {
    return this.#peers.values()
  }

  add(peer: Peer): void {
    this.#peers.add(peer)
  }

  delete(peer: Peer): void {
    this.#peers.delete(peer)
  }

  /** Some peer listens at `address`. */
  isConnected({ host, port }: PeerAddress): boolean {
    for (const peer of this.#peers)
      if (peer.host === host && (peer.direction === 'out' ? peer.address.port : peer.listenPort) === port) return true
    return false
  }

  /**
   * May `newcomer` come in? Closes whoever has to give way to it.
   *
   * @param ownId Our peer id.
   * @param dialling Places that are promised to dials under way.
   */
  admit(newcomer: Newcomer, ownId: string, dialling: number, now: number): boolean {
    const twin = this.#twinOf(newcomer)
    if (twin) {
      if (!isKept(newcomer, twin, ownId)) return false
      twin.connection.close('connected twice')
    }
    if (!isLoopback(newcomer.host) && this.#count(peer => peer.host === newcomer.host) >= this.#perHost) return false
    const room = () => this.#peers.size + dialling < this.#most && !this.#crowded(newcomer)
    if (!room()) this.#leastUseful(newcomer, now)?.connection.close('gave way to another')
    return room()
  }

  /** The same node, met from both sides. Only at the same address: or anybody could push a node out under its id. */
  #twinOf({ host, id }: Newcomer): Peer | undefined {
    for (const peer of this.#peers) if (peer.host === host && peer.id === id) return peer
    return undefined
  }

  #crowded({ direction }: Newcomer): boolean {
    const limit = Math.ceil(this.#most * incomingShare)
    return direction === 'in' && this.#count(peer => peer.direction === 'in') >= limit
  }

  #leastUseful({ direction }: Newcomer, now: number): Peer | undefined {
    let least: Peer | undefined
    for (const peer of this.#peers) {
      if (direction === 'in' && peer.direction === 'out') continue
      if (now - peer.usefulAt > graceMs && peer.usefulAt < (least?.usefulAt ?? Infinity)) least = peer
    }
    return least
  }

  #count(which: (peer: Peer) => boolean): number {
    let count = 0
    for (const peer of this.#peers) if (which(peer)) count++
    return count
  }
}

/** Of two connections between the same nodes, both ends keep the one that the lower peer id dialled. */
function isKept(newcomer: Newcomer, twin: Peer, ownId: string): boolean {
  if (newcomer.direction === twin.direction) return false
  return (newcomer.direction === 'out') === ownId < newcomer.id
}

function isLoopback(host: string): boolean {
  return host.startsWith('127.') || host === '::1'
}
