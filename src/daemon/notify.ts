/**
 * What systemd hears of us (sd_notify(3)): that the service is ready, what it does, that it lives, that it ends. Nothing happens
 * unless systemd asked, with NOTIFY_SOCKET in the environment.
 *
 * Node has no unix datagram sockets, so each message is a short-lived `systemd-notify`; the units need NotifyAccess=all for it.
 * The heartbeat is a timer of the main event loop: a loop that hangs lets it fall silent, and systemd restarts the service. It goes
 * out at half of the watchdog's time, so that one lost child process is not yet a restart.
 */
import { execFile } from 'node:child_process'
import type { Stoppable } from '../core/lifecycle.ts'
import { type Log, silentLog } from '../core/log.ts'
import { second } from '../core/units.ts'

export interface Notifier extends Stoppable {
  /** Start-up is over. @param status One line for `systemctl status`. */
  ready(status: string): void
  /** Free to call often: only a line that is new is sent, and of several that wait only the latest. */
  status(text: string): void
  /** The end has begun. */
  stopping(): void
}

const sendTimeoutMs = 10 * second

/**
 * @param environment NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are taken out of it: what the service runs later, such as a reload
 *   command, must not speak in its name.
 */
export function startNotifier(environment: NodeJS.ProcessEnv = process.env, log: Log = silentLog): Notifier {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: timeout, WATCHDOG_PID: watched } = environment
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete environment[name]
  if (!socket) return { ready() {}, status() {}, stopping() {}, stop: async () => {} }

  const mailbox = new Mailbox(socket, log)
  const beatMs = watched === undefined || Number(watched) === process.pid ? Number(timeout ?? 0) / 1000 / 2 : 0
  const beat = beatMs >= 1 ? setInterval(() => mailbox.post('WATCHDOG=1'), beatMs) : undefined
  let told: string | undefined
  return {
    ready(status) {
      told = status
      mailbox.post('READY=1', statusLine(status))
    },
    status(text) {
      if (text !== told) mailbox.post(statusLine(text))
      told = text
    },
    stopping: () => mailbox.post('STOPPING=1', statusLine('stopping')),
    async stop() {
      clearInterval(beat)
      await mailbox.empty()
    },
  }
}

function statusLine(text: string): string {
  return `STATUS=${text.replace(/\p{Cc}/gu, ' ')}`
}

/** One message after the other: READY must not be overtaken by STOPPING. */
class Mailbox {
  readonly #socket: string
  readonly #log: Log
  /** By variable, so that a new status takes the place of one that still waits; in the order of first posting. */
  readonly #waiting = new Map<string, string>()
  #sending: Promise<void> | undefined
  #hasFailed = false

  constructor(socket: string, log: Log) {
    this.#socket = socket
    this.#log = log
  }

  post(...assignments: string[]): void {
    for (const assignment of assignments) this.#waiting.set(assignment.slice(0, assignment.indexOf('=')), assignment)
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined
    })
  }

  async empty(): Promise<void> {
    await this.#sending
  }

  async #sendAll(): Promise<void> {
    while (this.#waiting.size > 0) {
      const assignments = [...this.#waiting.values()]
      this.#waiting.clear()
      await this.#send(assignments)
    }
  }

  /** Never throws: a service does not fail because nobody listens. The first failure is logged. */
  #send(assignments: readonly string[]): Promise<void> {
    return new Promise(resolve => {
      const env = { PATH: process.env.PATH ?? '/usr/bin:/bin', NOTIFY_SOCKET: this.#socket }
      execFile('systemd-notify', ['--no-block', ...assignments], { env, timeout: sendTimeoutMs }, error => {
        if (error && !this.#hasFailed)
          this.#log.warn({ error: error.message }, 'systemd could not be told what this service does')
        this.#hasFailed = error !== null
        resolve()
      })
    })
  }
}
