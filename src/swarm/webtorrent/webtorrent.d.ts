/**
 * What this folder uses of webtorrent 3.0.21, which has no types of its own. Documented API first. What follows under "Not documented"
 * is there because the documented way breaks a rule of SwarmEngine; each user says which. undocumented.ts checks
 * that all of it exists, the contract suite that it still does what it did.
 */
declare module 'webtorrent' {
  import type { EventEmitter } from 'node:events'
  import type { Duplex } from 'node:stream'

  export interface Options {
    peerId?: string
    /** Handed to `net.Server.listen` as it is; so an address can be given as well. */
    torrentPort?: { host: string; port: number }
    maxConns?: number
    dht?: false
    lsd?: false
    utPex?: false
    natUpnp?: false
    natPmp?: false
    utp?: false
    tracker?: false
    webSeeds?: false
    /** 0: no obfuscation by RC4, which protects nothing and costs CPU. */
    secure?: 0
  }

  export interface TorrentOptions {
    strategy?: 'rarest' | 'sequential'
    private?: boolean
    preloadedStore?: ChunkStore
    storeCacheSlots?: number
    /** The pieces that the store has; trusted, but for a sample of one or two. */
    bitfield?: Uint8Array
  }

  export type StoreCallback = (error: Error | null, bytes?: Uint8Array) => void

  /** abstract-chunk-store */
  export interface ChunkStore {
    readonly chunkLength: number
    put(index: number, bytes: Uint8Array, callback?: StoreCallback): void
    get(
      index: number,
      options: { offset?: number; length?: number } | null | StoreCallback,
      callback?: StoreCallback,
    ): void
    close(callback?: StoreCallback): void
    destroy(callback?: StoreCallback): void
  }

  export type BlockCallback = (error: Error | null, block?: Uint8Array) => void

  /** bittorrent-protocol */
  export interface Wire extends EventEmitter {
    readonly type: 'tcpIncoming' | 'tcpOutgoing' | 'webSeed'
    /** Hex. */
    readonly peerId: string
    readonly remoteAddress: string
    readonly remotePort: number
    readonly peerPieces: { get(index: number): boolean }
    /** What it asks of us and has no answer to yet. */
    readonly peerRequests: readonly unknown[]
    readonly uploaded: number
    readonly downloaded: number
    readonly destroyed: boolean
    extendedHandshake: Record<string, unknown>
    extendedMapping: Record<string, string>
    request(index: number, offset: number, length: number, callback: BlockCallback): void
    have(index: number): void
    setTimeout(ms: number, unref: boolean): void
    destroy(): void

    // Not documented
    readonly _readableState: { readonly buffered: number }
  }

  export interface Torrent extends EventEmitter {
    readonly infoHash: string
    readonly wires: readonly Wire[]
    addPeer(address: string): boolean
    destroy(callback: () => void): void

    // Not documented
    store: ChunkStore
    readonly bitfield: { get(index: number): boolean }
    _markVerified(index: number): void
    _markUnverified(index: number): void
    _checkDone(): void
    _update(): void
    _request(wire: Wire, index: number, hotswap: boolean): boolean
    _addPeer(address: string, type: string, source: string | undefined): unknown
  }

  export interface ThrottleGroup {
    /** The stream that every connection's bytes of one direction pass. */
    throttle(): Duplex
    destroy(): void
  }

  export default class WebTorrent extends EventEmitter {
    constructor(options: Options)
    /** Hex. */
    readonly peerId: string
    add(metainfo: Uint8Array, options: TorrentOptions): Torrent
    address(): { port: number } | null
    destroy(callback: (error?: Error) => void): void

    // Not documented
    throttleGroups: { down: ThrottleGroup; up: ThrottleGroup }
  }
}
