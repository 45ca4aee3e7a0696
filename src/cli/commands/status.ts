import type { Command } from 'commander'
import { ControlError } from '../../core/errors.ts'
import { second } from '../../core/units.ts'
import type { NodeStatus } from '../../daemon/status.ts'
import { type ControlClient, controlClient } from '../control-client.ts'
import { socketOf, withExamples, withExitCodes } from '../help.ts'
import { interruption } from '../interruption.ts'
import { printableJson } from '../printable.ts'
import { renderStatus } from '../status-view.ts'
import { type Style, styleFor } from '../style.ts'

export function statusCommand(program: Command): void {
  const command = program
    .command('status')
    .summary('what this node has and does, and why it failed')
    .description(
      'Show what this node has and does: per channel the release in place, the newest one, progress, the last failure and what to do about it, bytes by source, seat and peers.',
    )
    .option('--json', 'print the answer of the daemon as JSON; with --watch one line each second')
    .option('-w, --watch', 'show it again every second until Ctrl-C, which ends with 0')
    .action(async ({ json, watch }: { json?: true; watch?: true }) => {
      const client = controlClient(socketOf(command))
      const style = styleFor(process.stdout, process.env)
      if (watch)
        return watchStatus(client, style, status => (json ? printableJson(status) : renderStatus(status, style)))
      const status = await client.status()
      process.stdout.write(`${json ? printableJson(status, 2) : renderStatus(status, style)}\n`)
    })
  withExamples(command, [
    ['sigmesh status', 'the whole answer, once'],
    ['sigmesh status --watch', 'a live view'],
    ["sigmesh status --json | jq '.channels[].failure'", 'for scripts'],
  ])
  withExitCodes(command, ['ok', 'failed', 'usage', 'unreachable'])
}

/** A daemon that never answered is an error; one that is restarted meanwhile is part of the picture. */
async function watchStatus(client: ControlClient, style: Style, render: (status: NodeStatus) => string): Promise<void> {
  using interrupted = interruption()
  const { signal } = interrupted
  let text = render(await client.status(signal))
  while (!signal.aborted) {
    process.stdout.write(style.interactive ? redrawn(text, style) : `${text}\n`)
    await interrupted.sleep(second)
    if (signal.aborted) break
    text = await client.status(signal).then(render, error => {
      if (signal.aborted) return ''
      if (error instanceof ControlError) return `${error.message} [${error.code}]`
      throw error
    })
  }
  if (style.interactive) process.stdout.write('\n')
}

/** From the top left corner over what was there, and never longer than the screen: a line that scrolled away cannot be redrawn. */
function redrawn(text: string, { rows }: Style): string {
  const home = '\x1b[H'
  const clearLine = '\x1b[K'
  const clearBelow = '\x1b[J'
  const lines = text.split('\n').slice(0, rows - 1)
  return `${home}${lines.map(line => `${line}${clearLine}`).join('\n')}${clearBelow}`
}
