/**
 * A look at the origin for whoever asks why nothing comes: one request that needs no identity, with all that a client usually hides. It
 * believes nothing and sends no secret, so it may speak to a server whose certificate nobody vouches for.
 */
import type { IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { TLSSocket } from 'node:tls'
import { request as httpRequest } from './node-http.ts'
import { pinOf } from './origin-connector.ts'

export interface ProbedCertificate {
  /** Ms since 1970. */
  readonly validUntil: number
  readonly issuer: string
  /** As `origin_pin` would name it. */
  readonly pin: string
  /** Why no authority known to this machine vouches for it; undefined: one does. */
  readonly refused: string | undefined
}

export interface OriginProbe {
  readonly status: number
  readonly roundTripMs: number
  /** What its clock shows, ms since 1970, to the second; undefined when it does not say. */
  readonly time: number | undefined
  /** Undefined: plain HTTP. */
  readonly certificate: ProbedCertificate | undefined
}

/** @throws Error of the system when nobody answers; an aborted `signal` rejects with an AbortError. */
export async function probeOrigin(origin: string, signal: AbortSignal): Promise<OriginProbe> {
  const url = new URL(`${origin.replace(/\/$/, '')}/metadata/timestamp.json`)
  const begun = performance.now()
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const options = { method: 'HEAD', agent: false as const, signal, maxHeaderSize: 16_384 }
  const sent =
    url.protocol === 'https:'
      ? httpsRequest(url, { ...options, rejectUnauthorized: false }, resolve)
      : httpRequest(url, options, resolve)
  sent.on('error', reject)
  sent.end()
  try {
    const answer = await promise
    const time = Date.parse(answer.headers.date ?? '')
    return {
      status: answer.statusCode ?? 0,
      roundTripMs: performance.now() - begun,
      time: Number.isNaN(time) ? undefined : time,
      certificate: answer.socket instanceof TLSSocket ? certificateOf(answer.socket) : undefined,
    }
  } finally {
    sent.destroy()
  }
}

function certificateOf(socket: TLSSocket): ProbedCertificate | undefined {
  const shown = socket.getPeerX509Certificate()
  if (!shown) return undefined
  return {
    validUntil: shown.validToDate.getTime(),
    issuer: shown.issuer.replaceAll('\n', ', '),
    pin: pinOf(shown),
    refused: socket.authorized ? undefined : String(socket.authorizationError),
  }
}
