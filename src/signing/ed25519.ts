/**
 * Ed25519 by @noble/ed25519, under the strict rule. Libraries disagree about the edge cases of Ed25519 (node:crypto's answer moves with
 * its OpenSSL), and nodes that disagree about a signature install different things. So the rule is written down, and held by the vectors
 * of Wycheproof, speccheck and ZIP215:
 *
 *  - `{ zip215: false }` everywhere: noble's default is the lax rule made for block chains
 *  - S < L, canonical encodings of R and A, and no A of small order
 *  - a key may be enrolled only when it lies in the prime-order group: with a torsion component, strict verifiers disagree
 */
import { hash } from 'node:crypto'
import { hashes, Point, verify } from '@noble/ed25519'

// Version 3 brings no synchronous SHA-512 of its own.
hashes.sha512 = message => Uint8Array.from(hash('sha512', message, 'buffer'))

/** @returns Whether the signature holds. False, never an exception, for arguments of a wrong length. */
export function verifyEd25519(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
  if (signature.length !== 64 || publicKey.length !== 32) return false
  return verify(signature, message, publicKey, { zip215: false })
}

/** Whether a key may be enrolled: canonical, not of small order, no torsion component. About 2 ms. */
export function isAdmissibleEd25519(publicKey: Uint8Array): boolean {
  const point = decodePoint(publicKey)
  return point !== undefined && !point.isSmallOrder() && point.isTorsionFree()
}

function decodePoint(publicKey: Uint8Array): Point | undefined {
  if (publicKey.length !== 32) return undefined
  try {
    return Point.fromBytes(publicKey, false)
  } catch {
    // noble throws a plain Error for every encoding that is no point; there is nothing else in there that could fail.
    return undefined
  }
}
