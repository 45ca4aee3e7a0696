/**
 * The connections of one artifact: which may stay, and what they look like. A connection is refused when it is to ourselves, from a
 * banned address, one too many, or the second one to the same peer.
 *
 * Two nodes that dial each other have two connections. Both keep the one that the smaller peer id opened, so that they keep the same.
 * A peer id alone proves nothing (whoever borrows one could push its owner out): only one and the same address can be a second time there.
 */
import type { Wire } from 'webtorrent'
import type { PeerAddress, PeerView } from '../engine.ts'
import { canonicalAddress } from '../networks.ts'
import type { Checkpoint } from './checkpoint.ts'

export interface Link {
  readonly wire: Wire
  readonly checkpoint: Checkpoint
  readonly address: PeerAddress
  readonly direction: 'in' | 'out'
}

export class Links {
  readonly #ownPeerId: string
  readonly #most: number
  readonly #links = new Map<Wire, Link>()
  readonly #banned = new Set<string>()
  /** Addresses that lead to ourselves. */
  readonly #self = new Set<string>()
  /** Addresses that lead to a peer we are connected to another way. */
  readonly #aliases = new Map<string, Link>()

  constructor(ownPeerId: string, most: number) {
    this.#ownPeerId = ownPeerId
    this.#most = most
  }

  [Symbol.iterator](): Iterator<Link> {
    return this.#links.values()
  }

  /**
   * A handshake is done. @returns The link; undefined when the wire may not stay.
   */
  admit(wire: Wire, checkpoint: Checkpoint): Link | undefined {
    const direction = wire.type === 'tcpIncoming' ? 'in' : 'out'
    const host = canonicalAddress(wire.remoteAddress) ?? ''
    const link: Link = { wire, checkpoint, direction, address: { host, port: wire.remotePort } }
    if (!this.#isWelcome(link)) return undefined
    this.#links.set(wire, link)
    return link
  }

  get(wire: Wire): Link | undefined {
    return this.#links.get(wire)
  }

  remove(wire: Wire): void {
    const link = this.#links.get(wire)
    this.#links.delete(wire)
    for (const [alias, target] of this.#aliases) if (target === link) this.#aliases.delete(alias)
  }

  ban(host: string): void {
    this.#banned.add(host)
    for (const { wire, address } of [...this]) if (address.host === host) wire.destroy()
  }

  /** Is there a point in dialling this address? */
  mayDial(address: PeerAddress): boolean {
    const text = addressText(address)
    return !this.#banned.has(address.host) && !this.#self.has(text) && !this.#aliases.has(text)
  }

  views(pieces: number): PeerView[] {
    return [...this].map(({ wire, checkpoint, address, direction }) => ({
      address,
      client: clientName(checkpoint.client, wire.peerId),
      direction,
      pieces: Array.from({ length: pieces }, (_, index) => index).filter(index => wire.peerPieces.get(index)).length,
      bytesIn: wire.downloaded,
      bytesOut: wire.uploaded,
    }))
  }

  #isWelcome(link: Link): boolean {
    if (this.#banned.has(link.address.host)) return false
    if (link.wire.peerId === this.#ownPeerId) {
      if (link.direction === 'out') this.#self.add(addressText(link.address))
      return false
    }
    const other = [...this].find(
      ({ wire, address }) => wire.peerId === link.wire.peerId && address.host === link.address.host,
    )
    if (!other) return this.#links.size < this.#most
    const [kept, closed] = this.#isPreferred(link) && !this.#isPreferred(other) ? [link, other] : [other, link]
    if (closed.direction === 'out') this.#aliases.set(addressText(closed.address), kept)
    if (closed === other) this.#close(other)
    return kept === link
  }

  #isPreferred({ direction, wire }: Link): boolean {
    return (direction === 'out') === this.#ownPeerId < wire.peerId
  }

  #close(link: Link): void {
    this.#links.delete(link.wire)
    link.wire.destroy()
  }
}

/** As webtorrent and URLs write it: `10.0.0.1:6881`, `[fd00::1]:6881`. */
export function addressText({ host, port }: PeerAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** The inverse of `addressText`. */
export function parseAddress(text: string): PeerAddress {
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) }
}

/** @param name What the peer says, raw. Else the start of its peer id (hex) has to do: `-WW0300-`. */
function clientName(name: Uint8Array, peerId: string): string {
  const bytes = name.length > 0 ? name : Buffer.from(peerId.slice(0, 16), 'hex')
  return Buffer.from(bytes)
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, '?')
    .slice(0, 40)
}
