/** A process of child.ts, ready and waiting. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Report, Scenario } from './scenario.ts'

const program = fileURLToPath(new URL('child.ts', import.meta.url))

export interface Launched {
  readonly pid: number
  /** Let it go on. */
  go(): void
  /** kill -9. */
  kill(): void
  /** When it is gone, with all that it said. */
  readonly ended: Promise<{ reports: readonly Report[]; code: number | null; killed: boolean }>
}

/**
 * @param compiled Where compiled code is kept, for the next processes to start faster.
 * @param last As child.ts has it.
 */
export async function launch(compiled: string, home: string, scenario: Scenario, last = 3): Promise<Launched> {
  const child = spawn(process.execPath, [program, home, JSON.stringify(scenario), String(last)], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, UV_THREADPOOL_SIZE: '1', NODE_COMPILE_CACHE: compiled },
  })
  const said = linesOf(child)
  const closed = once(child, 'close')
  await said.ready
  return {
    pid: child.pid!,
    go: () => child.stdin.write('go\n'),
    kill: () => child.kill('SIGKILL'),
    ended: closed.then(() => {
      const reports = said.lines.slice(1).map((line): Report => JSON.parse(line))
      return { reports, code: child.exitCode, killed: child.signalCode === 'SIGKILL' }
    }),
  }
}

function linesOf({ stdin, stdout, stderr }: ChildProcess) {
  const lines: string[] = []
  const ready = Promise.withResolvers<void>()
  let complaint = ''
  stdin!.on('error', () => {}) // it may be killed before it has read
  stderr!.on('data', chunk => (complaint += chunk))
  createInterface(stdout!)
    .on('line', line => {
      lines.push(line)
      ready.resolve()
    })
    .on('close', () => ready.reject(new Error(`the process could not start: ${complaint}`)))
  return { lines, ready: ready.promise }
}
