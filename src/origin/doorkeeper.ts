/**
 * The hooks that stand before every route which is not for everybody. With `join = "open"` they let all through, and know nobody.
 *
 * They are hooks of the kind `preParsing`: after the rate limit, which comes with `onRequest`, and before the body is read, so that a
 * stranger's request costs its head and no more.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../core/clock.ts'
import type { Infohash } from '../core/digest.ts'
import { day, second } from '../core/units.ts'
import type { Admission, Refusal } from './admission.ts'
import { announceKey, readAnnounceKey } from './announce-key.ts'
import { refuseIdentity } from './http-server.ts'
import type { RegisteredNode } from './node-registry.ts'

interface Visitor {
  readonly node: RegisteredNode
  /** The only artifact that its announce key is for. */
  readonly infohash?: string
}

type Hook = (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply | undefined>

const refusedKey: Refusal = { status: 401, code: 'announce_key_refused' }
const expiredKey: Refusal = { status: 401, code: 'announce_key_expired' }
export const revoked: Refusal = { status: 403, code: 'identity_revoked' }
const announceKeyMark = '~'
const announceKeyLifeMs = day

export class Doorkeeper {
  /** For requests that a node has signed. */
  readonly forNodes: Hook
  /** For announces, which may come with a key in the URL instead. */
  readonly forAnnounces: Hook
  readonly #admission: Admission
  readonly #required: boolean
  readonly #clock: Clock
  readonly #visitors = new WeakMap<object, Visitor>()

  constructor(admission: Admission, join: 'required' | 'open', clock: Clock) {
    this.#admission = admission
    this.#required = join === 'required'
    this.#clock = clock
    this.forNodes = async (request, reply) =>
      this.#required ? this.#enter(request, reply, this.#bySignature(request)) : undefined
    this.forAnnounces = async (request, reply) =>
      this.hasAnnounceKey(request) ? this.#enter(request, reply, this.#byKey(request)) : this.forNodes(request, reply)
  }

  /** Who sent this; undefined where joining is not required. */
  nodeOf({ raw }: FastifyRequest): RegisteredNode | undefined {
    return this.#visitors.get(raw)?.node
  }

  /** The infohash that its announce key is for. */
  boundTo({ raw }: FastifyRequest): string | undefined {
    return this.#visitors.get(raw)?.infohash
  }

  /** May the sender say this, of the node and site that it names? */
  speaksFor(request: FastifyRequest, named: { readonly node?: string; readonly site?: string }): boolean {
    if (!this.#required) return true
    const { name, site } = this.nodeOf(request)!
    return (named.node ?? name) === name && (named.site ?? site) === site
  }

  /** Has the sender not been revoked since? For what takes long. */
  stillWelcome(request: FastifyRequest): boolean {
    const node = this.nodeOf(request)
    return !node || this.#admission.registry.find(node.keyId)?.revokedAt === undefined
  }

  hasAnnounceKey({ url }: FastifyRequest): boolean {
    return url.split('?', 1)[0]!.includes(announceKeyMark)
  }

  /** For a stock client beside this node: where it announces this artifact, for a day. */
  announcePath({ keyId }: RegisteredNode, infohash: Infohash): string {
    const expires = Math.ceil((this.#clock.now() + announceKeyLifeMs) / second)
    return `/announce/${announceKey(this.#admission.registry.announceSecret, keyId, infohash, expires)}`
  }

  #bySignature({ raw }: FastifyRequest): Visitor | Refusal {
    const node = this.#admission.identify(raw)
    return 'status' in node ? node : { node }
  }

  #byKey({ url }: FastifyRequest): Visitor | Refusal {
    const [path = '', query = ''] = url.split(/\?(.*)/s, 2)
    const { registry } = this.#admission
    const key = path.slice(path.lastIndexOf('/') + 1)
    const infohash = infohashIn(query)
    const keyId = readAnnounceKey(registry.announceSecret, key, infohash, this.#clock.now() / second)
    if (keyId === 'expired') return expiredKey
    const node = keyId === 'refused' ? undefined : registry.find(keyId)
    if (!node) return refusedKey
    return node.revokedAt === undefined ? { node, infohash } : revoked
  }

  #enter(request: FastifyRequest, reply: FastifyReply, who: Visitor | Refusal): FastifyReply | undefined {
    if ('status' in who) return refuseIdentity(reply, who)
    this.#visitors.set(request.raw, who)
    return undefined
  }
}

/** The infohash that a client announces, in hex; nothing good when it names none, or two. */
function infohashIn(query: string): string {
  const named = query.split('&').filter(part => part.startsWith('info_hash='))
  return named.length === 1 ? bytesOf(named[0]!.slice('info_hash='.length)).toString('hex') : ''
}

/** Percent-decoding of a binary string, as BEP 3 has it. */
function bytesOf(text: string): Buffer {
  const latin1 = text
    .slice(0, 120)
    .replace(/%([0-9A-Fa-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(latin1, 'latin1')
}
