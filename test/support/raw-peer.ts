/**
 * A BitTorrent peer made of a bare socket, for tests: it says what the test lets it say, true or not. It dials an engine
 * (`RawPeer.dial`) or waits to be dialled (`RawListener`); each can have a 127.x.x.x address of its own, so that a ban of one
 * does not hit the others.
 */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Infohash } from '../../src/core/digest.ts'
import type { PeerAddress } from '../../src/swarm/engine.ts'

export const message = { choke: 0, unchoke: 1, interested: 2, have: 4, bitfield: 5, request: 6, piece: 7, extended: 20 }

export interface Frame {
  readonly id: number
  readonly body: Buffer
}

const handshakeBytes = 68

export class RawPeer {
  readonly socket: Socket
  /** Whole frames that arrived and were not taken by `onFrame`. */
  readonly frames: Frame[] = []
  /** The other side's handshake, once it has arrived. */
  handshake: Buffer | undefined
  onFrame: ((frame: Frame) => void) | undefined
  /** Resolves when the connection is gone, whoever ended it. */
  readonly closed: Promise<void>
  #inbox: Buffer = Buffer.alloc(0)

  constructor(socket: Socket) {
    this.socket = socket
    this.closed = new Promise(resolve => socket.once('close', () => resolve()))
    socket.on('error', () => {}) // being cut off is what most of these peers deserve
    socket.on('data', chunk => this.#read(chunk))
  }

  static async dial(to: PeerAddress, localAddress = '127.0.0.1'): Promise<RawPeer> {
    const socket = connect({ host: to.host, port: to.port, localAddress })
    const peer = new RawPeer(socket)
    await once(socket, 'connect')
    return peer
  }

  /** @param reserved The eight reserved bytes; all zero speaks plain BEP 3. */
  sendHandshake(infohash: Infohash, peerId = freshPeerId(), reserved: Buffer = Buffer.alloc(8)): void {
    const magic = Buffer.from('\x13BitTorrent protocol', 'latin1')
    this.write(Buffer.concat([magic, reserved, Buffer.from(infohash, 'hex'), Buffer.from(peerId, 'latin1')]))
  }

  send(id: number, ...parts: (number | Uint8Array)[]): void {
    const body = Buffer.concat(parts.map(part => (typeof part === 'number' ? uint32(part) : part)))
    this.write(Buffer.concat([uint32(body.length + 1), Buffer.of(id), body]))
  }

  write(bytes: Uint8Array): void {
    if (this.socket.writable) this.socket.write(bytes)
  }

  /** @throws Error when the connection ends first, or after ten seconds. */
  async until<T>(what: () => T | undefined | false): Promise<T> {
    for (let turn = 0; turn < 1000; turn++) {
      const found = what()
      if (found) return found
      if (this.socket.destroyed) throw new Error('the connection ended before what the test waited for')
      await delay(10)
    }
    throw new Error('waited in vain')
  }

  /** Take the next frame with this id, waiting for it; earlier frames of other kinds stay. */
  async take(id: number): Promise<Buffer> {
    return this.until(() => {
      const at = this.frames.findIndex(frame => frame.id === id)
      return at >= 0 ? this.frames.splice(at, 1)[0]!.body : undefined
    })
  }

  end(): void {
    this.socket.destroy()
  }

  #read(chunk: Buffer): void {
    this.#inbox = Buffer.concat([this.#inbox, chunk])
    if (!this.handshake) {
      if (this.#inbox.length < handshakeBytes) return
      this.handshake = this.#inbox.subarray(0, handshakeBytes)
      this.#inbox = this.#inbox.subarray(handshakeBytes)
    }
    while (this.#inbox.length >= 4 && this.#inbox.length >= 4 + this.#inbox.readUInt32BE()) {
      const length = this.#inbox.readUInt32BE()
      const frame = this.#inbox.subarray(4, 4 + length)
      this.#inbox = this.#inbox.subarray(4 + length)
      if (length === 0) continue // keep-alive
      const parsed = { id: frame[0]!, body: frame.subarray(1) }
      if (this.onFrame) this.onFrame(parsed)
      else this.frames.push(parsed)
    }
  }
}

/** A port where engines find raw peers. */
export class RawListener {
  readonly address: PeerAddress
  /** Everybody who connected, in order. */
  readonly peers: RawPeer[] = []
  readonly #server: Server

  private constructor(server: Server, address: PeerAddress, greet: (peer: RawPeer) => void) {
    this.#server = server
    this.address = address
    server.on('connection', socket => {
      const peer = new RawPeer(socket)
      this.peers.push(peer)
      greet(peer)
    })
  }

  /** @param greet Called with each peer that connects. */
  static async start(host: string, greet: (peer: RawPeer) => void = () => {}): Promise<RawListener> {
    const server = createServer()
    server.listen(0, host)
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    return new RawListener(server, { host, port }, greet)
  }

  async stop(): Promise<void> {
    for (const peer of this.peers) peer.end()
    await new Promise(resolve => this.#server.close(resolve))
  }
}

/** What a seeder does, but with the blocks that `block` makes up (`undefined`: no answer). */
export function actAsSeeder(
  peer: RawPeer,
  infohash: Infohash,
  pieces: number,
  block: (index: number, offset: number, length: number) => Uint8Array | undefined,
): void {
  peer.sendHandshake(infohash)
  peer.send(message.bitfield, allPieces(pieces))
  peer.send(message.unchoke)
  peer.onFrame = ({ id, body }) => {
    if (id !== message.request) return
    const [index, offset, length] = [body.readUInt32BE(0), body.readUInt32BE(4), body.readUInt32BE(8)]
    const bytes = block(index, offset, length)
    if (bytes) peer.send(message.piece, index, offset, bytes)
  }
}

export function allPieces(pieces: number): Buffer {
  const bits = Buffer.alloc(Math.ceil(pieces / 8), 0xff)
  if (pieces % 8 !== 0) bits[bits.length - 1] = (0xff << (8 - (pieces % 8))) & 0xff
  return bits
}

let peerIds = 0
export function freshPeerId(): string {
  return `-RW0001-${String(++peerIds).padStart(12, '0')}`
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}
