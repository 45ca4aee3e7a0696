/**
 * A plugin for Nagios, Icinga, Zabbix and their kin. It always prints one line and ends with one of their codes.
 *
 * A daemon that does not answer is CRITICAL, not UNKNOWN: the machine gets no signatures, and many sites page for CRITICAL only. When
 * the plugin itself may not open the socket, nothing is known about the daemon: UNKNOWN.
 */
import { type Command, CommanderError, InvalidArgumentError } from 'commander'
import { ControlError, describeError } from '../../core/errors.ts'
import { day, hour, minute, second } from '../../core/units.ts'
import { judge, nagios, type Thresholds, type Verdict, verdict } from '../check-verdict.ts'
import { controlClient } from '../control-client.ts'
import { socketOf, withExamples } from '../help.ts'

export function checkCommand(program: Command): void {
  const command = program
    .command('check')
    .summary('a verdict for Nagios and its kin')
    .description(
      'Judge this node for a monitoring system: one line with performance data, and the exit code of a Nagios plugin.',
    )
    .option(
      '--warning-age <span>',
      'WARNING when no check has succeeded for this long: 90min, 2h, 1d, or seconds',
      parseSpan,
      2 * hour,
    )
    .option('--critical-age <span>', 'CRITICAL when no check has succeeded for this long', parseSpan, day)
    .exitOverride(error => {
      // Wrong words are UNKNOWN by the guidelines; 1 would read as WARNING.
      throw error.exitCode === 1 ? new CommanderError(nagios.UNKNOWN, error.code, error.message) : error
    })
    .action(async ({ warningAge, criticalAge }: { warningAge: number; criticalAge: number }) => {
      const { state, line } = await check(socketOf(command), { warningMs: warningAge, criticalMs: criticalAge })
      process.stdout.write(`${line}\n`)
      process.exitCode = nagios[state]
    })
  for (const option of command.options) option.defaultValueDescription = option.long === '--warning-age' ? '2h' : '1d'
  withExamples(command, [
    ['sigmesh check', 'with the usual thresholds'],
    ['sigmesh check --warning-age 45min --critical-age 4h', 'for a channel that changes often'],
  ])
  command.addHelpText(
    'after',
    `
Exit codes:
  ${nagios.OK}    OK        every channel is in order
  ${nagios.WARNING}    WARNING   the last cycle failed, nothing is installed yet, or the last success is older than --warning-age
  ${nagios.CRITICAL}    CRITICAL  the last success is older than --critical-age, signatures did not hold, or no daemon answers
  ${nagios.UNKNOWN}    UNKNOWN   wrong words, no permission for the socket, or a daemon of another version`,
  )
}

/** Never throws: a monitoring system reads the line, not a stack. */
async function check(socket: string, thresholds: Thresholds): Promise<Verdict> {
  try {
    return judge(await controlClient(socket).status(), thresholds)
  } catch (error) {
    const { code, message } = describeError(error)
    const down = error instanceof ControlError && error.code === 'daemon_unreachable' && error.facts.reason !== 'EACCES'
    return verdict(down ? 'CRITICAL' : 'UNKNOWN', `${message} [${code}]`)
  }
}

const unitsMs = { '': second, s: second, min: minute, m: minute, h: hour, d: day } as const

/** @returns Milliseconds. */
export function parseSpan(text: string): number {
  const match = /^(\d{1,9})(s|min|m|h|d|)$/.exec(text)
  if (!match) throw new InvalidArgumentError('expected a number with s, min, h or d, such as 90min')
  return Number(match[1]) * unitsMs[match[2] as keyof typeof unitsMs]
}
