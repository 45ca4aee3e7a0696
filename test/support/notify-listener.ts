/** systemd's end of sd_notify: a real datagram socket. Python holds it, since Node has none; each datagram comes as one line of its stdout. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Stoppable } from '../../src/core/lifecycle.ts'

const source = `
import json, socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
print(json.dumps("listening"), flush=True)
while True: print(json.dumps(listener.recv(4096).decode()), flush=True)
`

/** What the listener and the sender need; for `needs`. */
export const notifyTools = ['python3', 'systemd-notify'] as const

export interface NotifyListener extends Stoppable {
  /** For NOTIFY_SOCKET. */
  readonly socket: string
  /** All datagrams that `next` has returned. */
  readonly heard: readonly string[]
  /** Resolves at the next datagram. Ask for one at a time. */
  next(): Promise<string>
}

export async function startNotifyListener(): Promise<NotifyListener> {
  const directory = await mkdtemp(join(tmpdir(), 'sigmesh-notify-'))
  const socket = join(directory, 'notify')
  const python = spawn('python3', ['-c', source, socket], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface(python.stdout)[Symbol.asyncIterator]()
  await lines.next()
  const heard: string[] = []
  return {
    socket,
    heard,
    async next() {
      const { value, done } = await lines.next()
      if (done) throw new Error('the listener has ended')
      heard.push(JSON.parse(value))
      return heard.at(-1)!
    },
    async stop() {
      const ended = once(python, 'exit')
      python.kill()
      await ended
      await rm(directory, { recursive: true })
    },
  }
}
