/** Signs what a node sends to its origin: a nonce for each request, and times that never go back. */
import { randomBytes } from 'node:crypto'
import { second } from '../../core/units.ts'
import { clockToleranceSeconds, nodeLabel } from './join-protocol.ts'
import { contentDigest, type SignableRequest, signRequest } from './message-signature.ts'
import type { SigningKey } from './signing-key.ts'

/** The part of a request that is known before it is signed. */
export interface Unsigned {
  readonly method: string
  /** Path and query below the origin's URL. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export class RequestSigner {
  readonly #keys: Readonly<Record<string, SigningKey>>
  readonly #authority: string
  readonly #now: () => number
  #lastCreated = 0

  /** @param keys The node's own; or more, by label, as when it joins. @param now Wall time, ms since 1970. */
  constructor(origin: URL, keys: SigningKey | Readonly<Record<string, SigningKey>>, now: () => number = Date.now) {
    this.#keys = isKey(keys) ? { [nodeLabel]: keys } : keys
    this.#authority = origin.host
    this.#now = now
  }

  /** @returns All headers to send: those of the request, and what proves whose it is. */
  sign({ method, path, headers = {}, body }: Unsigned): Record<string, string> {
    const all = body === undefined ? { ...headers } : { ...headers, 'content-digest': contentDigest(body) }
    const lookUp = new Map(Object.entries(all))
    const request: SignableRequest = {
      method,
      authority: this.#authority,
      target: path,
      header: name => lookUp.get(name),
    }
    return { ...all, ...signRequest(request, this.#keys, this.#created(), randomBytes(16).toString('base64url')) }
  }

  /** A clock that is put right by some seconds must not make the origin take what comes next for a replay. */
  #created(): number {
    const now = Math.floor(this.#now() / second)
    const slightlyBack = now < this.#lastCreated && this.#lastCreated - now <= clockToleranceSeconds
    if (!slightlyBack) this.#lastCreated = now
    return this.#lastCreated
  }
}

function isKey(keys: SigningKey | Readonly<Record<string, SigningKey>>): keys is SigningKey {
  return typeof keys.sign === 'function'
}
