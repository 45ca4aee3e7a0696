/**
 * Private keys: operator side only. No file that a node runs may import this one.
 *
 * A key file is JSON, to be kept with mode 0600 by whoever writes it. The secret is bare, or under a passphrase (key-protection.ts):
 *
 *   { "format": "sigmesh-private-key-1", "protection": "none", "keytype": "ed25519", "scheme": "ed25519",
 *     "keyid": "5a…", "public": "d7…", "private": "9d…" }
 *   { "format": "sigmesh-private-key-1", "protection": "passphrase", …, "public": "d7…", "sealed": { "kdf": "scrypt", … } }
 */
import { getPublicKey, sign } from '@noble/ed25519'
import { PublishError } from '../core/errors.ts'
import { sha256Hex, z } from '../core/schema.ts'
import { parseJson } from './json.ts'
import { seal, sealedShape, unseal } from './key-protection.ts'
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

  /** The key file, bare: its bytes are the secret. */
  encode(): Uint8Array {
    const secret = Buffer.from(this.#seed).toString('hex')
    return fileOf({ ...head(this.public, 'none'), private: secret })
  }

  /** The key file under a passphrase. Takes a good part of a second. */
  async encodeSealed(passphrase: string): Promise<Uint8Array> {
    return fileOf({
      ...head(this.public, 'passphrase'),
      sealed: await seal(this.#seed, passphrase, this.public.id),
    })
  }
}

/** A key file as read: what can be known of it without the passphrase, and the way in. */
export interface KeyFile {
  readonly name: string
  readonly public: PublicKey
  readonly protection: 'none' | 'passphrase'
  /**
   * @param passphrase Needed, and only asked for, when `protection` says so.
   * @throws PublishError `key_locked` for a wrong passphrase; `key_unusable` when the halves are not of one key.
   */
  open(passphrase: () => Promise<string>): Promise<PrivateKey>
}

const common = {
  format: z.literal('sigmesh-private-key-1'),
  keytype: z.literal('ed25519'),
  scheme: z.literal('ed25519'),
  keyid: sha256Hex,
  public: sha256Hex,
}
const keyFile = z.discriminatedUnion('protection', [
  z.strictObject({ ...common, protection: z.literal('none'), private: sha256Hex }),
  z.strictObject({ ...common, protection: z.literal('passphrase'), sealed: sealedShape }),
])

/**
 * @param name The file, for the sentence of the error. No byte of the content goes into it.
 * @throws PublishError `key_unusable`.
 */
export function readKeyFile(bytes: Uint8Array, name: string): KeyFile {
  const file = parseKeyFile(bytes, name)
  const key = ed25519Key(Buffer.from(file.public, 'hex'))
  if (key.id !== file.keyid) throw unusable(name, 'its key id is not that of its public half')
  return {
    name,
    public: key,
    protection: file.protection,
    async open(passphrase) {
      if (file.protection === 'none') return matching(Buffer.from(file.private, 'hex'), key, name)
      const seed = await unseal(file.sealed, await passphrase(), key.id)
      if (seed) return matching(seed, key, name)
      throw new PublishError('key_locked', `the passphrase does not open ${name}, or the file was altered`, { name })
    },
  }
}

/** A bare key file. @throws PublishError `key_unusable`, also for one under a passphrase. */
export function decodePrivateKey(bytes: Uint8Array, name: string): PrivateKey {
  const file = parseKeyFile(bytes, name)
  if (file.protection !== 'none') throw unusable(name, 'it is under a passphrase')
  const key = matching(Buffer.from(file.private, 'hex'), ed25519Key(Buffer.from(file.public, 'hex')), name)
  if (key.public.id !== file.keyid) throw unusable(name, 'its key id is not that of its public half')
  return key
}

function parseKeyFile(bytes: Uint8Array, name: string): z.output<typeof keyFile> {
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
  return parsed.data
}

/** A file put together from two, or a flipped bit: the public half would be listed and the other half sign. */
function matching(seed: Uint8Array, expected: PublicKey, name: string): PrivateKey {
  const key = new PrivateKey(seed)
  if (key.public.id === expected.id) return key
  throw unusable(name, 'its private half is not that of its public half')
}

function head(key: PublicKey, protection: KeyFile['protection']) {
  const { id: keyid } = key
  return {
    format: 'sigmesh-private-key-1',
    protection,
    keytype: 'ed25519',
    scheme: 'ed25519',
    keyid,
    public: getPublicHex(key),
  }
}

function fileOf(fields: object): Uint8Array {
  return Buffer.from(`${JSON.stringify(fields, null, 2)}\n`)
}

function getPublicHex(key: PublicKey): string {
  if (key.scheme !== 'ed25519') throw new Error('unreachable: a private key of another scheme')
  return Buffer.from(key.bytes).toString('hex')
}

function unusable(name: string, detail: string): PublishError {
  return new PublishError('key_unusable', `the private key ${name} cannot be used: ${detail}`, { name })
}
