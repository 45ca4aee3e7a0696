/** The demo's processes: each `sigmesh` and `sigmeshd` is a real one, started as an admin would, and gone when the demo is. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Stoppable } from '../src/core/lifecycle.ts'
import { second } from '../src/core/units.ts'

const project = fileURLToPath(new URL('..', import.meta.url))
const bin = (name: 'sigmesh' | 'sigmeshd') => join(project, 'bin', `${name}.ts`)

/**
 * Compile as a package is, for processes that are measured: from sources, Node's stripping of the types is measured too.
 *
 * @param more Files besides the package's own, relative to the project.
 * @returns `file` in `into` of any of them.
 */
export async function compile(into: string, more: readonly string[] = []): Promise<(file: string) => string> {
  await mkdir(into)
  const config = join(into, 'tsconfig.json')
  const include = ['src', 'bin', ...more].map(path => join(project, path))
  const compilerOptions = { rootDir: project, outDir: into, typeRoots: [join(project, 'node_modules/@types')] }
  await writeFile(config, JSON.stringify({ extends: join(project, 'tsconfig.build.json'), compilerOptions, include }))
  execFileSync(join(project, 'node_modules/.bin/tsc'), ['-p', config], { stdio: 'inherit' })
  await symlink(join(project, 'node_modules'), join(into, 'node_modules'))
  await copyFile(join(project, 'package.json'), join(into, 'package.json'))
  return file => join(into, file.replace(/\.ts$/, '.js'))
}

/** Run `sigmesh` with `args` to its end. @returns What it printed. @throws Error with its output when it exits other than 0. */
export async function sigmesh(args: readonly string[], signal: AbortSignal): Promise<string> {
  const child = spawn(process.execPath, [bin('sigmesh'), ...args], { stdio: ['ignore', 'pipe', 'pipe'], signal })
  let out = ''
  let err = ''
  child.stdout.on('data', chunk => (out += chunk))
  child.stderr.on('data', chunk => (err += chunk))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`sigmesh ${args.join(' ')} ended with ${code}:\n${err}${out}`)
  return out
}

export interface Daemon extends Stoppable {
  readonly pid: number
  /** kill -9, and wait until it is gone. */
  kill(): Promise<void>
  /** Why it ended by itself; undefined while it runs. */
  failed(): string | undefined
}

/** Start `sigmeshd`; what it logs goes to `logFile`. @param env On top of this process's. @param program Default: the source. */
export function startDaemon(
  args: readonly string[],
  logFile: string,
  env: Readonly<Record<string, string>> = {},
  program = bin('sigmeshd'),
): Daemon {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  const log = createWriteStream(logFile)
  child.stdout.pipe(log, { end: false })
  child.stderr.pipe(log, { end: false })
  let stopping = false
  return {
    pid: child.pid ?? 0,
    failed: () =>
      child.exitCode !== null && !stopping
        ? `sigmeshd ${args[0]} ended with ${child.exitCode}; see ${logFile}`
        : undefined,
    async kill() {
      stopping = true
      await end(child, 'SIGKILL')
      log.end()
    },
    async stop() {
      stopping = true
      await end(child, 'SIGTERM')
      log.end()
    },
  }
}

/** Resolves when somebody listens at `port` of this machine. @throws Error when `daemon` ends before. */
export async function listening(port: number, daemon: Daemon, signal: AbortSignal): Promise<void> {
  for (;;) {
    const failed = daemon.failed()
    if (failed) throw new Error(failed)
    const socket = connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect', { signal })
      return
    } catch {
      await delay(50, undefined, { signal })
    } finally {
      socket.destroy()
    }
  }
}

/** Ask, then insist. */
async function end(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  const insist = setTimeout(() => child.kill('SIGKILL'), 10 * second)
  await ended
  clearTimeout(insist)
}

/**
 * A TCP port that was free a moment ago. Not one that the kernel would give: it gives those to every connection too, and what is to listen
 * there starts a second later.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_000)
    const server = createServer()
    try {
      await once(server.listen(port, '127.0.0.1'), 'listening')
    } catch {
      continue // somebody listens there
    }
    server.close()
    await once(server, 'close')
    return port
  }
}
