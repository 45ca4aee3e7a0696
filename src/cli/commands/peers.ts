import type { Command } from 'commander'
import { formatBytes } from '../../core/units.ts'
import type { PeerList } from '../../daemon/status.ts'
import { controlClient } from '../control-client.ts'
import { socketOf, withExamples, withExitCodes } from '../help.ts'
import { percent } from '../phrases.ts'
import { printable, printableJson } from '../printable.ts'
import { type Style, styleFor } from '../style.ts'
import { renderTable } from '../table.ts'

export function peersCommand(program: Command): void {
  const command = program
    .command('peers')
    .summary('the neighbours this node is connected to')
    .description(
      'Show the neighbours this node is connected to: how much of each artifact they have, and the bytes each way.',
    )
    .option('--json', 'print the answer of the daemon as JSON')
    .action(async ({ json }: { json?: true }) => {
      const peers = await controlClient(socketOf(command)).peers()
      process.stdout.write(
        `${json ? printableJson(peers, 2) : renderPeers(peers, styleFor(process.stdout, process.env))}\n`,
      )
    })
  withExamples(command, [
    ['sigmesh peers', 'who is there'],
    ['sigmesh peers | cut -f3 | sort | uniq -c', 'connections by address'],
  ])
  withExitCodes(command, ['ok', 'failed', 'usage', 'unreachable'])
}

export function renderPeers(peers: PeerList, style: Style): string {
  if (peers.length === 0 && style.interactive) return 'no peers'
  return renderTable(
    style,
    [
      { title: 'CHANNEL' },
      { title: 'ARTIFACT' },
      { title: 'ADDRESS' },
      { title: 'CLIENT', wraps: true },
      { title: 'DIALLED' },
      { title: 'HAS', align: 'right' },
      { title: 'IN', align: 'right' },
      { title: 'OUT', align: 'right' },
    ],
    printable(peers).map(peer => [
      peer.channel,
      peer.artifact.slice(0, 12),
      peer.address,
      peer.client,
      peer.direction === 'out' ? 'by us' : 'by them',
      percent(peer.pieces, peer.piecesTotal),
      formatBytes(peer.bytesIn),
      formatBytes(peer.bytesOut),
    ]),
  )
}
