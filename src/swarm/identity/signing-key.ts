/**
 * The Ed25519 key by which a node proves who it is, and the one of a join token by which it proves that it may become one.
 *
 * By `node:crypto`, and not by the strict verifier of `signing`: nothing that is installed hangs on it. What the lax rule lets through
 * is a second form of a signature by the same key, or a key made so that many messages fit one signature; whoever holds such a key
 * could sign them all anyway. It is thirty times cheaper, and an origin checks one for each request.
 */
import { createPrivateKey, createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto'

/** SHA-256 of the 32 bytes of the public key, base64url: 43 characters. What the other side looks a key up by. */
export type KeyId = string & { readonly __keyId: unique symbol }

export const seedBytes = 32
export const signatureBytes = 64

export interface SigningKey {
  readonly id: KeyId
  /** 32 bytes. */
  readonly publicKey: Buffer
  /** @returns 64 bytes. */
  sign(message: Uint8Array): Buffer
}

const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex')

/** @param seed 32 random bytes: the private key of RFC 8032. */
export function signingKey(seed: Uint8Array): SigningKey {
  if (seed.length !== seedBytes) throw new TypeError(`a seed has ${seedBytes} bytes, not ${seed.length}`)
  const privateKey = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  const publicKey = spki.subarray(spkiPrefix.length)
  return { id: keyIdOf(publicKey), publicKey, sign: message => sign(null, message, privateKey) }
}

export function keyIdOf(publicKey: Uint8Array): KeyId {
  return hash('sha256', publicKey, 'base64url') as KeyId
}

/** Made once a key: it costs a third of what a verification does. */
export function verifyingKey(publicKey: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([spkiPrefix, publicKey]), format: 'der', type: 'spki' })
}

export function holds(key: KeyObject, message: Uint8Array, signature: Uint8Array): boolean {
  return signature.length === signatureBytes && verify(null, message, key, signature)
}
