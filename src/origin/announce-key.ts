/**
 * Announce keys: how a stock BitTorrent client, which can sign nothing, is let in by a node. The key stands in the URL:
 *
 *   /announce/tx9k2q~11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo~q0Z3…
 *             │      │                                           └ HMAC-SHA-256 by the origin over both and the infohash, 128 bits
 *             │      └ the key of the node for which it was made: revoked with it
 *             └ until when, seconds since 1970 in base 36
 *
 * It is good for one artifact, whose infohash the client names anyway. Nothing of it is kept.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Infohash } from '../core/digest.ts'
import type { KeyId } from '../swarm/identity/signing-key.ts'

const macBytes = 16
const shape = /^([0-9a-z]{1,9})~([A-Za-z0-9_-]{43})~([A-Za-z0-9_-]{22})$/

/** @param expires Seconds since 1970. */
export function announceKey(secret: Uint8Array, node: KeyId, infohash: Infohash, expires: number): string {
  const until = expires.toString(36)
  return `${until}~${node}~${mac(secret, until, node, infohash).toString('base64url')}`
}

/**
 * @param infohash As the client names it. @param now Seconds since 1970.
 * @returns For which node it was made, if it was made for this artifact; whether that node may still announce is another question.
 */
export function readAnnounceKey(
  secret: Uint8Array,
  key: string,
  infohash: string,
  now: number,
): KeyId | 'refused' | 'expired' {
  const [, until = '', node = '', given = ''] = shape.exec(key) ?? []
  if (given === '') return 'refused'
  const right = timingSafeEqual(Buffer.from(given, 'base64url'), mac(secret, until, node, infohash))
  if (!right) return 'refused'
  return Number.parseInt(until, 36) > now ? (node as KeyId) : 'expired'
}

function mac(secret: Uint8Array, until: string, node: string, infohash: string): Buffer {
  const whole = createHmac('sha256', secret).update(`sigmesh announce ${until} ${node} ${infohash}`).digest()
  return whole.subarray(0, macBytes)
}
