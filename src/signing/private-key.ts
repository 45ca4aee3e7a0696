/**
 * Private keys: operator side only. No file that a node runs may import this one.
 *
 * A key file is JSON, to be kept with mode 0600 by whoever writes it:
 *
 *   { "format": "sigmesh-private-key-1", "protection": "none", "keytype": "ed25519", "scheme": "ed25519",
 *     "keyid": "5a…", "public": "d7…", "private": "9d…" }
 *
 * `protection` names how `private` is wrapped; this version knows only "none".
 */
import { getPublicKey, sign } from '@noble/ed25519'
import { PublishError } from '../core/errors.ts'
import { sha256Hex, z } from '../core/schema.ts'
import { parseJson } from './json.ts'
import { admitKey, ed25519Key, type PublicKey } from './public-key.ts'

export const privateKeyLimitBytes = 16 * 1024

/** An Ed25519 key. The secret is a private field, so that no log, error or JSON of this object can contain it. */
export class PrivateKey {
  readonly public: PublicKey
  readonly #seed: Uint8Array

  /** @param seed 32 bytes from a cryptographic random source; this is the key. Copied. */
  constructor(seed: Uint8Array) {
    if (seed.length !== 32) throw new TypeError('an Ed25519 seed has 32 bytes')
    this.#seed = Uint8Array.from(seed)
    this.public = ed25519Key(getPublicKey(this.#seed))
    admitKey(this.public)
  }

  /** @returns 64 bytes. */
  sign(message: Uint8Array): Uint8Array {
    return sign(message, this.#seed)
  }

  /** The key file. Its bytes are the secret. */
  encode(): Uint8Array {
    const seed = Buffer.from(this.#seed).toString('hex')
    return Buffer.from(
      `${JSON.stringify(
        {
          format: 'sigmesh-private-key-1',
          protection: 'none',
          keytype: 'ed25519',
          scheme: 'ed25519',
          keyid: this.public.id,
          public: getPublicHex(this.public),
          private: seed,
        },
        null,
        2,
      )}\n`,
    )
  }
}

const keyFile = z.strictObject({
  format: z.literal('sigmesh-private-key-1'),
  protection: z.literal('none'),
  keytype: z.literal('ed25519'),
  scheme: z.literal('ed25519'),
  keyid: sha256Hex,
  public: sha256Hex,
  private: sha256Hex,
})

/**
 * @param name The file, for the sentence of the error. No byte of the content goes into it.
 * @throws PublishError `key_unusable`.
 */
export function decodePrivateKey(bytes: Uint8Array, name: string): PrivateKey {
  if (bytes.length > privateKeyLimitBytes) throw unusable(name, 'it is too large')
  let json: unknown
  try {
    json = parseJson(bytes)
  } catch {
    // The reader's sentence quotes what it found; that must not reach a log.
    throw unusable(name, 'it is not JSON')
  }
  const parsed = keyFile.safeParse(json)
  if (!parsed.success) throw unusable(name, `check ${parsed.error.issues[0]?.path.join('.') || 'its fields'}`)
  const key = new PrivateKey(Buffer.from(parsed.data.private, 'hex'))
  // A file put together from two, or a flipped bit: the public half would be listed and the other half sign.
  if (key.public.id !== parsed.data.keyid || getPublicHex(key.public) !== parsed.data.public) {
    throw unusable(name, 'its private half is not that of its public half')
  }
  return key
}

function getPublicHex(key: PublicKey): string {
  if (key.scheme !== 'ed25519') throw new Error('unreachable: a private key of another scheme')
  return Buffer.from(key.bytes).toString('hex')
}

function unusable(name: string, detail: string): PublishError {
  return new PublishError('key_unusable', `the private key ${name} cannot be used: ${detail}`, { name })
}
