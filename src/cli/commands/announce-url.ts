import type { Command } from 'commander'
import { controlClient } from '../control-client.ts'
import { socketOf, withExamples, withExitCodes } from '../help.ts'
import { interruption } from '../interruption.ts'
import { printable, printableJson } from '../printable.ts'

export function announceUrlCommand(program: Command): void {
  const command = program
    .command('announce-url')
    .summary('let an ordinary BitTorrent client beside this node join')
    .description(
      'Print what an ordinary BitTorrent client needs to fetch the newest release of a channel from the neighbours: the URL of the torrent, and the one to announce to. The second lets in whoever has it, as a peer of this site, for this one artifact and for a day, or until this node is revoked.',
    )
    .argument('<channel>', 'of the accept list')
    .option('--json', 'print the answer of the daemon as JSON')
    .action(async (channel: string, { json }: { json?: true }) => {
      using interrupted = interruption()
      const link = await controlClient(socketOf(command)).announceUrl(channel, interrupted.signal)
      const { torrent, announce } = printable(link)
      process.stdout.write(json ? `${printableJson(link, 2)}\n` : `torrent   ${torrent}\nannounce  ${announce}\n`)
    })
  withExamples(command, [['sigmesh announce-url clamav', 'for the newest release of clamav']])
  withExitCodes(command)
}
