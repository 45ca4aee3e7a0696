/**
 * The open event streams (swarm/events/protocol.ts): who hears of news at once. Few for each site, since a site's nodes tell each other,
 * and a bounded number in all. A listener that does not read is dropped, one that is revoked too.
 */
import type { ServerResponse } from 'node:http'
import type { Stoppable } from '../core/lifecycle.ts'
import { KiB } from '../core/units.ts'
import { newsEvent, type OriginNews } from '../swarm/events/protocol.ts'

export interface StreamLimits {
  /** Listeners of one site. */
  readonly perSite: number
  readonly overall: number
  /** How often each hears that the line is alive. */
  readonly heartbeatMs: number
}

interface Listener {
  readonly node: string
  readonly site: string
  readonly response: ServerResponse
}

/** What waits for one listener to be read: hundreds of events. */
const mostWaitingBytes = 16 * KiB

export class EventStreams implements Stoppable {
  readonly #limits: StreamLimits
  readonly #heartbeat: NodeJS.Timeout
  readonly #bySite = new Map<string, Map<string, Listener>>()
  #count = 0

  constructor(limits: StreamLimits) {
    this.#limits = limits
    this.#heartbeat = setInterval(() => this.#sendAll(': alive\n\n'), limits.heartbeatMs)
  }

  /** Is there room for this node? One that listens already takes its own place. */
  hasRoom(site: string, node: string): boolean {
    const ofSite = this.#bySite.get(site)
    if (ofSite?.has(node)) return true
    return this.#count < this.#limits.overall && (ofSite?.size ?? 0) < this.#limits.perSite
  }

  /** Answer with a stream that begins with `news`, and goes on until either side ends it. Only where there is room. */
  open(site: string, node: string, response: ServerResponse, news: OriginNews): void {
    this.#close(this.#bySite.get(site)?.get(node))
    const listener = { site, node, response }
    const ofSite = this.#bySite.get(site) ?? new Map<string, Listener>()
    this.#bySite.set(site, ofSite.set(node, listener))
    this.#count++
    response.once('close', () => this.#forget(listener))
    response.on('error', () => {}) // it is gone, and `close` follows
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      // A proxy that collects an answer before it passes it on would keep the news for itself.
      'x-accel-buffering': 'no',
    })
    this.#send(listener, format(news))
  }

  /** Tell all of what is in force now. */
  tell(news: OriginNews): void {
    this.#sendAll(format(news))
  }

  /** This node hears no more. */
  forget(node: string): void {
    for (const listeners of [...this.#bySite.values()]) this.#close(listeners.get(node))
  }

  /** Listeners by site. */
  view(): { site: string; nodes: string[] }[] {
    return [...this.#bySite].map(([site, listeners]) => ({ site, nodes: [...listeners.keys()] }))
  }

  async stop(): Promise<void> {
    clearInterval(this.#heartbeat)
    for (const listener of this.#all()) this.#close(listener)
  }

  #all(): Listener[] {
    return [...this.#bySite.values()].flatMap(listeners => [...listeners.values()])
  }

  #sendAll(text: string): void {
    for (const listener of this.#all()) this.#send(listener, text)
  }

  #send(listener: Listener, text: string): void {
    listener.response.write(text)
    if (listener.response.writableLength > mostWaitingBytes) this.#close(listener)
  }

  #close(listener: Listener | undefined): void {
    if (!listener) return
    this.#forget(listener)
    listener.response.destroy()
  }

  #forget(listener: Listener): void {
    const ofSite = this.#bySite.get(listener.site)
    if (ofSite?.get(listener.node) !== listener) return // another stream of the same node has taken its place
    ofSite.delete(listener.node)
    this.#count--
    if (ofSite.size === 0) this.#bySite.delete(listener.site)
  }
}

function format(news: OriginNews): string {
  return `event: ${newsEvent}\ndata: ${JSON.stringify(news)}\n\n`
}
