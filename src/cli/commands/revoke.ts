import type { Command } from 'commander'
import { withExamples, withExitCodes } from '../help.ts'
import { originFileOption, originOf } from '../origin-file.ts'
import { printable } from '../printable.ts'

export function revokeCommand(program: Command): void {
  const command = program
    .command('revoke')
    .summary('let a node fetch nothing more')
    .description(
      'Revoke a node, on the machine of the origin. A running origin refuses it from the next request on, and cuts off what it is sending to it. Its name is free then; its key never is.',
    )
    .argument('<node>', 'its name, as `sigmesh nodes` shows it')
    .addOption(originFileOption())
    .action(async (node: string) => {
      const { NodeRegistry } = await import('../../origin/node-registry.ts')
      const registry = new NodeRegistry((await originOf(command)).state_dir)
      try {
        registry.revoke(node, Date.now())
      } finally {
        await registry.stop()
      }
      process.stdout.write(`${printable(node)} is revoked\n`)
    })
  withExamples(command, [['sigmesh revoke pc-7', 'it was stolen, or goes out of service']])
  withExitCodes(command, ['ok', 'failed', 'usage'])
}
