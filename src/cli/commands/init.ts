import type { Command } from 'commander'
import { withExamples, withExitCodes } from '../help.ts'
import { printable } from '../printable.ts'

export function initCommand(program: Command): void {
  const command = program
    .command('init')
    .summary('make a new repository: keys, root of trust, origin.toml')
    .description(
      'Make a new repository: one Ed25519 key a role, the root of trust that nodes pin, and the configuration of an origin that serves it.',
    )
    .argument('<directory>', 'where; made when missing, refused when anything else is in it')
    .option('-c, --channel <name...>', 'channels to begin with; `publish --create-channel` adds more', [])
    .action(async (directory: string, { channel: channels }: { channel: string[] }) => {
      const { initRepository } = await import('../../publish/init.ts')
      const made = await initRepository(directory, { channels, now: Date.now() })
      process.stdout.write(printable(describeNext(made)).join('\n').concat('\n'))
    })
  withExamples(command, [
    ['sigmesh init /srv/sigmesh --channel clamav', 'with one channel'],
    ['sigmesh init ./repository -c clamav yara', 'with two'],
  ])
  withExitCodes(command, ['ok', 'failed', 'usage'])
}

/** What the operator does next, a line each. */
function describeNext({
  directory,
  rootFile,
  originFile,
}: {
  directory: string
  rootFile: string
  originFile: string
}): string[] {
  return [
    `made a repository in ${directory}`,
    `  keys    ${directory}/keys: whoever has them publishes in your name; back them up, and keep them off the nodes`,
    `  origin  sigmeshd origin --config ${originFile}`,
    `  root    ${rootFile}: what nodes trust; a join token names its hash`,
    `  nodes   sigmesh enroll --config ${originFile} --site NAME, and \`sigmesh join\` on each`,
  ]
}
