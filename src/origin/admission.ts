/**
 * Whose request this is. A node signs what it sends (swarm/identity); the checks go from cheap to dear, and a stranger gets no further
 * than a look into a table:
 *
 *   no signature                       401 identity_required
 *   not ours, unknown key, not held    401 identity_refused
 *   made too long ago, or in future    401 clock_skew
 *   seen before                        401 replayed
 *   revoked                            403 identity_revoked
 *   far too many                       429 too_many_requests
 */
import type { KeyObject } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Clock } from '../core/clock.ts'
import { second } from '../core/units.ts'
import { nodeLabel } from '../swarm/identity/join-protocol.ts'
import {
  type MessageSignature,
  parseSignatures,
  requiredComponents,
  type SignableRequest,
  signatureBase,
} from '../swarm/identity/message-signature.ts'
import { holds, type KeyId, verifyingKey } from '../swarm/identity/signing-key.ts'
import type { NodeRegistry, RegisteredNode } from './node-registry.ts'
import { ReplayGuard, type Verdict } from './replay-guard.ts'

/** Why not: the HTTP status, and the code in the answer. */
export interface Refusal {
  readonly status: 401 | 403 | 429
  readonly code: string
}

const mostKeysKept = 20_000
const verdicts: Readonly<Record<Exclude<Verdict, 'fresh'>, Refusal>> = {
  replayed: { status: 401, code: 'replayed' },
  skewed: { status: 401, code: 'clock_skew' },
  full: { status: 429, code: 'too_many_requests' },
}
const refused: Refusal = { status: 401, code: 'identity_refused' }

export class Admission {
  readonly registry: NodeRegistry
  readonly #clock: Clock
  readonly #guard: ReplayGuard
  readonly #keys = new Map<KeyId, KeyObject>()

  constructor(registry: NodeRegistry, clock: Clock) {
    this.registry = registry
    this.#clock = clock
    this.#guard = new ReplayGuard(clock.now() / second)
  }

  /** The node that signed this request, or why it is not let in. The body has still to match the signed digest. */
  identify(message: IncomingMessage): RegisteredNode | Refusal {
    const signatures = signaturesOf(message)
    if (!signatures) return { status: 401, code: 'identity_required' }
    const signature = signatures.get(nodeLabel)
    const node = signature && signatures.size === 1 ? this.registry.find(signature.keyId) : undefined
    if (!node) return refused
    const refusal = this.verify(message, signature!, node.publicKey) ?? this.remember(signature!)
    if (refusal) return refusal
    return node.revokedAt === undefined ? node : { status: 403, code: 'identity_revoked' }
  }

  /** Does this key say this, now? Whether it has said so before is not asked, and nothing is kept of it. @returns Why not. */
  verify(message: IncomingMessage, signature: MessageSignature, publicKey: Uint8Array): Refusal | undefined {
    const verdict = this.#guard.inTime(signature.created, this.#clock.now() / second)
    if (verdict !== 'fresh') return verdicts[verdict]
    const request = signable(message)
    const covered = requiredComponents(request).every(name => signature.components.includes(name))
    const bodyCovered = message.method !== 'POST' || signature.components.includes('content-digest')
    const base = covered && bodyCovered ? signatureBase(request, signature) : undefined
    const held = base && holds(this.#key(signature.keyId, publicKey), base, signature.signature)
    return held ? undefined : refused
  }

  /** Only for a key that is registered: what is kept grows with them. @returns Why not, when it has said so before. */
  remember({ keyId, nonce, created }: MessageSignature): Refusal | undefined {
    const verdict = this.#guard.judge(keyId, nonce, created, this.#clock.now() / second)
    return verdict === 'fresh' ? undefined : verdicts[verdict]
  }

  #key(id: KeyId, publicKey: Uint8Array): KeyObject {
    const kept = this.#keys.get(id)
    if (kept) return kept
    if (this.#keys.size >= mostKeysKept) this.#keys.clear()
    const key = verifyingKey(publicKey)
    this.#keys.set(id, key)
    return key
  }
}

/** @returns undefined when there are none, an empty map when they are not as ours are. */
export function signaturesOf({ headers }: IncomingMessage): ReadonlyMap<string, MessageSignature> | undefined {
  const { signature, 'signature-input': input } = headers
  if (signature === undefined || input === undefined) return undefined
  // Sent twice, they are joined or a list; in neither form do they fit the grammar.
  return parseSignatures(String(input), String(signature)) ?? new Map()
}

function signable({ method = '', url = '', headers }: IncomingMessage): SignableRequest {
  return {
    method,
    authority: headers.host?.toLowerCase() ?? '',
    target: url,
    header(name) {
      const value = headers[name]
      return value === undefined ? undefined : String(value)
    },
  }
}
