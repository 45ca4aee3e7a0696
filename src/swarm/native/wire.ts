/**
 * A TCP socket and whoever reads it at the moment: first the greeting, then the connection.
 *
 * All sockets read into one buffer that they share, because node calls `onread` synchronously: no allocation and no garbage a read. By
 * `data` events each read costs an allocation of 64 KiB, and V8 marks its whole heap for every few hundred of those. (Not shared on
 * Windows, where reads are under way while others arrive.) A reader that has better memory for the next read says so: `into`.
 */
import { connect, Socket, type SocketConstructorOpts } from 'node:net'
import { KiB } from '../../core/units.ts'
import type { PeerAddress } from '../engine.ts'

const readBytes = 256 * KiB
const sharedBuffer = Buffer.allocUnsafeSlow(readBytes)

export class Wire {
  readonly socket: Socket
  /** Gets every chunk; a view that is gone when the call returns. */
  onBytes: (chunk: Uint8Array) => void = () => {}
  /** Asked before every read: memory of the reader's own to read into, which then hears `onArrived`. `undefined`: `onBytes`. */
  into: () => Uint8Array | undefined = () => undefined
  onArrived: (count: number) => void = () => {}
  /** The socket is closed, whoever closed it. Called once. */
  onEnd: (reason: string) => void = () => {}

  /** @param open Makes the socket, which is to read by what it is given. */
  private constructor(open: (onread: ReadInto) => Socket) {
    const common = process.platform === 'win32' ? Buffer.allocUnsafeSlow(readBytes / 4) : sharedBuffer
    const buffer = () => this.into() ?? common
    const callback = (length: number, read: Uint8Array) => {
      if (read === common) this.onBytes(common.subarray(0, length))
      else this.onArrived(length)
      return true
    }
    this.socket = open({ buffer, callback })
    this.socket.setNoDelay(true)
    let reason = 'closed'
    this.socket.on('error', error => {
      reason = error.message
    })
    this.socket.on('end', () => this.socket.destroy())
    this.socket.on('close', () => this.onEnd(reason))
  }

  /** @param accepted By a server that pauses on connect, so that nothing of it has been read. */
  static accepted(accepted: Socket): Wire {
    return new Wire(onread => reopen(accepted, onread))
  }

  /** @param onConnect Called when the connection stands. */
  static dial({ host, port }: PeerAddress, onConnect: () => void): Wire {
    return new Wire(onread => connect({ host, port, onread }, onConnect))
  }

  destroy(): void {
    this.socket.destroy()
  }
}

interface ReadInto {
  buffer(): Uint8Array
  callback(length: number, read: Uint8Array): boolean
}

/**
 * The same connection as a socket that reads into a given buffer. Node has no such option for what a server accepts, so its handle goes
 * to a new socket; the server counts the old one until the new one is closed.
 */
function reopen(accepted: Socket, onread: ReadInto): Socket {
  const owner = accepted as unknown as { _handle: SocketConstructorOpts['handle'] }
  const socket = new Socket({ handle: owner._handle, onread })
  owner._handle = undefined
  return socket.once('close', () => accepted.destroy())
}
