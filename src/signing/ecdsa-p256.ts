/**
 * ECDSA over P-256 with SHA-256, for verification only: hardware keys have it. A key arrives as PEM, as TUF writes it. Only the one DER
 * form that means "an uncompressed point of the named curve P-256" is read, byte for byte, before node:crypto sees it: explicit
 * curve parameters, other curves, certificates and private keys are not keys here.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto'

/** SubjectPublicKeyInfo up to the point: SEQUENCE, ecPublicKey, prime256v1, BIT STRING of 65 bytes, 0x04 for "uncompressed". */
const spkiPrefix = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex')
const spkiBytes = spkiPrefix.length + 64
const pemForm = /^-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=\n]{1,256})\n-----END PUBLIC KEY-----\n?$/

export interface P256Key {
  /** The point, hexadecimal: the same for every PEM of one key. */
  readonly point: string
  readonly handle: KeyObject
}

/** @returns undefined when the text is not the PEM of a point on P-256. */
export function parseP256(pem: string): P256Key | undefined {
  const base64 = pemForm.exec(pem)?.[1]
  if (base64 === undefined) return undefined
  const der = Buffer.from(base64.replaceAll('\n', ''), 'base64')
  if (der.length !== spkiBytes || !der.subarray(0, spkiPrefix.length).equals(spkiPrefix)) return undefined
  try {
    const handle = createPublicKey({ key: der, format: 'der', type: 'spki' })
    return { point: der.subarray(spkiPrefix.length).toString('hex'), handle }
  } catch {
    // OpenSSL's way of saying that the point is not on the curve.
    return undefined
  }
}

/** @param signature DER, as TUF's `ecdsa-sha2-nistp256` has it. Anything else is a false, not an exception. */
export function verifyP256(signature: Uint8Array, message: Uint8Array, { handle }: P256Key): boolean {
  return verify('sha256', message, { key: handle, dsaEncoding: 'der' }, signature)
}
