/**
 * The program that uses the releases, as node.toml describes it: three commands, and what each is told.
 *
 *   test     before the switch, in the directory of the new content, with little memory and, when we are root, as somebody else
 *   reload   after the switch: "there is something new"
 *   health   after that, again and again until it succeeds or its time is over: "do you work with it?"
 *
 *   SIGMESH_CHANNEL    {channel}    clamav
 *   SIGMESH_SEQUENCE   {sequence}   42
 *   SIGMESH_CONTENT    {content}    SHA-256 of the content index
 *   SIGMESH_CURRENT    {current}    where consumers look: the link <path>/current, or the directory of `files`
 *   SIGMESH_PATH       {path}       the content of this release alone; for `test` it is `.`, where the command is started
 *   SIGMESH_PREVIOUS   {previous}   that of the release before, or empty
 *
 * Exit status 75 (EX_TEMPFAIL) of `test` says that this machine failed, and not the content; of `reload`, that the consumer does not run, so
 * that there is nobody whom the release could have harmed.
 *
 * The words in braces are replaced in the arguments, so that programs which know nothing of our environment can be used without a
 * shell. All of them are numbers, hex digits, and paths of node.toml: nothing in them is a publisher's word.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { InstallError } from '../core/errors.ts'
import { MiB, second } from '../core/units.ts'
import { findAccount, isRoot } from './account.ts'
import { type Command, type CommandResult, runCommand } from './command.ts'
import type { RecordedRelease } from './install-record.ts'

/** The commands of a channel, in the words of node.toml. */
export interface ConsumerConfig {
  readonly test?: readonly string[] | undefined
  readonly test_timeout_s?: number | undefined
  readonly test_memory_mib?: number | undefined
  /** Whom `test` runs as when the daemon is root. */
  readonly test_user?: string | undefined
  readonly reload?: readonly string[] | undefined
  readonly reload_timeout_s?: number | undefined
  readonly health?: readonly string[] | undefined
  /** From the first try to the end of the last. */
  readonly health_timeout_s?: number | undefined
}

export const consumerDefaults = {
  test_timeout_s: 300,
  test_memory_mib: 4096,
  test_user: 'nobody',
  reload_timeout_s: 60,
  health_timeout_s: 60,
} as const

export interface Subject {
  readonly channel: string
  readonly release: Pick<RecordedRelease, 'sequence' | 'content'>
  readonly path: string
  readonly current: string
  readonly previous: string | undefined
}

/** Between two tries of `health`. */
const healthPauseMs = second / 2
/** Of the command's output, in a message; reports are bounded at 1,000 characters. */
const shownOutput = 400
const shownCommand = 200

/**
 * Try the content before anybody sees it.
 *
 * @param directory The content. The command is started in it, and need not be able to reach it by name.
 * @throws InstallError `install_test_failed` (fact `verdict`: false when the machine failed rather than the content: the command could not
 *   be started, took too long, or was killed); `install_failed` when there is no such user. An aborted `signal` rejects with its reason.
 */
export async function runTest(config: ConsumerConfig, directory: string, about: Subject, signal: AbortSignal) {
  if (!config.test) return
  const {
    test_timeout_s = consumerDefaults.test_timeout_s,
    test_memory_mib = consumerDefaults.test_memory_mib,
    test_user = consumerDefaults.test_user,
  } = config
  const subject = { ...about, path: '.' }
  const command: Command = {
    argv: fillIn(config.test, subject),
    timeoutMs: test_timeout_s * second,
    memoryBytes: test_memory_mib * MiB,
    leavesNothing: true,
    directory,
    account: isRoot() ? await findAccount(test_user, signal) : undefined,
  }
  const result = await runCommand(command, environmentOf(subject), signal)
  if (result.ok) return
  // 126 and 127: what a shell says of a program that it may not run, or did not find.
  const verdict = result.exited && !/ (?:75|12[67])$/.test(result.ending)
  const { sequence } = about.release
  throw new InstallError(
    'install_test_failed',
    `release ${sequence} was not put in force: its test ${describe(command, result)}`,
    { channel: about.channel, sequence, ending: result.ending, verdict },
  )
}

/** @throws InstallError `reload_failed` with the end of the output (fact `absent`: the consumer does not run). An aborted `signal` rejects with its reason. */
export async function runReload(config: ConsumerConfig, about: Subject, signal: AbortSignal): Promise<void> {
  if (!config.reload) return
  const { reload_timeout_s = consumerDefaults.reload_timeout_s } = config
  const command = { argv: fillIn(config.reload, about), timeoutMs: reload_timeout_s * second }
  const result = await runCommand(command, environmentOf(about), signal)
  if (!result.ok) throw inPlaceBut('reload_failed', 'reload', about, command, result)
}

/** @throws InstallError `health_failed` with the output of the last try. An aborted `signal` rejects with its reason. */
export async function runHealth(config: ConsumerConfig, about: Subject, signal: AbortSignal): Promise<void> {
  if (!config.health) return
  const { health_timeout_s = consumerDefaults.health_timeout_s } = config
  const deadline = performance.now() + health_timeout_s * second
  let told: CommandResult | undefined
  for (;;) {
    const command = { argv: fillIn(config.health, about), timeoutMs: Math.max(1, deadline - performance.now()) }
    const result = await runCommand(command, environmentOf(about), signal)
    if (result.ok) return
    // The last try is cut off by the deadline; what one before it said is worth more.
    if (result.exited || !told) told = result
    const left = deadline - performance.now()
    if (left <= 0) throw inPlaceBut('health_failed', 'health', about, command, told)
    await pause(Math.min(healthPauseMs, left), signal)
  }
}

function inPlaceBut(
  code: 'reload_failed' | 'health_failed',
  name: string,
  { channel, release: { sequence } }: Subject,
  command: Command,
  result: CommandResult,
): InstallError {
  const message = `release ${sequence} is in place, but its ${name} command ${describe(command, result)}`
  const absent = code === 'reload_failed' && result.ending === 'exit status 75'
  return new InstallError(code, message, { channel, sequence, ending: result.ending, absent })
}

function describe({ argv }: Command, { ending, output }: CommandResult): string {
  const words = printable(output).slice(-shownOutput)
  return `${JSON.stringify(argv).slice(0, shownCommand)} ended with ${ending}${words ? `: ${words}` : ''}`
}

function values({ channel, release, path, current, previous }: Subject): Readonly<Record<string, string>> {
  const { sequence, content } = release
  return { channel, sequence: String(sequence), content, current, path, previous: previous ?? '' }
}

function environmentOf(about: Subject): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values(about)).map(([name, value]) => [`SIGMESH_${name.toUpperCase()}`, value]),
  )
}

function fillIn(argv: readonly string[], about: Subject): string[] {
  const known = new Map(Object.entries(values(about)))
  return argv.map(word => word.replace(/\{([a-z]+)\}/g, (braced, name) => known.get(name) ?? braced))
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {})
  signal.throwIfAborted()
}

/** One line, without what could move a terminal's cursor. */
function printable(output: string): string {
  return output.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ').trim()
}
