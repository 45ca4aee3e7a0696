/**
 * The extension handshake (BEP 10): what each side says about itself once, right after the handshake. It is also where our own nodes
 * agree on larger blocks: each names the largest request it serves, and requests at most that, and at most a piece.
 *
 *   { m: { sm_receipt: 1 }, p: 46001, reqq: 500, sigmesh: { block: 262144 }, v: "sigmesh 0.1.0" }
 *
 * `m` has no peer exchange and no metadata exchange: what a private swarm needs comes from the tracker and the manifest. What it has is ours:
 *
 *   sm_receipt   4 bytes, big-endian: how many bytes of blocks have arrived on this connection, modulo 2^32
 */
import { type Bencoded, decode, encode, isDict } from '../bencode.ts'
import { largestBlockBytes, standardBlockBytes, WireError } from './message.ts'
import { queueLimit } from './upload.ts'

export const extensionHandshakeId = 0
/** Under which id we want to hear receipts. */
export const receiptId = 1
const receiptName = 'sm_receipt'
/** What BEP 10 says clients accept when they do not say (libtorrent's default). */
export const defaultRequestQueue = 250

export interface ExtensionHandshake {
  /** Port where the other side listens; absent when it does not say. */
  readonly port?: number
  /** Requests it keeps queued for us, 1 to 500. */
  readonly requestQueue: number
  /** Largest block it serves, 16 to 256 KiB, a power of two. */
  readonly blockBytes: number
  /** Under which id it wants receipts, 1 to 255; absent when it wants none. Who wants them gives them. */
  readonly receiptId?: number
  /** Its name for itself, printable ASCII, at most 40 characters; empty when it does not say. */
  readonly client: string
}

export function encodeExtensionHandshake(said: ExtensionHandshake): Buffer {
  const { port, requestQueue, blockBytes, client, receiptId } = said
  const words = new Map<string, Bencoded>([
    ['m', new Map(receiptId === undefined ? [] : [[receiptName, receiptId]])],
    ['reqq', requestQueue],
    ['sigmesh', new Map([['block', blockBytes]])],
    ['v', Buffer.from(client)],
  ])
  if (port !== undefined) words.set('p', port)
  return encode(words)
}

/** Never throws: every field is in bounds, whatever the other side wrote; what cannot be read is as if it had not been said. */
export function decodeExtensionHandshake(payload: Uint8Array): ExtensionHandshake {
  const said = readable(payload)
  const port = numberIn(said, 'p')
  const block = numberIn(field(said, 'sigmesh'), 'block') ?? 0
  const receipt = numberIn(field(said, 'm'), receiptName)
  return {
    ...(port !== undefined && port >= 1 && port <= 65_535 ? { port } : {}),
    ...(receipt !== undefined && receipt >= 1 && receipt <= 255 ? { receiptId: receipt } : {}),
    requestQueue: clamp(numberIn(said, 'reqq') ?? defaultRequestQueue, 1, queueLimit),
    blockBytes: 2 ** Math.floor(Math.log2(clamp(block, standardBlockBytes, largestBlockBytes))),
    client: printable(field(said, 'v')),
  }
}

export function encodeReceipt(bytes: number): Buffer {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(bytes)
  return payload
}

/** @throws WireError when it has another length. */
export function decodeReceipt(payload: Uint8Array): number {
  if (payload.length !== 4) throw new WireError('a receipt of another length')
  return new DataView(payload.buffer, payload.byteOffset, 4).getUint32(0)
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
