/** Connections to the origin, and whether what answers is the origin. */
import { createHash, timingSafeEqual, type X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { buildConnector } from 'undici'
import { DownloadError } from '../core/errors.ts'

/**
 * @param watch Sees every connection that comes about.
 * @param pin SHA-256 of the public key (SubjectPublicKeyInfo) of the one certificate that is taken, base64url; then neither its issuer nor
 *   its names and dates count, since whoever has that key is the origin. Without a pin, the usual rules of HTTPS.
 */
export function connector(
  timeoutMs: number,
  pin: string | undefined,
  watch: (socket: Socket) => void,
): buildConnector.connector {
  if (pin === undefined) return watching(buildConnector({ timeout: timeoutMs, allowH2: false }), watch)
  // Without resumed sessions: each handshake shows the certificate.
  const connect = buildConnector({
    timeout: timeoutMs,
    allowH2: false,
    maxCachedSessions: 0,
    rejectUnauthorized: false,
  })
  const watched = watching(connect, watch)
  return (options, callback) =>
    watched(options, (error, socket) => {
      if (error || !socket) return callback(error ?? new Error('no socket'), null)
      if (isPinned(socket, pin)) return callback(null, socket)
      socket.destroy()
      callback(
        new DownloadError('origin_pin', 'the origin shows another certificate than the pinned one, or none'),
        null,
      )
    })
}

/** Also a connection to the wrong origin costs bytes. */
function watching(connect: buildConnector.connector, watch: (socket: Socket) => void): buildConnector.connector {
  return (options, callback) =>
    connect(options, (error, socket) => {
      if (socket) watch(socket)
      if (error || !socket) callback(error ?? new Error('no socket'), null)
      else callback(null, socket)
    })
}

/** What `origin_pin` of node.toml has to be for this certificate. */
export function pinOf({ publicKey }: Pick<X509Certificate, 'publicKey'>): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64url')
}

function isPinned(socket: unknown, pin: string): boolean {
  const shown = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined
  return shown !== undefined && timingSafeEqual(Buffer.from(pinOf(shown)), Buffer.from(pin))
}
