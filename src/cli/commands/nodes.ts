import type { Command } from 'commander'
import type { ListedNode } from '../../origin/node-list.ts'
import { withExamples, withExitCodes } from '../help.ts'
import { originFileOption, originOf } from '../origin-file.ts'
import { instant } from '../phrases.ts'
import { printable, printableJson } from '../printable.ts'
import { paint, type Style, styleFor } from '../style.ts'
import { renderTable } from '../table.ts'

interface NodesFlags {
  readonly json?: true
  readonly all?: true
}

export function nodesCommand(program: Command): void {
  const command = program
    .command('nodes')
    .summary('who has joined, and when it was heard of last')
    .description('List the nodes of the origin on this machine, whether it runs or not.')
    .addOption(originFileOption())
    .option('--all', 'those that were revoked, too')
    .option('--json', 'print them as JSON')
    .action(async ({ json, all }: NodesFlags) => {
      const { listNodes } = await import('../../origin/node-list.ts')
      const nodes = await listNodes((await originOf(command)).state_dir, all === true)
      const text = json ? printableJson(nodes, 2) : renderNodes(nodes, styleFor(process.stdout, process.env))
      process.stdout.write(`${text}\n`)
    })
  withExamples(command, [
    ['sigmesh nodes', 'the living'],
    ['sigmesh nodes --all --json', 'everything, for a script'],
  ])
  withExitCodes(command, ['ok', 'failed', 'usage'])
}

export function renderNodes(nodes: readonly ListedNode[], style: Style): string {
  if (nodes.length === 0 && style.interactive) return 'nobody has joined; `sigmesh enroll` gives a join token'
  return renderTable(
    style,
    [
      { title: 'NODE', wraps: true },
      { title: 'SITE' },
      { title: 'SINCE' },
      { title: 'LAST REPORT' },
      { title: 'VERSION' },
      { title: 'STATE' },
    ],
    printable(nodes).map(({ node, site, since, lastReport, version, revoked }) => [
      node,
      site,
      instant(since),
      lastReport ? instant(lastReport) : 'none',
      version ?? '-',
      revoked ? paint(style, 'bad', `revoked ${instant(revoked)}`) : 'joined',
    ]),
  )
}
