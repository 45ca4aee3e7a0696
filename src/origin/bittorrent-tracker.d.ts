/** The part of bittorrent-tracker 11 that we use; it ships no types. */
declare module 'bittorrent-tracker/server' {
  import type { EventEmitter } from 'node:events'
  import type { IncomingMessage, ServerResponse } from 'node:http'

  type Callback<T> = (error: Error | null, value?: T) => void

  /** An announce as parsed from the query. Whatever else stood there is in it, too. */
  export interface AnnounceParams {
    /** 40 hex digits; the filter may put another key in its place, which is what `getSwarm` is then asked for. */
    info_hash: string
    /** 40 hex digits. */
    peer_id: string
    ip: string
    /** 1 to 65,535; may have a fraction. */
    port: number
    /** Bytes missing; Infinity when it does not say. */
    left: number
    numwant: number
    /** 1: binary addresses, 0: a list of dictionaries, any other: the peers as `announce` gives them. */
    compact: number
    event?: unknown
    readonly httpReq: IncomingMessage
  }

  export interface Swarm {
    announce(
      params: AnnounceParams,
      callback: Callback<{
        complete: number
        incomplete: number
        peers: { peerId: string; ip: string; port: number }[]
      }>,
    ): void
  }

  export default class Server extends EventEmitter {
    constructor(options: {
      http: false
      udp: false
      ws: false
      stats: false
      /** ms */
      interval: number
      filter(infohash: string, params: AnnounceParams, allow: (refusal: Error | null) => void): void
    })
    onHttpRequest(request: IncomingMessage, response: ServerResponse, options: { action: 'announce' }): void
    getSwarm(key: string, callback: Callback<Swarm>): void
    createSwarm(key: string, callback: Callback<Swarm>): void
    close(callback?: () => void): void
  }
}
