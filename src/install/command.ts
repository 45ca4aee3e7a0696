/**
 * A command of node.toml: an argument vector, run without a shell, in a process group of its own, with a time limit, an environment
 * of our making and bounded output.
 *
 * What a publisher signs reaches it only as numbers and hex digits. A label is free text, and free text in the environment has been
 * code more than once (Shellshock).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { formatSpan, KiB, second } from '../core/units.ts'

export interface Command {
  /** Program and arguments, each a string of its own. */
  readonly argv: readonly string[]
  readonly timeoutMs: number
  /** Absolute. Entered before rights are given up, so its parents need not be open to that user. Default `/`. */
  readonly directory?: string
  /** Whom to run it as, without supplementary groups. Only root can ask for it. Default: as we are. */
  readonly account?: Account | undefined
  /** Most bytes of address space, for each process of it. Default: no limit. */
  readonly memoryBytes?: number
  /** What it leaves running in its group ends with it. Default: lives on, as a service does that a reload starts. */
  readonly leavesNothing?: boolean
}

export interface Account {
  readonly uid: number
  readonly gid: number
}

export interface CommandResult {
  readonly ok: boolean
  /** It came to an end of its own, with an exit status: a verdict, and no trouble of this machine. */
  readonly exited: boolean
  /** `exit status 2`, `killed by SIGSEGV`, `no end within 60 s`, `cannot be started: ENOENT`. */
  readonly ending: string
  /** The end of what it printed on both outputs, `outputLimitBytes` at most. Whatever it is: show it as text, escaped. */
  readonly output: string
}

export const outputLimitBytes = 4 * KiB

/** From SIGTERM to SIGKILL. */
const graceMs = 2 * second
/** What a daemon that the command left behind may still print before we stop to listen. */
const drainMs = 500

/** Where Debian's programs are. Not our own PATH: that of whoever started the daemon by hand is another one. */
const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * Run a command to its end.
 *
 * @param environment Beside PATH and LANG, nothing else is passed on.
 * @returns Always a result, also when the program does not exist. An aborted `signal` kills the process group and rejects with its
 *   reason; a timeout kills it too.
 */
export async function runCommand(
  command: Command,
  environment: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<CommandResult> {
  signal.throwIfAborted()
  const { timeoutMs } = command
  const child = start(command, environment)
  if (child instanceof Error) return { ok: false, exited: false, ending: couldNotStart(child), output: '' }
  const output = collectTail(child)
  const ended = endingOf(child)
  const stop = new AbortController()
  try {
    const ending = await Promise.race([ended, expiry(timeoutMs, stop.signal), aborted(signal, stop.signal)])
    if (ending !== undefined) {
      if (command.leavesNothing) signalGroup(child, 'SIGKILL')
      return { ...ending, output: await output.text() }
    }
    await killGroup(child, ended)
    signal.throwIfAborted()
    return { ok: false, exited: false, ending: `no end within ${formatSpan(timeoutMs)}`, output: await output.text() }
  } finally {
    stop.abort()
    output.close()
  }
}

/** @returns The error instead, for those that Node throws at once (E2BIG, a NUL in an argument); others come as an event. */
function start(command: Command, environment: Readonly<Record<string, string>>) {
  const [program, ...args] = limited(command)
  try {
    return spawn(program!, args, {
      cwd: command.directory ?? '/',
      ...command.account,
      env: { PATH: searchPath, LANG: 'C.UTF-8', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true, // a process group of its own: what the command starts ends with it
    })
  } catch (error) {
    if (error instanceof Error) return error
    throw error
  }
}

/**
 * Where memory is limited, the shell does it, since it needs no right and is everywhere: `prlimit` and `systemd-run` are not. It sees
 * the words as parameters and parses none of them. A program that it cannot start is exit status 126 or 127, as ever.
 */
function limited({ argv, memoryBytes }: Command): readonly string[] {
  if (memoryBytes === undefined) return argv
  const kib = String(Math.floor(memoryBytes / KiB))
  return ['/bin/sh', '-c', 'ulimit -c 0 && ulimit -v "$1" && shift && exec "$@"', 'sh', kib, ...argv]
}

function couldNotStart(error: Error): string {
  return `cannot be started: ${'code' in error ? error.code : error.message}`
}

/** Resolves, and never rejects, when the process itself has ended; what it left behind may live on. */
function endingOf(child: ChildProcess): Promise<Omit<CommandResult, 'output'>> {
  return new Promise(resolve => {
    child.once('error', error => resolve({ ok: false, exited: false, ending: couldNotStart(error) }))
    child.once('exit', (code, by) =>
      resolve({
        ok: code === 0,
        exited: code !== null,
        ending: code === null ? `killed by ${by}` : `exit status ${code}`,
      }),
    )
  })
}

async function expiry(ms: number, stop: AbortSignal): Promise<undefined> {
  await delay(ms, undefined, { signal: stop }).catch(() => {})
}

function aborted(signal: AbortSignal, stop: AbortSignal): Promise<undefined> {
  return new Promise(resolve =>
    signal.addEventListener('abort', () => resolve(undefined), { once: true, signal: stop }),
  )
}

async function killGroup(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  signalGroup(child, 'SIGTERM')
  const grace = new AbortController()
  await Promise.race([ended, expiry(graceMs, grace.signal)])
  grace.abort()
  signalGroup(child, 'SIGKILL') // also when the leader has gone: the others may ignore SIGTERM
  // What hangs in the kernel, on a dead network file system, does not hear even that.
  const patience = new AbortController()
  await Promise.race([ended, expiry(graceMs, patience.signal)])
  patience.abort()
}

function signalGroup({ pid }: ChildProcess, name: 'SIGTERM' | 'SIGKILL'): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, name)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

function collectTail({ stdout, stderr }: ChildProcess) {
  const streams = [stdout!, stderr!]
  let tail = Buffer.alloc(0)
  for (const stream of streams) {
    stream.on('data', (chunk: Buffer) => {
      const all = Buffer.concat([tail, chunk])
      tail = all.subarray(Math.max(0, all.length - outputLimitBytes))
    })
    stream.on('error', () => {}) // the output is for people; its loss is no reason to fail
  }
  const ends = Promise.all(streams.map(stream => new Promise(resolve => stream.once('close', resolve))))
  return {
    async text(): Promise<string> {
      const stop = new AbortController()
      await Promise.race([ends, expiry(drainMs, stop.signal)])
      stop.abort()
      return tail.toString('utf8').trim()
    },
    close: () => streams.forEach(stream => void stream.destroy()),
  }
}
