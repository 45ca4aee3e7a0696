/**
 * The extension handshake (BEP 10): what each side says about itself once, right after the handshake. It is also where our own nodes
 * agree on larger blocks: each names the largest request it serves, and requests at most that, and at most a piece.
 *
 *   { m: {}, p: 46001, reqq: 500, sigmesh: { block: 262144 }, v: "sigmesh 0.1.0" }
 *
 * `m` is empty: no peer exchange, no metadata exchange; what a private swarm needs comes from the tracker and the manifest.
 */
import { type Bencoded, decode, encode, isDict } from '../bencode.ts'
import { largestBlockBytes, standardBlockBytes } from './message.ts'
import { queueLimit } from './upload.ts'

export const extensionHandshakeId = 0
/** What BEP 10 says clients accept when they do not say (libtorrent's default). */
export const defaultRequestQueue = 250

export interface ExtensionHandshake {
  /** Port where the other side listens; absent when it does not say. */
  readonly port?: number
  /** Requests it keeps queued for us, 1 to 500. */
  readonly requestQueue: number
  /** Largest block it serves, 16 to 256 KiB, a power of two. */
  readonly blockBytes: number
  /** Its name for itself, printable ASCII, at most 40 characters; empty when it does not say. */
  readonly client: string
}

export function encodeExtensionHandshake({ port, requestQueue, blockBytes, client }: ExtensionHandshake): Buffer {
  const said = new Map<string, Bencoded>([
    ['m', new Map()],
    ['reqq', requestQueue],
    ['sigmesh', new Map([['block', blockBytes]])],
    ['v', Buffer.from(client)],
  ])
  if (port !== undefined) said.set('p', port)
  return encode(said)
}

/** Never throws: every field is in bounds, whatever the other side wrote; what cannot be read is as if it had not been said. */
export function decodeExtensionHandshake(payload: Uint8Array): ExtensionHandshake {
  const said = readable(payload)
  const port = numberIn(said, 'p')
  const block = numberIn(field(said, 'sigmesh'), 'block') ?? 0
  return {
    ...(port !== undefined && port >= 1 && port <= 65_535 ? { port } : {}),
    requestQueue: clamp(numberIn(said, 'reqq') ?? defaultRequestQueue, 1, queueLimit),
    blockBytes: 2 ** Math.floor(Math.log2(clamp(block, standardBlockBytes, largestBlockBytes))),
    client: printable(field(said, 'v')),
  }
}

/** The client's name by its peer id, for those without extensions: `-TR3000-…` becomes `TR3000`. */
export function clientOf(peerId: string): string {
  const name = /^-([A-Za-z0-9]{2}[0-9A-Za-z.]{4})-/.exec(peerId)?.[1]
  return name ?? printable(Buffer.from(peerId.slice(0, 8), 'latin1'))
}

function readable(payload: Uint8Array): Bencoded | undefined {
  try {
    return decode(payload)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function field(value: Bencoded | undefined, key: string): Bencoded | undefined {
  return isDict(value) ? value.get(key) : undefined
}

function numberIn(value: Bencoded | undefined, key: string): number | undefined {
  const found = field(value, key)
  return typeof found === 'number' ? found : undefined
}

function printable(value: Bencoded | undefined): string {
  if (!(value instanceof Uint8Array)) return ''
  return Buffer.from(value)
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, '')
    .slice(0, 40)
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high)
}
