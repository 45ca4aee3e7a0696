/**
 * Network namespaces of one laboratory, and the commands that build things in them. The name of each tells which process made it:
 *
 *   sml-4711-88215-b1h3      process 4711, started at tick 88215 since boot; branch 1, host 3
 *
 * so that whoever comes next can tell the leavings of a dead one (kill -9) from the parts of a living one.
 */
import { execFile, spawn } from 'node:child_process'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const namePattern = /^sml-(\d+)-(\d+)-/
/** Files of machines: memory. */
const homes = '/dev/shm'

/** Run a command to its end. @returns What it printed. @throws Error with what it said on standard error. */
export async function command(...argv: readonly [string, ...string[]]): Promise<string> {
  const [program, ...args] = argv
  return (await run(program, args, { maxBuffer: 1 << 24 })).stdout
}

/** Many commands of `ip`, or of `tc`, in one go: a branch of forty hosts is some hundreds of them. @throws Error on the first that fails. */
export async function batch(
  program: 'ip' | 'tc',
  namespace: string | undefined,
  lines: readonly string[],
): Promise<void> {
  if (lines.length === 0) return
  const child = spawn(program, [...(namespace ? ['-n', namespace] : []), '-batch', '-'], {
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  child.stdin.on('error', () => {}) // it has ended before it read all: its exit code says why
  child.stdin.end(`${lines.join('\n')}\n`)
  const code = await new Promise(resolve => child.once('close', resolve).once('error', resolve))
  if (code !== 0) throw new Error(`${program} -batch in ${namespace ?? 'the root namespace'}: ${said || code}`)
}

/** What the names of this process's namespaces begin with. */
export async function ownPrefix(): Promise<string> {
  return `sml-${process.pid}-${await startTick(process.pid)}-`
}

/**
 * Take away what laboratories of dead processes have left: namespaces, the interfaces in them, processes that still live in them, files.
 *
 * @returns The names of what is gone now.
 */
export async function sweep(): Promise<readonly string[]> {
  const swept: string[] = []
  for (const name of await namespaces()) {
    if (await isInUse(name)) continue
    await removeNamespace(name)
    swept.push(name)
  }
  for (const name of await readdir(homes).catch((): string[] => [])) {
    if (!namePattern.test(name) || (await isInUse(name))) continue
    await rm(join(homes, name), { recursive: true, force: true })
    swept.push(join(homes, name))
  }
  return swept
}

async function isInUse(name: string): Promise<boolean> {
  const [, pid, tick] = namePattern.exec(name)!
  return (await startTick(Number(pid))) === tick
}

/** A new directory in memory, for the files of a laboratory; who asks removes it. @param name Of one of its namespaces. */
export async function homeOf(name: string): Promise<string> {
  const path = join(homes, name)
  await mkdir(path)
  return path
}

/** @returns Names of all network namespaces on this machine that a laboratory has made, whoever's. */
export async function namespaces(): Promise<readonly string[]> {
  const names = await readdir('/run/netns').catch((): string[] => [])
  return names.filter(name => namePattern.test(name))
}

/** Remove a namespace with everything in it: processes first, since a namespace lives as long as one does. Missing is fine. */
export async function removeNamespace(name: string): Promise<void> {
  const inside = await command('ip', 'netns', 'pids', name).catch(() => '')
  for (const pid of inside.split('\n').filter(Boolean).map(Number)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // it has ended meanwhile
    }
  }
  await command('ip', 'netns', 'delete', name).catch(async error => {
    if ((await namespaces()).includes(name)) throw error
  })
}

/** When the process was started, in ticks since boot (field 22 of proc_pid_stat(5)); undefined when there is none. */
async function startTick(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}
