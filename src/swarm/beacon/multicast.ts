/**
 * A multicast socket on one interface, time to live 1: what is sent stays in this LAN. Several nodes on one machine share the port.
 *
 * Against a flood: the system hands over every datagram of the group, at some microseconds each. When more come in a second than a site
 * can have to say, the socket is closed for a while, and for longer each time: then they cost this process nothing. What is missed
 * meanwhile were hints; the schedule does not need them.
 */
import { createSocket, type Socket } from 'node:dgram'
import type { Clock } from '../../core/clock.ts'
import type { Stoppable } from '../../core/lifecycle.ts'
import { second } from '../../core/units.ts'

export interface MulticastOptions {
  /** IPv4. */
  readonly group: string
  readonly port: number
  /** Own address on the interface to use. */
  readonly address: string
  /** @param from The sender's address, as the packet has it. */
  onDatagram(bytes: Buffer, from: string): void
  readonly clock: Clock
}

export interface MulticastSocket extends Stoppable {
  /** Never throws, never waits: what cannot be sent is lost, as datagrams are. */
  send(bytes: Buffer): void
  /** Nothing is heard now: there was a flood. */
  readonly deaf: boolean
}

/** More than this in a second is no site's talk. */
export const mostDatagramsPerSecond = 500
const firstPauseMs = 2 * second
const longestPauseMs = 60 * second

/** @throws Error of the system when there is no such interface, or the port is taken by somebody who does not share it. */
export async function openMulticast(options: MulticastOptions): Promise<MulticastSocket> {
  const { clock } = options
  const ended = new AbortController()
  let window = { since: clock.monotonic(), count: 0 }
  let pauseMs = firstPauseMs
  let socket: Socket | undefined

  const heard = (bytes: Buffer, from: string) => {
    const now = clock.monotonic()
    if (now - window.since >= second) {
      if (now - window.since >= longestPauseMs) pauseMs = firstPauseMs
      window = { since: now, count: 0 }
    }
    if (++window.count > mostDatagramsPerSecond) void pause()
    else options.onDatagram(bytes, from)
  }
  const close = () => {
    socket?.close()
    socket = undefined
  }
  const pause = async () => {
    if (!socket) return
    close()
    const ms = pauseMs
    pauseMs = Math.min(2 * pauseMs, longestPauseMs)
    await clock.sleep(ms, ended.signal).catch(() => {})
    if (!ended.signal.aborted) await open().catch(() => {}) // the interface is gone: whoever owns us opens anew
  }
  const open = async () => {
    const opened = await bind(options, heard)
    if (ended.signal.aborted) {
      opened.close()
      return
    }
    window = { since: clock.monotonic(), count: 0 }
    socket = opened.on('error', close)
  }

  await open()
  return {
    send: bytes => socket?.send(bytes, options.port, options.group, () => {}),
    get deaf() {
      return socket === undefined
    },
    async stop() {
      ended.abort(new Error('the beacon is stopping'))
      close()
    },
  }
}

/** Bound to the group, not to every address: what comes to this machine alone is no beacon. Windows knows only the latter. */
function bind(
  { group, port, address }: MulticastOptions,
  heard: (bytes: Buffer, from: string) => void,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: 'udp4', reuseAddr: true })
    socket.once('error', error => {
      socket.close()
      reject(error)
    })
    socket.on('message', (bytes, { address: from }) => heard(bytes, from))
    socket.bind(port, process.platform === 'win32' ? undefined : group, () => {
      try {
        socket.addMembership(group, address)
        socket.setMulticastInterface(address)
        socket.setMulticastTTL(1)
        socket.setMulticastLoopback(true)
      } catch (error) {
        socket.close()
        reject(error)
        return
      }
      socket.removeAllListeners('error')
      resolve(socket)
    })
  })
}
