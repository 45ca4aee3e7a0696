/** Connections to the origin, and whether what answers is the origin. */
import { createHash, timingSafeEqual, type X509Certificate } from 'node:crypto'
import { connect, isIP, type Socket, type TcpNetConnectOpts } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { DownloadError } from '../core/errors.ts'
import { minute } from '../core/units.ts'

export interface ConnectorOptions {
  /** Until the first byte of a request may be sent. */
  readonly timeoutMs: number
  /**
   * SHA-256 of the public key (SubjectPublicKeyInfo) of the one certificate that is taken, base64url; then neither its issuer nor its
   * names and dates count, since whoever has that key is the origin. Without a pin, the usual rules of HTTPS.
   */
  readonly pin: string | undefined
  /** Sees every connection that comes about: also one to the wrong origin costs bytes. */
  watch(socket: Socket): void
}

export interface Connector {
  /** The event of a socket by which it is open, and the origin's. */
  readonly ready: 'connect' | 'secureConnect'
  /**
   * Begin to connect. What is written meanwhile waits until the socket is ready.
   * @returns A socket that ends with DownloadError `origin_unreachable` when it is not ready in time, or `origin_pin`.
   */
  open(): Socket
}

/** @param origin `http:` or `https:`. */
export function connectorTo(origin: URL, { timeoutMs, pin, watch }: ConnectorOptions): Connector {
  const secure = origin.protocol === 'https:'
  const ready = secure ? 'secureConnect' : 'connect'
  const host = origin.hostname.replace(/^\[|\]$/g, '')
  const port = Number(origin.port) || (secure ? 443 : 80)
  const place = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: minute }
  const dial = secure ? secureDialler(place, pin) : () => connect(place)
  return {
    ready,
    open() {
      const socket = dial()
      if (pin !== undefined) awaitPin(socket, ready, pin)
      const why = `no connection to the origin within ${timeoutMs} ms`
      const late = setTimeout(() => socket.destroy(new DownloadError('origin_unreachable', why)), timeoutMs)
      const settled = () => clearTimeout(late)
      return socket
        .once('connect', () => watch(socket))
        .once(ready, settled)
        .once('close', settled)
    },
  }
}

/** TLS is loaded here and not above: many origins are behind a proxy that ends it, or on a LAN. */
function secureDialler(place: TcpNetConnectOpts & { readonly host: string }, pin: string | undefined): () => TLSSocket {
  const { connect } = process.getBuiltinModule('node:tls')
  const options = { ...place, servername: isIP(place.host) ? '' : place.host, ALPNProtocols: ['http/1.1'] }
  if (pin !== undefined) {
    // Without resumed sessions: each handshake shows the certificate.
    return () => connect({ ...options, rejectUnauthorized: false })
  }
  let session: Buffer | undefined
  return () => {
    const socket = connect({ ...options, ...(session && { session }) })
    socket.on('session', given => {
      session = given
    })
    return socket.once('close', hadError => {
      if (hadError) session = undefined
    })
  }
}

/** Held back by a cork, so that nothing is sent, not even encrypted, to somebody else. */
function awaitPin(socket: Socket | TLSSocket, ready: Connector['ready'], pin: string): void {
  socket.cork()
  socket.once(ready, () => {
    if (isPinned(socket, pin)) return socket.uncork()
    socket.destroy(new DownloadError('origin_pin', 'the origin shows another certificate than the pinned one, or none'))
  })
}

/** What `origin_pin` of node.toml has to be for this certificate. */
export function pinOf({ publicKey }: Pick<X509Certificate, 'publicKey'>): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64url')
}

function isPinned(socket: Socket | TLSSocket, pin: string): boolean {
  const shown = 'getPeerX509Certificate' in socket ? socket.getPeerX509Certificate() : undefined
  return shown !== undefined && timingSafeEqual(Buffer.from(pinOf(shown)), Buffer.from(pin))
}
