/**
 * The public keys of a repository, as TUF writes them:
 *
 *   "5a…": { "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": "d75a…" } }
 *
 * The name of a key, its key id, is the SHA-256 of its canonical JSON; unknown fields count, so one key can have many ids. Votes are
 * therefore counted by `identity`, the key itself: whoever holds one key has one vote.
 */
import { sha256 } from '../core/digest.ts'
import { TrustError } from '../core/errors.ts'
import { z } from '../core/schema.ts'
import { canonicalJson } from './canonical-json.ts'
import { type P256Key, parseP256, verifyP256 } from './ecdsa-p256.ts'
import { isAdmissibleEd25519, verifyEd25519 } from './ed25519.ts'
import type { JsonObject } from './json.ts'

export type PublicKey = { readonly id: string; readonly identity: string; readonly json: JsonObject } & (
  | { readonly scheme: 'ed25519'; readonly bytes: Uint8Array }
  | { readonly scheme: 'ecdsa-sha2-nistp256'; readonly p256: P256Key }
  /** RSA and whatever comes: may be listed, has no vote here. */
  | { readonly scheme: 'unsupported' }
)

const keyShape = z.looseObject({
  keytype: z.string().max(64),
  scheme: z.string().max(64),
  keyval: z.looseObject({ public: z.string().max(4096) }),
})

/** @throws TrustError `metadata_malformed` when this is no key, or claims a scheme that it does not fit. */
export function parsePublicKey(json: JsonObject): PublicKey {
  const parsed = keyShape.safeParse(json)
  if (!parsed.success) throw malformedKey('keytype, scheme and keyval.public are missing or not text')
  const { keytype, scheme, keyval } = parsed.data
  const id = keyId(json)
  if (scheme === 'ed25519' && keytype === 'ed25519') {
    if (!/^[0-9a-f]{64}$/.test(keyval.public)) throw malformedKey('an Ed25519 key is 64 lower-case hex digits')
    return { id, identity: `ed25519 ${keyval.public}`, json, scheme, bytes: Buffer.from(keyval.public, 'hex') }
  }
  if (scheme === 'ecdsa-sha2-nistp256' && ['ecdsa', scheme].includes(keytype)) {
    const p256 = parseP256(keyval.public)
    if (!p256) throw malformedKey('an ECDSA key is the PEM of an uncompressed point on P-256')
    return { id, identity: `p256 ${p256.point}`, json, scheme, p256 }
  }
  return { id, identity: `unsupported ${id}`, json, scheme: 'unsupported' }
}

/** @param publicKey 32 bytes. */
export function ed25519Key(publicKey: Uint8Array): PublicKey {
  const keyval = { public: Buffer.from(publicKey).toString('hex') }
  return parsePublicKey({ keytype: 'ed25519', scheme: 'ed25519', keyval })
}

export function keyId(json: JsonObject): string {
  return sha256(canonicalJson(json))
}

/**
 * The check at enrolment, before a key is listed in a root or a delegation, and again before its first vote is counted.
 *
 * @throws TrustError `metadata_malformed` for an unsupported scheme, and for Ed25519 keys of small order or with torsion: such
 *   a key lets signatures hold that its owner never made, or that only some verifiers accept.
 */
export function admitKey(key: PublicKey): void {
  if (!isAdmissible(key))
    throw malformedKey(`key ${key.id} is unsupported, of small order, or not in the prime-order group`)
}

export function isAdmissible(key: PublicKey): boolean {
  // P-256 has prime order, and parsing has shown that the point is on the curve.
  if (key.scheme !== 'ed25519') return key.scheme === 'ecdsa-sha2-nistp256'
  return isAdmissibleEd25519(key.bytes)
}

/** @returns Whether `key` signed `message`. Total: false for anything that is no signature. */
export function verifySignature(key: PublicKey, message: Uint8Array, signature: Uint8Array): boolean {
  switch (key.scheme) {
    case 'ed25519':
      return remembering(key, message, signature, () => verifyEd25519(signature, message, key.bytes))
    case 'ecdsa-sha2-nistp256':
      return verifyP256(signature, message, key.p256)
    case 'unsupported':
      return false
  }
}

/**
 * A walk verifies again, in full, what the walk before has kept: the same bytes by the same keys, for milliseconds each, in all nodes of
 * a branch in the same moment. What has held once holds for ever; only that is remembered, so what does not hold pushes nothing out.
 */
function remembering(key: PublicKey, message: Uint8Array, signature: Uint8Array, verify: () => boolean): boolean {
  const about = sha256(Buffer.concat([Buffer.from(`${key.identity}\n${signature.length}\n`), signature, message]))
  if (held.has(about)) return true
  if (!verify()) return false
  if (held.size >= mostHeld) held.clear()
  held.add(about)
  return true
}

const mostHeld = 256
const held = new Set<string>()

function malformedKey(detail: string): TrustError {
  return new TrustError('metadata_malformed', `metadata lists an unusable key: ${detail}`)
}
