/** The reload command of node.toml: what it is told, and how its failure is told. */
import { InstallError } from '../core/errors.ts'
import { type Command, runCommand } from './command.ts'
import type { RecordedRelease } from './install-record.ts'
import type { ReleaseRoot } from './release-root.ts'

export interface ReloadSubject {
  readonly channel: string
  readonly installed: RecordedRelease
  readonly previous: RecordedRelease | null
}

/** Of the command's output, in a message; reports are bounded at 1,000 characters. */
const shownOutput = 500
const shownCommand = 200

/**
 * Tell the consumer that there is something new.
 *
 *   SIGMESH_CHANNEL    clamav
 *   SIGMESH_SEQUENCE   42
 *   SIGMESH_CONTENT    SHA-256 of the content index
 *   SIGMESH_CURRENT    the link, <path>/current
 *   SIGMESH_PATH       what it points at, <path>/releases/42-…
 *   SIGMESH_PREVIOUS   <path>/releases/41-…, or empty
 *
 * @throws InstallError `reload_failed` with the end of the output. An aborted `signal` rejects with its reason.
 */
export async function reload(
  command: Command,
  root: ReleaseRoot,
  subject: ReloadSubject,
  signal: AbortSignal,
): Promise<void> {
  const { channel, installed, previous } = subject
  const environment = {
    SIGMESH_CHANNEL: channel,
    SIGMESH_SEQUENCE: String(installed.sequence),
    SIGMESH_CONTENT: installed.content,
    SIGMESH_CURRENT: root.current,
    SIGMESH_PATH: root.releasePath(installed.directory),
    SIGMESH_PREVIOUS: previous ? root.releasePath(previous.directory) : '',
  }
  const { ok, ending, output } = await runCommand(command, environment, signal)
  if (ok) return
  const shown = JSON.stringify(command.argv).slice(0, shownCommand)
  const words = printable(output).slice(-shownOutput)
  throw new InstallError(
    'reload_failed',
    `release ${installed.sequence} is in place, but its reload command ${shown} ended with ${ending}${words ? `: ${words}` : ''}`,
    { channel, sequence: installed.sequence, ending },
  )
}

/** One line, without what could move a terminal's cursor. */
function printable(output: string): string {
  return output.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ').trim()
}
