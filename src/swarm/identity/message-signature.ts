/**
 * HTTP Message Signatures (RFC 9421), the part of it that nodes and origin use: Ed25519, one or two signatures, these components.
 *
 *   Signature-Input: node=("@method" "@authority" "@path" "@query" "content-digest");created=1795348800;nonce="rR…";keyid="k1…";tag="sigmesh"
 *   Signature: node=:MEQC…:
 *
 * What is signed, the signature base:
 *
 *   "@method": POST
 *   "@authority": sigmesh.example.com
 *   "@path": /v1/seats
 *   "@query": ?
 *   "content-digest": sha-256=:X48E…=:
 *   "@signature-params": ("@method" "@authority" …);created=1795348800;…
 *
 * The path is the one below the origin's URL: what a proxy in front of the origin strips is not signed. The tag keeps these signatures
 * from meaning anything elsewhere.
 */
import { hash } from 'node:crypto'
import { type KeyId, type SigningKey, signatureBytes } from './signing-key.ts'

export const signatureTag = 'sigmesh'
/** Header fields that are signed whenever they are there: what the origin acts on. */
export const signedHeaders = ['content-digest', 'range', 'x-sigmesh-seat'] as const
const derived = ['@method', '@authority', '@path', '@query'] as const

/** A request as both sides see it. */
export interface SignableRequest {
  readonly method: string
  /** Host, and port unless it is the scheme's own; lower case. */
  readonly authority: string
  /** Path and query, as they go over the wire. */
  readonly target: string
  /** By lower-case name. */
  header(name: string): string | undefined
}

export interface MessageSignature {
  readonly components: readonly string[]
  /** Seconds since 1970. */
  readonly created: number
  readonly nonce: string
  readonly keyId: KeyId
  readonly signature: Buffer
  /** The parameters as they came, which is what was signed. */
  readonly text: string
}

const mostInputCharacters = 2048
const mostSignatures = 2
const label = '[a-z]{1,16}'
const parameters = new RegExp(
  [
    `(${label})=(\\(("[a-z@-]{1,40}"(?: "[a-z@-]{1,40}"){0,15})\\)`,
    ';created=(\\d{1,12});nonce="([A-Za-z0-9_-]{16,64})";keyid="([A-Za-z0-9_-]{43})";tag="([a-z]{1,32})")',
  ].join(''),
  'y',
)
const value = new RegExp(`(${label})=:([A-Za-z0-9+/]{86}==):`, 'y')

/** `Content-Digest` (RFC 9530) of a body. */
export function contentDigest(body: string | Uint8Array): string {
  return `sha-256=:${hash('sha256', body, 'base64')}:`
}

/** The components that a signature of this request has to cover. */
export function requiredComponents(request: SignableRequest): string[] {
  return [...derived, ...signedHeaders.filter(name => request.header(name) !== undefined)]
}

/**
 * Sign a request.
 *
 * @param keys By label.
 * @param created Seconds since 1970. @param nonce Of 16 to 64 base64url characters, never used before with this key.
 * @returns The headers to send with it.
 */
export function signRequest(
  request: SignableRequest,
  keys: Readonly<Record<string, SigningKey>>,
  created: number,
  nonce: string,
): { 'signature-input': string; signature: string } {
  const components = requiredComponents(request)
  const list = components.map(name => `"${name}"`).join(' ')
  const signed = Object.entries(keys).map(([name, key]) => {
    const text = `(${list});created=${created};nonce="${nonce}";keyid="${key.id}";tag="${signatureTag}"`
    const signature = key.sign(signatureBase(request, { components, text })!)
    return { input: `${name}=${text}`, value: `${name}=:${signature.toString('base64')}:` }
  })
  return {
    'signature-input': signed.map(({ input }) => input).join(', '),
    signature: signed.map(each => each.value).join(', '),
  }
}

/**
 * The signatures of a request, by label, unchecked. Total: whatever strangers send, in bounded time.
 *
 * @returns undefined when these are not headers as `signRequest` writes them.
 */
export function parseSignatures(input: string, values: string): ReadonlyMap<string, MessageSignature> | undefined {
  if (input.length > mostInputCharacters || values.length > mostInputCharacters) return undefined
  const inputs = members(parameters, input)
  const signatures = new Map(members(value, values)?.map(match => [match[1]!, Buffer.from(match[2]!, 'base64')]))
  if (!inputs || inputs.length !== signatures.size) return undefined
  const parsed = new Map<string, MessageSignature>()
  for (const [, name = '', text = '', list = '', created, nonce = '', keyId, tag] of inputs) {
    const signature = signatures.get(name)
    const components = list.slice(1, -1).split('" "')
    if (signature?.length !== signatureBytes || tag !== signatureTag || parsed.has(name)) return undefined
    if (new Set(components).size !== components.length) return undefined
    parsed.set(name, { components, created: Number(created), nonce, keyId: keyId as KeyId, signature, text })
  }
  return parsed
}

/** What is signed. @returns undefined when a component is none of ours, or not in the request. */
export function signatureBase(
  request: SignableRequest,
  { components, text }: Pick<MessageSignature, 'components' | 'text'>,
): Buffer | undefined {
  const lines: string[] = []
  for (const name of components) {
    const content = componentOf(request, name)
    if (content === undefined) return undefined
    lines.push(`"${name}": ${content}`)
  }
  return Buffer.from([...lines, `"@signature-params": ${text}`].join('\n'), 'latin1')
}

function componentOf({ method, authority, target, header }: SignableRequest, name: string): string | undefined {
  const query = target.indexOf('?')
  switch (name) {
    case '@method':
      return method
    case '@authority':
      return authority
    case '@path':
      return query < 0 ? target : target.slice(0, query)
    case '@query':
      return query < 0 ? '?' : target.slice(query)
    default:
      return (signedHeaders as readonly string[]).includes(name) ? header(name)?.trim() : undefined
  }
}

/** The members of a list, separated by a comma and a blank. @returns undefined when there are too many, or anything else between. */
function members(pattern: RegExp, text: string): RegExpExecArray[] | undefined {
  const found: RegExpExecArray[] = []
  for (let at = 0; found.length < mostSignatures; at += 2) {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (!match) return undefined
    found.push(match)
    at = pattern.lastIndex
    if (at === text.length) return found
    if (text.slice(at, at + 2) !== ', ') return undefined
  }
  return undefined
}
