import type { Command } from 'commander'
import { controlClient } from '../control-client.ts'
import { exitCodes } from '../exit-codes.ts'
import { socketOf, withExamples, withExitCodes } from '../help.ts'
import { interruption } from '../interruption.ts'
import { printable } from '../printable.ts'
import { styleFor } from '../style.ts'
import { renderResult } from './update.ts'

export function rollbackCommand(program: Command): void {
  const command = program
    .command('rollback')
    .summary('put the release before in force again')
    .description(
      'Put the release before in force again, reload, and wait until it works. The one that was in force is not tried again before something newer comes, or `sigmesh update --retry`; to keep that out too, `sigmesh hold`. Ctrl-C ends the waiting only.',
    )
    .argument('<channel>', 'of the accept list')
    .action(async (channel: string) => {
      using interrupted = interruption()
      const result = await controlClient(socketOf(command)).rollBack(channel, interrupted.signal)
      process.stdout.write(`${renderResult(printable(result), styleFor(process.stdout, process.env))}\n`)
      if (result.error) process.exitCode = exitCodes.failed
    })
  withExamples(command, [['sigmesh rollback clamav', 'back to the release before']])
  withExitCodes(command)
}
