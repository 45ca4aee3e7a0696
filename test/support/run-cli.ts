/** The commands as a user runs them: a process each, with its exit code and what it printed. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

const top = join(import.meta.dirname, '../..')
const bin = join(top, 'bin')
/** Dozens of processes load the same sources: compiled once, each starts in two thirds of the time. */
const compileCache = join(top, 'node_modules/.cache/compile')

export interface CliResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

interface CliOptions {
  readonly program?: 'sigmesh' | 'sigmeshd'
  readonly env?: NodeJS.ProcessEnv
  /** Run as this user and its group; only root can. */
  readonly uid?: number
}

export function startCli(
  args: readonly string[],
  { program = 'sigmesh', env = {}, uid }: CliOptions = {},
): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [join(bin, `${program}.ts`), ...args], {
    env: { PATH: process.env.PATH, HOME: '/nonexistent', NODE_COMPILE_CACHE: compileCache, ...env },
    ...(uid === undefined ? {} : { uid, gid: uid }),
  })
}

export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const child = startCli(args, options)
  child.stdin.end()
  const ended = once(child, 'close')
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = await ended
  return { code, stdout, stderr }
}
