import { type Command, InvalidArgumentError, Option } from 'commander'
import { siteName } from '../../core/schema.ts'
import { day } from '../../core/units.ts'
import { withExamples, withExitCodes } from '../help.ts'
import { originFileOption, originOf } from '../origin-file.ts'
import { parseSpan } from './check.ts'

interface EnrollFlags {
  readonly site: string
  readonly uses: number
  readonly expires: number
  readonly url?: string
  readonly pin?: boolean
}

const mostUses = 100_000

export function enrollCommand(program: Command): void {
  const command = program
    .command('enroll')
    .summary('a join token for the machines of a site')
    .description(
      'Print a join token, on the machine of the origin. Whoever has it may join: give it to nobody but the machines that shall. A running origin takes it at once.',
    )
    .addOption(originFileOption())
    .requiredOption(
      '-s, --site <name>',
      'the site that machines join with it; `auto` tells sites apart by network',
      parseSite,
    )
    .option('-n, --uses <count>', 'how many machines may join with it', parseUses, 1)
    .addOption(
      new Option('-e, --expires <span>', 'for how long: 90min, 12h, 7d').argParser(parseSpan).default(day, '1d'),
    )
    .option('--url <url>', 'how these machines reach the origin, other than `url` of origin.toml')
    .option('--pin', 'let nodes take this certificate only; the default where it is signed by itself')
    .option('--no-pin', 'let nodes take any certificate that their authorities vouch for')
    .action(async ({ site, uses, expires, url, pin }: EnrollFlags) => {
      const { enroll } = await import('../../origin/enroll.ts')
      const now = Date.now()
      const token = await enroll(await originOf(command), { site, uses, expires: now + expires, url, pin }, now)
      process.stdout.write(`${token}\n`)
    })
  withExamples(command, [
    ['sigmesh enroll --site berlin', 'for one machine, today'],
    ['sigmesh enroll --site berlin --uses 200 --expires 7d', 'for a branch, this week'],
  ])
  withExitCodes(command, ['ok', 'failed', 'usage'])
}

function parseSite(text: string): string {
  const parsed = siteName.safeParse(text)
  if (!parsed.success) throw new InvalidArgumentError(parsed.error.issues[0]!.message)
  return parsed.data
}

function parseUses(text: string): number {
  const uses = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (uses < 1 || uses > mostUses) throw new InvalidArgumentError(`expected 1 to ${mostUses}`)
  return uses
}
