/**
 * Ed25519 by @noble/ed25519, under the strict rule. Libraries disagree about the edge cases of Ed25519 (node:crypto's answer moves with
 * its OpenSSL), and nodes that disagree about a signature install different things. So the rule is written down, and held by the vectors
 * of Wycheproof, speccheck and ZIP215:
 *
 *  - `{ zip215: false }` everywhere: noble's default is the lax rule made for block chains
 *  - S < L, canonical encodings of R and A, and no A of small order
 *  - a key may be enrolled only when it lies in the prime-order group: with a torsion component, strict verifiers disagree
 *
 * noble takes 4 ms of a node's V8, which has no optimising compiler, and OpenSSL 0.2. What OpenSSL takes for signed is signed under this rule as
 * well, whatever its version, if the key may be enrolled: it computes R from S and A, and compares the bytes. So it may say yes; no is noble's word.
 */
import { createPublicKey, hash, type KeyObject, verify as verifyByOpenssl } from 'node:crypto'
import { hashes, Point, verify } from '@noble/ed25519'

// Version 3 brings no synchronous SHA-512 of its own.
hashes.sha512 = message => Uint8Array.from(hash('sha512', message, 'buffer'))

const { n: groupOrder } = Point.CURVE()

/** @returns Whether the signature holds. False, never an exception, for arguments of a wrong length. */
export function verifyEd25519(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
  if (signature.length !== 64 || publicKey.length !== 32) return false
  return isPlainlySigned(signature, message, publicKey) || verify(signature, message, publicKey, { zip215: false })
}

/** Whether a key may be enrolled: canonical, not of small order, no torsion component. About 2 ms, once for each key. */
export function isAdmissibleEd25519(publicKey: Uint8Array): boolean {
  return publicKey.length === 32 && admitted(publicKey) !== undefined
}

function isPlainlySigned(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
  const key = admitted(publicKey)
  // OpenSSL looks at S itself; that an S has one form only is too much to leave to a version.
  if (!key || littleEndian(signature.subarray(32)) >= groupOrder) return false
  return verifyByOpenssl(null, message, key, signature)
}

/** @param publicKey 32 bytes. @returns undefined: it may not be enrolled. */
function admitted(publicKey: Uint8Array): KeyObject | undefined {
  const x = Buffer.from(publicKey).toString('base64url')
  const known = keys.get(x)
  if (known !== undefined) return known ?? undefined
  if (keys.size >= mostKnown) keys.delete(keys.keys().next().value!)
  const key = isInPrimeOrderGroup(publicKey)
    ? createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
    : null
  keys.set(x, key)
  return key ?? undefined
}

/** Answers of a pure function, for the few keys that every refresh asks about. */
const keys = new Map<string, KeyObject | null>()
const mostKnown = 256

function isInPrimeOrderGroup(publicKey: Uint8Array): boolean {
  const point = decodePoint(publicKey)
  return point !== undefined && !point.isSmallOrder() && point.isTorsionFree()
}

function decodePoint(publicKey: Uint8Array): Point | undefined {
  try {
    return Point.fromBytes(publicKey, false)
  } catch {
    // noble throws a plain Error for every encoding that is no point; there is nothing else in there that could fail.
    return undefined
  }
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`)
}
