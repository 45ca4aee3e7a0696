import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import { second } from '../../core/units.ts'
import type { CycleResult } from '../../daemon/status.ts'
import { type ControlClient, controlClient } from '../control-client.ts'
import { exitCodes } from '../exit-codes.ts'
import { socketOf, withExamples, withExitCodes } from '../help.ts'
import { interruption } from '../interruption.ts'
import { printable } from '../printable.ts'
import { progressLine } from '../progress-line.ts'
import { activity } from '../status-view.ts'
import { paint, type Style, styleFor } from '../style.ts'

export function updateCommand(program: Command): void {
  const command = program
    .command('update')
    .summary('look for a new release now')
    .description(
      'Look for a new release now instead of at the next scheduled time, and wait until it is installed. Ctrl-C ends the waiting only.',
    )
    .argument('[channel]', 'one channel of the accept list; all of them when left out')
    .option('--retry', 'try again a release that failed here before')
    .action(async (channel: string | undefined, { retry }: { retry?: true }) => {
      const results = await updateAndShow(controlClient(socketOf(command)), channel, retry ?? false)
      const style = styleFor(process.stdout, process.env)
      for (const result of printable(results)) process.stdout.write(`${renderResult(result, style)}\n`)
      if (results.some(({ error }) => error !== null)) process.exitCode = exitCodes.failed
    })
  withExamples(command, [
    ['sigmesh update', 'every channel'],
    ['sigmesh update clamav', 'one channel'],
    ['sigmesh update clamav --retry', 'also a release that was rolled back, after its cause was mended'],
  ])
  withExitCodes(command)
}

/** Waits for the cycles; on a terminal their progress stands on stderr meanwhile. */
async function updateAndShow(
  client: ControlClient,
  channel: string | undefined,
  retry: boolean,
): Promise<CycleResult[]> {
  using interrupted = interruption()
  const over = new AbortController()
  const line = progressLine(process.stderr, styleFor(process.stderr, process.env))
  const showing = line.live ? showProgress(client, channel, text => line.show(text), over.signal) : undefined
  try {
    return await client.update(channel, interrupted.signal, retry)
  } finally {
    over.abort()
    await showing
    line.end()
  }
}

async function showProgress(
  client: ControlClient,
  channel: string | undefined,
  show: (text: string) => void,
  over: AbortSignal,
): Promise<void> {
  while (!over.aborted) {
    // Only decoration: that the daemon went away is for the update itself to say.
    const status = await client.status(over).catch(() => undefined)
    const active = status?.channels.find(each => each.activity !== 'idle' && (channel ?? each.channel) === each.channel)
    if (status && active && !over.aborted) show(printable(`${active.channel}: ${activity(active, status.now, true)}`))
    await delay(second / 2, undefined, { signal: over }).catch(() => {})
  }
}

/** One line a channel, and for a failure what to do. */
export function renderResult({ channel, outcome, sequence, error }: CycleResult, style: Style): string {
  const inPlace = sequence === 0 ? 'no release is installed' : `release ${sequence}`
  if (outcome === 'installed') return `${channel}\t${paint(style, 'good', 'installed')} ${inPlace}`
  const why = error ? `: ${error.message} [${error.code}]\n  ${error.advice}` : ''
  if (outcome === 'current' && error)
    return `${channel}\t${paint(style, 'bad', 'refuses')} the newest release; ${inPlace} stays${why}`
  if (outcome === 'current') return `${channel}\tis current: ${inPlace}`
  return `${channel}\t${paint(style, 'bad', 'failed')}; ${sequence === 0 ? inPlace : `${inPlace} stays`}${why}`
}
