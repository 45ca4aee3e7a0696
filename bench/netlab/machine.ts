/** One machine of a company in the laboratory: a `sigmeshd node` of its own on a host of its own, which has joined. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parse, stringify } from 'smol-toml'
import { controlClient } from '../../src/cli/control-client.ts'
import { ControlError } from '../../src/core/errors.ts'
import { second } from '../../src/core/units.ts'
import type { ChannelStatus } from '../../src/daemon/status.ts'
import type { Host, LanHost } from './host.ts'

const daemonProgram = fileURLToPath(new URL('../../bin/sigmeshd.ts', import.meta.url))
/** Forty of them share the processors while they start. */
const startTimeoutMs = 120 * second

export const channel = 'signatures'

export interface MachineParts {
  readonly name: string
  readonly host: LanHost
  /** Has the machine's node.toml, root.json and state. */
  readonly folder: string
  /** More of node.toml, by table and key. */
  readonly settings: Readonly<Record<string, unknown>>
}

export class Machine {
  readonly name: string
  readonly host: LanHost
  readonly folder: string
  /** The link to the release in force. */
  readonly current: string
  readonly control: ReturnType<typeof controlClient>
  readonly #settings: MachineParts['settings']
  readonly #socket: string
  #daemon: ChildProcess | undefined

  constructor({ name, host, folder, settings }: MachineParts) {
    this.name = name
    this.host = host
    this.folder = folder
    this.current = join(folder, channel, 'current')
    this.#socket = join(folder, 'control.sock')
    this.#settings = settings
    this.control = controlClient(this.#socket)
  }

  /** Start the daemon. It looks for news when it is told to, unless its settings say otherwise. */
  async start(): Promise<void> {
    const file = join(this.folder, 'node.toml')
    const joined = parse(await readFile(file, 'utf8'))
    const own = { control_socket: this.#socket, state_dir: join(this.folder, 'state'), check_on_start: false }
    await writeFile(file, stringify({ ...joined, ...own, ...this.#settings }))
    this.#daemon = startDaemon(this.host, ['node', '--config', file], join(this.folder, 'log'))
  }

  /** Resolves when the daemon answers. @throws Error when it has ended, or does not answer in two minutes. */
  async answering(): Promise<void> {
    await eventually(`${this.name} to answer`, startTimeoutMs, async () => {
      if (this.#daemon?.exitCode !== null) throw new Error(`${this.name} has ended; see ${join(this.folder, 'log')}`)
      return this.control.status().then(() => true, notYet)
    })
  }

  /** kill -9, and wait until it is gone. */
  async kill(): Promise<void> {
    const daemon = this.#daemon
    this.#daemon = undefined
    if (!daemon || daemon.exitCode !== null) return
    const ended = once(daemon, 'exit')
    daemon.kill('SIGKILL')
    await ended
  }

  async status(): Promise<ChannelStatus> {
    const { channels } = await this.control.status()
    return channels[0]!
  }

  /** When every piece of a release was stored, and when it was in force: ms since 1970, undefined when that has not been. */
  async times(
    sequence: number,
  ): Promise<{ readonly whole: number | undefined; readonly installed: number | undefined }> {
    const log = (await readFile(join(this.folder, 'log'), 'utf8')).split('\n').flatMap(readLogLine)
    const at = (message: string) => {
      const line = log.findLast(entry => entry.sequence === sequence && entry.msg === message)
      return line && Date.parse(line.time)
    }
    return { whole: at('the artifact is whole'), installed: at('the cycle is over') }
  }
}

/** Start `sigmeshd` on a host; what it logs goes to `logFile`. It dies with its host. */
export function startDaemon(host: Host, args: readonly string[], logFile: string): ChildProcess {
  const log = openSync(logFile, 'a')
  try {
    return host.spawn(process.execPath, [daemonProgram, ...args], { stdio: ['ignore', log, log] })
  } finally {
    closeSync(log)
  }
}

/** Ask until the answer is not false. @throws Error with `what`, after `timeoutMs`; what `ask` throws. */
export async function eventually(what: string, timeoutMs: number, ask: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!(await ask())) {
    if (performance.now() > end) throw new Error(`waited ${timeoutMs / second} s in vain for ${what}`)
    await delay(50)
  }
}

interface LogLine {
  /** ISO 8601. */
  readonly time: string
  readonly msg: string
  readonly sequence?: number
}

/** @returns Nothing for a line that a kill has cut off. */
function readLogLine(line: string): LogLine[] {
  try {
    return [JSON.parse(line)]
  } catch {
    return []
  }
}

function notYet(error: unknown): false {
  if (error instanceof ControlError && error.code === 'daemon_unreachable') return false
  throw error
}
