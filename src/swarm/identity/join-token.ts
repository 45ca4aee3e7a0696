/**
 * A join token: all that a machine has to be told to become a node of one site. One line of printable characters, to be given once and
 * by a way that is trusted: whoever has it may join in its place.
 *
 *   sigmesh1.eyJvcmlnaW4iOiJodHRwczovL3NpZ21lc2guZXhhbXBsZS5jb20iLC…
 *
 *   { "origin": "https://sigmesh.example.com", "root": "5f…", "version": 3, "seed": "q3…", "pin": "9x…" }
 *
 * The secret in it is an Ed25519 seed. It never goes over the wire: the joining node signs with it, and the origin keeps its public key
 * only. So neither a wiretap on a plain line nor a copy of the origin's disk is worth anything to who wants to join.
 */
import { ConfigError } from '../../core/errors.ts'
import { sha256Hex, wholeNumber, z } from '../../core/schema.ts'
import { type SigningKey, signingKey } from './signing-key.ts'

export const originUrl = z
  .url({ protocol: /^https?$/ })
  .max(300)
  .refine(
    url => !/[?#]/.test(url) && !/\/\/[^/]*@/.test(url),
    'expected scheme, host and port, no user, query or fragment',
  )

/** SHA-256 of a certificate's public key (SubjectPublicKeyInfo), base64url: what `origin_pin` of node.toml is. */
export const certificatePin = z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'expected 43 characters of base64url')

const content = z.strictObject({
  origin: originUrl,
  /** SHA-256 of `<version>.root.json`, byte for byte. */
  root: sha256Hex,
  version: wholeNumber.min(1),
  seed: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  pin: certificatePin.optional(),
})

export interface JoinToken extends Omit<z.output<typeof content>, 'seed'> {
  readonly key: SigningKey
}

const prefix = 'sigmesh1.'
const mostCharacters = 2048

export function formatJoinToken(token: Omit<z.input<typeof content>, 'seed'>, seed: Uint8Array): string {
  const whole = { ...token, seed: Buffer.from(seed).toString('base64url') }
  return prefix + Buffer.from(JSON.stringify(content.parse(whole))).toString('base64url')
}

/** @throws ConfigError `token_invalid`; no part of the token is in the message. */
export function parseJoinToken(text: string): JoinToken {
  const trimmed = text.trim()
  if (trimmed.startsWith(prefix) && trimmed.length <= mostCharacters) {
    const parsed = content.safeParse(parseJson(Buffer.from(trimmed.slice(prefix.length), 'base64url')))
    if (parsed.success) {
      const { seed, ...rest } = parsed.data
      return { ...rest, key: signingKey(Buffer.from(seed, 'base64url')) }
    }
  }
  throw new ConfigError('token_invalid', 'this is no join token, or not the whole of one')
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined // the schema says the rest
  }
}
