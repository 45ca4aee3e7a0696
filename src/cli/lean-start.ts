/**
 * Where `sigmeshd` begins. A daemon is idle for months, so what a busy minute took has to go back to the system; that is decided by settings
 * which count from the start of a process only. So the daemon replaces itself, once, by the same program with these settings: same process,
 * same id, same descriptors, and nothing for whoever starts it to know. Figures: docs/decisions/0032-idle-memory.md.
 */
import { accessSync, constants } from 'node:fs'
import { KiB } from '../core/units.ts'

/** Node's, for a node, which is on every desk. */
export const leanFlags: readonly string[] = [
  // The young generation of V8 grows to three times 16 MiB while pieces arrive, and stays so.
  '--max-semi-space-size=1',
  // Without V8's optimising compilers: a transfer is over before they have paid for themselves, and 8 MB of the compilers' own code
  // would stay in memory.
  '--no-opt',
  '--no-maglev',
]
/** And for an origin, which has a busy day on a machine of its own: it keeps the compilers, and garbage of a few answers more. */
const originFlags: readonly string[] = ['--max-semi-space-size=4']

/**
 * Of glibc: one heap instead of one for each thread, memory of its own for each buffer above what a socket is read into, so that it
 * goes back when the buffer is freed, and the end of the heap is given back too. Setting a threshold also keeps glibc from raising it by
 * itself. Other libraries take no notice.
 */
export const leanEnvironment = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: String(128 * KiB),
  MALLOC_TRIM_THRESHOLD_: String(128 * KiB),
}
/** An origin sends artifacts in blocks of 128 KiB: memory of its own for each would cost more than the sending. */
const originEnvironment = { ...leanEnvironment, MALLOC_MMAP_THRESHOLD_: String(256 * KiB) }

interface Settings {
  readonly flags: readonly string[]
  readonly environment: Readonly<Record<string, string>>
}

const settingsOf: ReadonlyMap<string | undefined, Settings> = new Map([
  ['node', { flags: leanFlags, environment: leanEnvironment }],
  ['origin', { flags: originFlags, environment: originEnvironment }],
])

/** Run `sigmeshd` with this process's arguments. */
export async function startSigmeshd(): Promise<void> {
  const settings = settingsOf.get(process.argv[2])
  if (settings) becomeLean(settings)
  const { runSigmeshd } = await import('./sigmeshd.ts')
  await runSigmeshd()
}

/** Does not return, unless this process is lean already, or cannot become so. Each setting that somebody else has made stays, unless it stands in NODE_OPTIONS. */
function becomeLean({ flags, environment }: Settings): void {
  const { execve, execArgv, execPath, argv, env } = process
  // Absent on Windows. A failure would end the process, so what can be known before is looked at.
  if (!execve || flags.every(flag => execArgv.includes(flag)) || !mayRun(execPath)) return
  execve(execPath, [execPath, ...flags, ...execArgv, ...argv.slice(1)], { ...environment, ...env })
}

function mayRun(program: string): boolean {
  try {
    accessSync(program, constants.X_OK)
    return true
  } catch {
    return false // replaced by an upgrade this very moment
  }
}
