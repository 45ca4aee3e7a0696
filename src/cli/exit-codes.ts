/**
 * How a command of sigmesh ends, for scripts. The one list: `--help` prints it, the tests walk through it, and the unit files name
 * `usage` as the end that a restart cannot mend.
 *
 * `sigmesh check` is the exception, since Nagios has its own codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
 */
import { ConfigError, ControlError, InstallError } from '../core/errors.ts'

export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  unreachable: 3,
  absent: 75,
  interrupted: 130,
} as const

export const exitMeanings: Readonly<Record<keyof typeof exitCodes, string>> = {
  ok: 'done',
  failed: 'failed; the message and its [code] tell why',
  usage: 'wrong words on the command line, or a configuration that is not allowed',
  unreachable: 'no daemon answers on the control socket',
  absent: 'the consumer does not run: there is nobody to reload',
  interrupted: 'interrupted by Ctrl-C or SIGTERM',
}

/** A command that was stopped by a signal while it still had work to do. */
export class Interrupted extends Error {
  constructor() {
    super('interrupted')
  }
}

export function exitCodeFor(error: unknown): number {
  if (error instanceof Interrupted) return exitCodes.interrupted
  if (error instanceof ConfigError) return exitCodes.usage
  if (error instanceof ControlError && error.code === 'daemon_unreachable') return exitCodes.unreachable
  if (error instanceof InstallError && error.code === 'clamd_absent') return exitCodes.absent
  return exitCodes.failed
}
