/** Nodes of an origin that demands it, made the short way (a row in its registry), and their requests, signed as a node signs them. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { day } from '../../src/core/units.ts'
import { NodeRegistry } from '../../src/origin/node-registry.ts'
import { RequestSigner, type Unsigned } from '../../src/swarm/identity/request-signer.ts'
import { type SigningKey, signingKey } from '../../src/swarm/identity/signing-key.ts'
import { type OriginFixture, type RawAnswer, rawRequest } from './origin-fixture.ts'

export interface EnrolledNode {
  readonly name: string
  readonly key: SigningKey
  readonly signer: RequestSigner
  get(path: string, headers?: Record<string, string>): Promise<RawAnswer>
  post(path: string, body: unknown): Promise<RawAnswer>
}

/** The registry of this origin, as a command beside it opens it. */
export function registryOf({ home }: Pick<OriginFixture, 'home'>): NodeRegistry {
  const registry = new NodeRegistry(join(home, 'state'))
  onTestFinished(() => registry.stop())
  return registry
}

export function enrol(
  fixture: OriginFixture,
  name: string,
  site = 'berlin',
  now: () => number = Date.now,
): EnrolledNode {
  const registry = registryOf(fixture)
  const [token, key] = [signingKey(randomBytes(32)), signingKey(randomBytes(32))]
  registry.addToken(token.publicKey, { site, uses: 1, expires: now() + day }, now())
  registry.join(token.id, { node: name, publicKey: key.publicKey }, now())
  const signer = new RequestSigner(new URL(fixture.origin.url), key, now)
  return { name, key, signer, ...asking(fixture.origin.port, signer) }
}

/** Requests to the origin at this port of loopback, signed. */
export function asking(port: number, signer: RequestSigner): Pick<EnrolledNode, 'get' | 'post'> {
  const send = (request: Unsigned) => rawRequest(port, request.path, { ...request, headers: signer.sign(request) })
  return {
    get: (path, headers = {}) => send({ method: 'GET', path, headers }),
    post: (path, body) =>
      send({ method: 'POST', path, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  }
}

/** Status and code of a refusal. */
export function refusalIn({ status, body }: RawAnswer): [number, string] {
  return [status, body.length > 0 ? JSON.parse(body.toString()).error.code : '']
}
