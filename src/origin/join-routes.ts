/** How a machine becomes a node: see swarm/identity/join-protocol.ts. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../core/clock.ts'
import { type ErrorCode, JoinError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { isAdmissibleEd25519 } from '../signing/ed25519.ts'
import { joinRequest, joinUrlPath, nodeLabel, tokenLabel } from '../swarm/identity/join-protocol.ts'
import type { MessageSignature } from '../swarm/identity/message-signature.ts'
import { keyIdOf } from '../swarm/identity/signing-key.ts'
import { type Admission, type Refusal, signaturesOf } from './admission.ts'
import { refuse, refuseIdentity } from './http-server.ts'
import type { RegisteredNode } from './node-registry.ts'

export interface JoinParts {
  readonly admission: Admission
  readonly clock: Clock
  readonly log: Log
}

const unknownToken: Refusal = { status: 401, code: 'token_refused' }
const notPossessed: Refusal = { status: 401, code: 'identity_refused' }
/** A token that is over, a name that is taken: known, and refused. */
const statuses: Partial<Record<ErrorCode, 401 | 403>> = { token_refused: 401, token_spent: 403, name_taken: 403 }

export function addJoinRoutes(app: FastifyInstance, { admission, clock, log }: JoinParts): void {
  /** Before a byte of the body is read: who has no token gets no further. */
  const preParsing = async (request: FastifyRequest, reply: FastifyReply) => {
    const refusal = checkToken(admission, request)
    if (refusal) return refuseIdentity(reply, refusal)
  }

  app.post(joinUrlPath, { preParsing }, (request, reply) => {
    const parsed = joinRequest.safeParse(request.body)
    if (!parsed.success) return refuse(reply, 400, 'bad_request')
    const publicKey = Buffer.from(parsed.data.key, 'base64url')
    const { token, node: proof } = both(request)
    const possessed = proof && proof.keyId === keyIdOf(publicKey) && isAdmissibleEd25519(publicKey)
    const refusal = possessed ? admission.verify(request.raw, proof, publicKey) : notPossessed
    if (refusal) return refuseIdentity(reply, refusal)
    try {
      const node = admission.registry.join(token!.keyId, { node: parsed.data.node, publicKey }, clock.now())
      // By the key of the node and not by the token's, which many machines share, each with a clock of its own; and only now, since of
      // keys that nobody knows there is no end. Until here a replay has changed nothing.
      const replayed = admission.remember(proof!)
      if (replayed) return refuseIdentity(reply, replayed)
      log.info({ node: node.name, site: node.site, from: request.ip }, 'a node has joined')
      return answer(reply, node)
    } catch (error) {
      const status = error instanceof JoinError ? statuses[error.code] : undefined
      if (!(error instanceof JoinError) || !status) throw error
      log.warn({ code: error.code, node: parsed.data.node, from: request.ip }, 'a machine may not join')
      return refuseIdentity(reply, { status, code: error.code })
    }
  })
}

function answer(reply: FastifyReply, { name, site }: RegisteredNode): FastifyReply {
  return reply.header('cache-control', 'no-store').send({ node: name, site })
}

function checkToken(admission: Admission, request: FastifyRequest): Refusal | undefined {
  const { token, node } = both(request)
  const publicKey = token && node && admission.registry.tokenKey(token.keyId)
  return publicKey ? admission.verify(request.raw, token, publicKey) : unknownToken
}

function both({ raw }: FastifyRequest): { token?: MessageSignature; node?: MessageSignature } {
  const signatures = signaturesOf(raw)
  const token = signatures?.get(tokenLabel)
  const node = signatures?.get(nodeLabel)
  return { ...(token && { token }), ...(node && { node }) }
}
