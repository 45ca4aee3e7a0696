/**
 * A beacon: one datagram in which a node tells the neighbours of its site who it is and what it has.
 *
 *   "SMB1"   key id (8 bytes)   MAC (16 bytes)   JSON, UTF-8
 *
 *   { "node": "pc-7", "site": "berlin", "address": "10.1.2.7", "port": 6889, "http": 6890, "time": 1795348800123,
 *     "timestamp": 12, "snapshot": 7, "artifacts": ["ef…"] }
 *
 * The MAC is HMAC-SHA-256 with the key of the site, over everything else. A thing without it is thrown away for the price of a look at
 * 12 bytes, or of one hash. With it, it is still only a hint: any node of the site could have made it.
 *
 * The address stands in it, and has to be the one that it comes from: a beacon that was recorded and is sent again from elsewhere, or
 * whose sender is made up, points nobody at anybody.
 */
import { createHmac, createSecretKey, hash, type KeyObject, timingSafeEqual } from 'node:crypto'
import { infohashHex, nodeName, siteName, wholeNumber, z } from '../../core/schema.ts'

/** Fits into one frame of every LAN, also inside a tunnel. */
export const mostBeaconBytes = 1300
/** More are not told: the newest are what a neighbour lacks. */
export const mostArtifactsTold = 16
export const siteKeyBytes = 32

const magic = Buffer.from('SMB1')
const keyIdBytes = 8
const macBytes = 16
const headBytes = magic.length + keyIdBytes + macBytes

export const beacon = z.strictObject({
  node: nodeName,
  site: siteName,
  /** Where the node is dialled; and where the datagram comes from. */
  address: z.ipv4(),
  /** Of its BitTorrent engine. */
  port: wholeNumber.min(1).max(65_535),
  /** Of its metadata. */
  http: wholeNumber.min(1).max(65_535),
  /** When it was made, ms since 1970; grows with each beacon of a node. */
  time: wholeNumber,
  /** The versions it has verified and can show; 0 when none. */
  timestamp: wholeNumber,
  snapshot: wholeNumber,
  /** Infohashes of what it has, or is fetching. */
  artifacts: z.array(infohashHex).max(mostArtifactsTold),
})
export type Beacon = z.infer<typeof beacon>

/** The key of a site, as it is used. */
export interface SiteKey {
  /** Made once a key: it costs three times what a MAC does. */
  readonly secret: KeyObject
  readonly id: Buffer
}

/** @param secret 32 bytes. */
export function siteKey(secret: Uint8Array): SiteKey {
  if (secret.length !== siteKeyBytes) throw new TypeError(`a site key has ${siteKeyBytes} bytes, not ${secret.length}`)
  const id = hash('sha256', Buffer.concat([Buffer.from('sigmesh site key id '), secret]), 'buffer')
  return { secret: createSecretKey(secret), id: id.subarray(0, keyIdBytes) }
}

export function sealBeacon(told: Beacon, key: SiteKey): Buffer {
  const text = Buffer.from(JSON.stringify(told))
  return Buffer.concat([magic, key.id, macOf(key, text), text])
}

/** Why a datagram is no beacon for us. `other_key`: of another site, or of this one before or after a revocation. */
export type Flaw = 'malformed' | 'other_key' | 'forged'

/** Total: whatever strangers send. The cheap looks come first. */
export function openBeacon(datagram: Uint8Array, key: SiteKey): Beacon | Flaw {
  const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength)
  if (bytes.length <= headBytes || bytes.length > mostBeaconBytes) return 'malformed'
  if (!bytes.subarray(0, magic.length).equals(magic)) return 'malformed'
  if (!bytes.subarray(magic.length, magic.length + keyIdBytes).equals(key.id)) return 'other_key'
  const text = bytes.subarray(headBytes)
  const given = bytes.subarray(magic.length + keyIdBytes, headBytes)
  if (!timingSafeEqual(given, macOf(key, text))) return 'forged'
  const parsed = beacon.safeParse(parseJson(text))
  return parsed.success ? parsed.data : 'malformed'
}

function macOf(key: SiteKey, text: Uint8Array): Buffer {
  return createHmac('sha256', key.secret).update(magic).update(key.id).update(text).digest().subarray(0, macBytes)
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined // the schema says the rest
  }
}
