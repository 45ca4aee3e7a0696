import { type Command, InvalidArgumentError, Option } from 'commander'
import type { HoldResult } from '../../daemon/status.ts'
import { controlClient } from '../control-client.ts'
import { socketOf, withExamples, withExitCodes } from '../help.ts'
import { instant } from '../phrases.ts'
import { printable } from '../printable.ts'
import { parseSpan } from './check.ts'

export function holdCommand(program: Command): void {
  const command = program
    .command('hold')
    .summary('install nothing new in a channel')
    .description(
      'Install nothing new in a channel until it is released, or until a time. What is in force stays, and is repaired when it is damaged; what is new is looked for and shown, and not fetched.',
    )
    .argument('<channel>', 'of the accept list')
    .addOption(
      new Option('-u, --until <time>', 'a time as 2026-12-01T08:00Z, or a span from now: 90min, 12h, 7d').argParser(
        text => parseUntil(text, Date.now()),
      ),
    )
    .addOption(new Option('-r, --release', 'end the hold').conflicts('until'))
    .action(async (channel: string, { until, release }: { until?: Date; release?: true }) => {
      const client = controlClient(socketOf(command))
      const result = await (release ? client.release(channel) : client.hold(channel, until ?? null))
      process.stdout.write(`${renderHold(printable(result))}\n`)
    })
  withExamples(command, [
    ['sigmesh hold clamav', 'until further notice'],
    ['sigmesh hold clamav --until 12h', 'over night'],
    ['sigmesh hold clamav --release', 'go on'],
  ])
  withExitCodes(command, ['ok', 'failed', 'usage', 'unreachable'])
}

export function renderHold({ channel, hold }: HoldResult): string {
  if (!hold) return `${channel}\tis not held: new releases are installed`
  return `${channel}\tis held ${hold.until === null ? 'until `sigmesh hold --release`' : `until ${instant(hold.until)}`}`
}

const instantPattern = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d))?$/

/** @param now Ms since 1970. @throws InvalidArgumentError when it is no time, or one that has passed. */
export function parseUntil(text: string, now: number): Date {
  const until = instantPattern.test(text) ? Date.parse(text) : now + parseSpan(text)
  if (Number.isNaN(until)) throw new InvalidArgumentError('There is no such day or hour.')
  if (until <= now) throw new InvalidArgumentError('That has passed already.')
  return new Date(until)
}
