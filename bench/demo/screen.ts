/** What the demo shows: a block that is redrawn while nodes fetch (a line now and then where there is no terminal), then a table. */

import { bar, percent } from '../../src/cli/phrases.ts'
import { styleFor } from '../../src/cli/style.ts'
import { renderTable } from '../../src/cli/table.ts'
import { formatBytes, formatSpan, second } from '../../src/core/units.ts'
import type { ChannelStatus } from '../../src/daemon/status.ts'
import type { WanLink } from '../wan-link.ts'
import type { DemoNode, NodeOutcome } from './nodes.ts'

const style = styleFor(process.stdout, process.env)

/** Show the nodes' progress until `stop` is called, and tell who held a seat. */
export function watch(nodes: readonly DemoNode[], link: Pick<WanLink, 'bytesDown'>) {
  const seats = new Set<string>()
  const begun = link.bytesDown
  let drawn = 0
  let stopped = false
  const show = async () => {
    while (!stopped) {
      const states = await Promise.all(nodes.map(node => node.status().catch(() => undefined)))
      for (const [at, state] of states.entries()) if (state?.seat) seats.add(nodes[at]!.name)
      if (!stopped) draw(states)
      await new Promise(resolve => setTimeout(resolve, style.interactive ? 300 : 2 * second))
    }
  }
  const draw = (states: readonly (ChannelStatus | undefined)[]) => {
    const wan = `line: ${formatBytes(link.bytesDown - begun)} down`
    if (!style.interactive) {
      const have = states.map(state => (state ? progressOf(state).label : '?'))
      console.log(`${wan}; nodes: ${have.join(' ')}`)
      return
    }
    const lines = states.map((state, at) => {
      const { fraction, label } = state ? progressOf(state) : { fraction: 0, label: '?' }
      return `${nodes[at]!.name.padEnd(8)} ${bar(fraction, 30)} ${label.padEnd(12)} ${state?.seat ? 'seat' : ''}`
    })
    process.stdout.write(
      `${drawn > 0 ? `\x1b[${drawn}A` : ''}${[...lines, wan].map(line => `\x1b[2K${line}\n`).join('')}`,
    )
    drawn = lines.length + 1
  }
  const shown = show()
  return {
    seats: seats as ReadonlySet<string>,
    async stop() {
      stopped = true
      await shown
    },
  }
}

function progressOf({ activity, progress, installed }: ChannelStatus): { fraction: number; label: string } {
  if (progress) {
    const { bytesHave, bytesTotal } = progress
    return { fraction: bytesHave / bytesTotal, label: percent(bytesHave, bytesTotal) }
  }
  return { fraction: activity === 'idle' && installed ? 1 : 0, label: activity }
}

export interface LineOutcome {
  readonly payload: number
  /** Everything that came down the line: headers, metadata and artifact bytes. */
  readonly wanBytes: number
  readonly seconds: number
  readonly wanMbit: number
  /** Names of the nodes that held a seat. */
  readonly seats: ReadonlySet<string>
}

export function printOutcome(outcomes: readonly NodeOutcome[], line: LineOutcome): void {
  const columns = [
    { title: 'node' },
    { title: 'seat' },
    { title: 'over WAN', align: 'right' },
    { title: 'from LAN', align: 'right' },
    { title: 'to LAN', align: 'right' },
    { title: 'time', align: 'right' },
    { title: 'installed' },
  ] as const
  const rows = outcomes.map(({ name, bytes, seconds, installed }) => [
    name,
    line.seats.has(name) || bytes.wan > 0 ? 'yes' : 'no',
    formatBytes(bytes.wan),
    formatBytes(bytes.lanIn),
    formatBytes(bytes.lanOut),
    `${seconds.toFixed(1)} s`,
    installed ? `release ${installed.sequence}` : 'nothing',
  ])
  console.log(renderTable(style, columns, rows))
  const { payload, wanBytes, seconds, wanMbit } = line
  const lineMs = (bytes: number) => ((bytes * 8) / (wanMbit * 1e6)) * second
  const direct = payload * outcomes.length
  console.log(
    `the site's line: ${formatBytes(wanBytes)} for a payload of ${formatBytes(payload)}: WAN bytes / payload = ${(wanBytes / payload).toFixed(3)}, ` +
      `${seconds.toFixed(1)} s (the line alone needs ${formatSpan(lineMs(payload))})`,
  )
  console.log(
    `${outcomes.length} direct downloads: ${formatBytes(direct)} = ${outcomes.length}.000 payloads, ${formatSpan(lineMs(direct))} at best`,
  )
}
