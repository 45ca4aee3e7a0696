import type { Command } from 'commander'
import { withExamples, withExitCodes } from '../help.ts'
import { interruption } from '../interruption.ts'
import { printableLines } from '../printable.ts'

const socketHelp = 'the unix socket of clamd: LocalSocket of clamd.conf'

/** What the profile `clamav` of node.toml runs as `reload` and `health`; anybody else may, too. */
export function clamdCommand(program: Command): void {
  const clamd = program
    .command('clamd')
    .summary('reload clamd, and see that it works with a release')
    .description(
      'Ask clamd to load its databases again, and see whether it works with a release, by the canary of that release. For the commands `reload` and `health` of node.toml, and by hand.',
    )
    .helpCommand(false)
  clamd
    .command('reload')
    .summary('have clamd load its databases again')
    .description('Have clamd load its databases again. It does so while it goes on scanning with the old ones.')
    .argument('<socket>', socketHelp)
    .action(async (socket: string) => {
      const { reloadClamd } = await import('../../install/clamd.ts')
      using interrupted = interruption()
      await reloadClamd(socket, interrupted.signal)
    })
  clamd
    .command('canary')
    .summary('wait until clamd works with a release')
    .description('Wait until clamd finds the canary of a release, as `sigmesh publish --canary` added it.')
    .argument('<socket>', socketHelp)
    .argument('<release>', 'the directory of the release')
    .argument('[previous]', 'that of the release before, whose canary proves nothing')
    .action(async (socket: string, release: string, previous: string | undefined) => {
      const { awaitCanary } = await import('../../install/clamd.ts')
      using interrupted = interruption()
      let said = ''
      const note = (text: string) => {
        if (text !== said) process.stdout.write(`${printableLines(text)}\n`)
        said = text
      }
      await awaitCanary(socket, release, previous || undefined, note, interrupted.signal)
    })
  withExamples(clamd, [
    ['sigmesh clamd reload /run/clamav/clamd.ctl', 'it answers at once, and loads behind that'],
    ['sigmesh clamd canary /run/clamav/clamd.ctl /var/lib/sigmesh/clamav/current', 'waits'],
  ])
  withExitCodes(clamd, ['ok', 'failed', 'usage', 'absent', 'interrupted'])
}
