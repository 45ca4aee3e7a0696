/**
 * System calls of one thread of a process, listed or tampered with, by strace.
 *
 * One thread, since strace counts calls by thread, and since a thread of its own does all file operations of Node when it is told to have
 * but one (UV_THREADPOOL_SIZE=1): then the n-th call is the same one in every run. (libuv uses io_uring for nothing unless it is asked
 * to; with it, these calls would be invisible here.)
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'

/** Those that change the disk, or make a change last. */
const changing = [
  ...['open', 'openat', 'creat', 'mkdir', 'mkdirat', 'rmdir', 'mknod', 'mknodat'],
  ...['rename', 'renameat', 'renameat2', 'link', 'linkat', 'symlink', 'symlinkat', 'unlink', 'unlinkat'],
  ...[
    'write',
    'pwrite64',
    'writev',
    'pwritev',
    'pwritev2',
    'truncate',
    'ftruncate',
    'fallocate',
    'copy_file_range',
    'sendfile',
  ],
  ...['chmod', 'fchmod', 'fchmodat', 'chown', 'fchown', 'lchown', 'fchownat', 'utimensat', 'ioctl'],
  ...['fsync', 'fdatasync', 'sync_file_range', 'syncfs', 'sync'],
]

/** `n`-th call of this name, counted from 1. */
export interface Call {
  readonly name: string
  readonly nth: number
  /** What strace printed of it, without the numbers that differ from run to run. */
  readonly words: string
}

export const faults = {
  KILL: 'signal=KILL',
  ENOSPC: 'error=ENOSPC',
  EIO: 'error=EIO',
} as const
export type Fault = keyof typeof faults

/** The thread of `pid` that does the file operations of Node. */
export function fileThread(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`).map(Number)
  const found = threads.filter(id => readFileSync(`/proc/${pid}/task/${id}/comm`, 'utf8') === 'libuv-worker\n')
  if (found.length !== 1) throw new Error(`process ${pid} has ${found.length} threads for files instead of one`)
  return found[0]!
}

/** Of a thread that goes on: leave it alone from now on. */
type Detach = () => void

/** Attach to a thread, and resolve when every call from now on is seen. `ended` resolves when the thread has ended, or is left alone. */
async function attach(
  thread: number,
  args: readonly string[],
  listing: string,
): Promise<{ ended: Promise<unknown>; detach: Detach }> {
  const child = spawn('strace', ['-p', String(thread), '-y', '-s', '0', '-o', listing, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = once(child, 'exit')
  let said = ''
  child.stderr.setEncoding('utf8')
  for await (const text of child.stderr) {
    said += text
    if (said.includes('attached')) {
      child.stderr.resume()
      return { ended, detach: () => child.kill('SIGINT') }
    }
  }
  throw new Error(`strace cannot attach: ${said}`)
}

/** List the calls of `thread` from now on that change something below `directory`. @returns Gives them, when the thread has ended. */
export async function record(thread: number, directory: string, listing: string) {
  const { ended, detach } = await attach(thread, ['-e', `trace=${changing.map(name => `?${name}`).join()}`], listing)
  return async ({ goesOn = false } = {}): Promise<Call[]> => {
    if (goesOn) detach()
    await ended
    const counts = new Map<string, number>()
    return linesOf(listing).flatMap(line => {
      const [, name = ''] = /^(\w+)\(/.exec(line) ?? []
      if (!name) return []
      const nth = (counts.get(name) ?? 0) + 1
      counts.set(name, nth)
      const concerns = line.includes(directory) && (!name.startsWith('open') || /O_CREAT|O_TRUNC/.test(line))
      return concerns ? [{ name, nth, words: wordsOf(line, directory) }] : []
    })
  }
}

/** Let a call of `thread` fail, or kill its process at it, before it has any effect. @returns Gives the words of the call that was hit, as `record`. */
export async function tamper(thread: number, directory: string, listing: string, { name, nth }: Call, fault: Fault) {
  const args = ['-e', `trace=${name}`, '-e', `inject=${name}:${faults[fault]}:when=${nth}`]
  const { ended, detach } = await attach(thread, args, listing)
  return async ({ goesOn = false } = {}): Promise<string> => {
    if (goesOn) detach()
    await ended
    return wordsOf(linesOf(listing).filter(line => line.startsWith(`${name}(`))[nth - 1] ?? '', directory)
  }
}

function linesOf(listing: string): string[] {
  return readFileSync(listing, 'utf8').split('\n')
}

/** Without descriptors, temporary names, lengths of what depends on the time, and what came of it. */
function wordsOf(line: string, directory: string): string {
  return line
    .replaceAll(directory, 'HOME')
    .replace(/\) += .*$|\)? +<unfinished \.\.\.>$/, '')
    .replace(/\b\d+</g, '<')
    .replace(/\.sigmesh-[0-9a-f]{12}\.tmp/g, '.sigmesh-*.tmp')
    .replace(/^(p?write(?:64)?\([^,]*),.*$/, '$1')
}
