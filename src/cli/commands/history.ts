import type { Command } from 'commander'
import { InvalidArgumentError } from 'commander'
import { formatBytes, formatSpan } from '../../core/units.ts'
import { mostHistoryEntries } from '../../daemon/control-protocol.ts'
import type { HistoryEntry } from '../../daemon/status.ts'
import { controlClient } from '../control-client.ts'
import { socketOf, withExamples, withExitCodes } from '../help.ts'
import { instant, release } from '../phrases.ts'
import { printable, printableJson } from '../printable.ts'
import { paint, type Style, styleFor } from '../style.ts'
import { renderTable } from '../table.ts'

export function historyCommand(program: Command): void {
  const command = program
    .command('history')
    .summary('what was installed, and what failed')
    .description('Show the cycles of this node that installed something or failed, the newest last.')
    .option('--json', 'print the answer of the daemon as JSON')
    .option('-n, --limit <count>', `at most so many, 1 to ${mostHistoryEntries}`, parseLimit, 20)
    .action(async ({ json, limit }: { json?: true; limit: number }) => {
      const entries = await controlClient(socketOf(command)).history(limit)
      process.stdout.write(
        `${json ? printableJson(entries, 2) : renderHistory(entries, styleFor(process.stdout, process.env))}\n`,
      )
    })
  withExamples(command, [
    ['sigmesh history', 'the last 20'],
    ['sigmesh history -n 500 | grep failed', 'what has failed'],
  ])
  withExitCodes(command, ['ok', 'failed', 'usage', 'unreachable'])
}

export function renderHistory(entries: readonly HistoryEntry[], style: Style): string {
  if (entries.length === 0 && style.interactive) return 'nothing was installed yet, and nothing has failed'
  return renderTable(
    style,
    [
      { title: 'WHEN' },
      { title: 'CHANNEL' },
      { title: 'OUTCOME' },
      { title: 'TOOK', align: 'right' },
      { title: 'WAN', align: 'right' },
      { title: 'LAN IN', align: 'right' },
      { title: 'IN PLACE, AND WHY IT FAILED', wraps: true },
    ],
    printable(entries).map(entry => [
      instant(entry.at),
      entry.channel,
      paint(style, entry.outcome === 'failed' ? 'bad' : 'good', entry.outcome),
      formatSpan(entry.durationMs),
      formatBytes(entry.bytes.wan),
      formatBytes(entry.bytes.lanIn),
      describeEnd(entry),
    ]),
  )
}

function describeEnd(entry: HistoryEntry): string {
  const inPlace = entry.sequence === 0 ? 'no release' : release(entry)
  return entry.error ? `${inPlace}; ${entry.error.message} [${entry.error.code}]` : inPlace
}

function parseLimit(text: string): number {
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (limit < 1 || limit > mostHistoryEntries) throw new InvalidArgumentError(`expected 1 to ${mostHistoryEntries}`)
  return limit
}
