/**
 * A private key under a passphrase: scrypt makes a key of the passphrase, AES-256-GCM wraps the secret. Whoever finds the file has to guess
 * the passphrase, at 128 MiB of memory and a good part of a second each.
 *
 *   "sealed": { "kdf": "scrypt", "n": 131072, "r": 8, "p": 1, "salt": "…16 bytes…",
 *               "cipher": "aes-256-gcm", "nonce": "…12 bytes…", "text": "…", "tag": "…16 bytes…" }
 *
 * What else stands in the key file is bound to it as additional data: the public half of another key beside this secret does not open.
 */
import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto'
import { promisify } from 'node:util'
import { z } from '../core/schema.ts'
import { MiB } from '../core/units.ts'

const derive = promisify<string, Uint8Array, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(
  scrypt,
)

/** OWASP's first choice for scrypt: 128 MiB. */
const cost = { n: 2 ** 17, r: 8, p: 1 } as const
const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`))

/** Bounded: a key file of a stranger must not fill the memory of whoever looks at it. */
export const sealedShape = z.strictObject({
  kdf: z.literal('scrypt'),
  n: z.literal([2 ** 14, 2 ** 15, 2 ** 16, 2 ** 17, 2 ** 18]),
  r: z.literal(8),
  p: z.literal(1),
  salt: hex(16),
  cipher: z.literal('aes-256-gcm'),
  nonce: hex(12),
  text: hex(32),
  tag: hex(16),
})
export type Sealed = z.output<typeof sealedShape>

/** @param secret 32 bytes. @param bound What the secret belongs to; `unseal` needs the same. */
export async function seal(secret: Uint8Array, passphrase: string, bound: string): Promise<Sealed> {
  const salt = randomBytes(16)
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', await keyOf(passphrase, salt, cost), nonce)
  cipher.setAAD(Buffer.from(bound))
  const text = Buffer.concat([cipher.update(secret), cipher.final()])
  const parts = { salt, nonce, text, tag: cipher.getAuthTag() }
  const written = Object.fromEntries(Object.entries(parts).map(([name, bytes]) => [name, bytes.toString('hex')]))
  return { kdf: 'scrypt', ...cost, cipher: 'aes-256-gcm', ...(written as Record<keyof typeof parts, string>) }
}

/** @returns undefined when the passphrase is wrong, or anything in the file was altered: the two cannot be told apart. */
export async function unseal(sealed: Sealed, passphrase: string, bound: string): Promise<Uint8Array | undefined> {
  const bytes = (text: string) => Buffer.from(text, 'hex')
  const key = await keyOf(passphrase, bytes(sealed.salt), sealed)
  const decipher = createDecipheriv('aes-256-gcm', key, bytes(sealed.nonce), { authTagLength: 16 })
  decipher.setAAD(Buffer.from(bound))
  decipher.setAuthTag(bytes(sealed.tag))
  try {
    return Buffer.concat([decipher.update(bytes(sealed.text)), decipher.final()])
  } catch {
    return undefined
  }
}

/** Normalised, so that the same letters typed on another keyboard are the same passphrase. */
function keyOf(passphrase: string, salt: Uint8Array, { n, r, p }: Pick<Sealed, 'n' | 'r' | 'p'>): Promise<Buffer> {
  return derive(passphrase.normalize('NFKC'), salt, 32, { N: n, r, p, maxmem: 512 * MiB })
}
