/**
 * `sigmesh`: for people and scripts on a node, and for the operator who publishes. Each command is a file in commands/; what is
 * heavy (packing, signing, BitTorrent) loads only when its command runs, so that `status` answers at once.
 */
import type { Command } from 'commander'
import { announceUrlCommand } from './commands/announce-url.ts'
import { checkCommand } from './commands/check.ts'
import { clamdCommand } from './commands/clamd.ts'
import { doctorCommand } from './commands/doctor.ts'
import { enrollCommand } from './commands/enroll.ts'
import { historyCommand } from './commands/history.ts'
import { holdCommand } from './commands/hold.ts'
import { initCommand } from './commands/init.ts'
import { joinCommand } from './commands/join.ts'
import { keyCommand } from './commands/key.ts'
import { nodesCommand } from './commands/nodes.ts'
import { peersCommand } from './commands/peers.ts'
import { publishCommand } from './commands/publish.ts'
import { revokeCommand } from './commands/revoke.ts'
import { rollbackCommand } from './commands/rollback.ts'
import { rootCommand } from './commands/root.ts'
import { signCommand } from './commands/sign.ts'
import { statusCommand } from './commands/status.ts'
import { updateCommand } from './commands/update.ts'
import { programCommand, socketOption, withExamples, withExitCodes } from './help.ts'
import { run } from './main.ts'

export function sigmeshProgram(): Command {
  const program = programCommand(
    'sigmesh',
    'Look after the signature updates of this machine, and publish them.',
  ).addOption(socketOption())
  program.commandsGroup('On each node:')
  for (const command of [
    statusCommand,
    checkCommand,
    doctorCommand,
    peersCommand,
    historyCommand,
    updateCommand,
    rollbackCommand,
    holdCommand,
    announceUrlCommand,
    joinCommand,
    clamdCommand,
  ])
    command(program)
  program.commandsGroup('For the operator:')
  for (const command of [initCommand, publishCommand, enrollCommand, nodesCommand, revokeCommand]) command(program)
  program.commandsGroup('For the owners of keys:')
  for (const command of [keyCommand, rootCommand, signCommand]) command(program)
  withExamples(program, [
    ['sigmesh status', 'what is installed, what happens now, what failed'],
    ['sigmesh update clamav', 'look for a new release now'],
    ['sigmesh publish clamav /srv/signatures', 'send a directory to every machine'],
  ])
  return withExitCodes(program)
}

export function runSigmesh(): Promise<void> {
  return run(sigmeshProgram())
}
