/**
 * A TCP socket and whoever reads it at the moment: first the greeting, then the connection.
 *
 * Sockets that we dial read into one buffer that all of them share, because node calls `onread` synchronously: no allocation and no
 * garbage a read. (Not on Windows, where reads are under way while others arrive.) Sockets that a server accepted cannot be given such
 * a buffer; they read by `data` events.
 */
import { connect, type Socket } from 'node:net'
import { KiB } from '../../core/units.ts'
import type { PeerAddress } from '../engine.ts'

const readBytes = 256 * KiB
const sharedBuffer = Buffer.allocUnsafeSlow(readBytes)

export class Wire {
  readonly socket: Socket
  /** Gets every chunk; a view that is gone when the call returns. */
  onBytes: (chunk: Uint8Array) => void = () => {}
  /** The socket is closed, whoever closed it. Called once. */
  onEnd: (reason: string) => void = () => {}

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    let reason = 'closed'
    socket.on('error', error => {
      reason = error.message
    })
    socket.on('end', () => socket.destroy())
    socket.on('close', () => this.onEnd(reason))
  }

  static accepted(socket: Socket): Wire {
    const wire = new Wire(socket)
    socket.on('data', chunk => wire.onBytes(chunk))
    return wire
  }

  /** @param onConnect Called when the connection stands. */
  static dial({ host, port }: PeerAddress, onConnect: () => void): Wire {
    const buffer = process.platform === 'win32' ? Buffer.allocUnsafeSlow(readBytes / 4) : sharedBuffer
    const onread = {
      buffer,
      callback(length: number) {
        wire.onBytes(buffer.subarray(0, length))
        return true
      },
    }
    const wire: Wire = new Wire(connect({ host, port, onread }, onConnect))
    return wire
  }

  destroy(): void {
    this.socket.destroy()
  }
}
