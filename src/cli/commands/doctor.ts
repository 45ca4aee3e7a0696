import type { Command } from 'commander'
import { systemClock } from '../../core/clock.ts'
import { ControlError } from '../../core/errors.ts'
import type { Finding, Verdict } from '../../daemon/doctor/finding.ts'
import { loadConfig } from '../../store/config-file.ts'
import { controlClient } from '../control-client.ts'
import { exitCodes } from '../exit-codes.ts'
import { notConfig, withExamples, withExitCodes } from '../help.ts'
import { interruption } from '../interruption.ts'
import { printable, printableJson } from '../printable.ts'
import { paint, type Style, styleFor, type Tone } from '../style.ts'

export function doctorCommand(program: Command): void {
  const command = program
    .command('doctor')
    .summary('why this node does not get what it should')
    .description(
      'Look at everything between this node and its releases: daemon, origin, clock, certificate, tracker, port, multicast, neighbours, disks, quota and limits. Each line is what was seen; below it, what to do. Some neighbours are asked to dial this node. It changes nothing, and works whether the daemon runs or not.',
    )
    .option('--config <file>', 'node.toml of this machine', '/etc/sigmesh/node.toml')
    .option('--json', 'print the findings as JSON')
    .action(async ({ config: file, json }: { config: string; json?: true }) => {
      const { nodeConfig } = await import('../../daemon/config.ts')
      const { examine } = await import('../../daemon/doctor/examine.ts')
      const { worstOf } = await import('../../daemon/doctor/finding.ts')
      const config = await loadConfig(nodeConfig, { file, env: process.env, notConfig })
      const given = command.getOptionValueSourceWithGlobals('socket') !== 'default'
      const socket = given ? command.optsWithGlobals<{ socket: string }>().socket : config.control_socket
      using interrupted = interruption()
      const control = controlClient(socket)
      const daemon = await control.status(interrupted.signal).catch(asAnswer)
      // An older daemon does not know the question; one that is not there need not be asked twice.
      const reached = daemon instanceof Error ? daemon : await control.reach(interrupted.signal).catch(asAnswer)
      const findings = await examine({ config, daemon, reached, clock: systemClock }, interrupted.signal)
      const worst = worstOf(findings)
      const style = styleFor(process.stdout, process.env)
      process.stdout.write(`${json ? printableJson({ worst, findings }, 2) : renderFindings(findings, style)}\n`)
      if (worst === 'bad') process.exitCode = exitCodes.failed
    })
  withExamples(command, [
    ['sigmesh doctor', 'what is wrong, and what to do'],
    ['sigmesh doctor --json | jq -r \'.findings[] | select(.verdict == "bad") | .check\'', 'for a script'],
  ])
  withExitCodes(command, ['ok', 'failed', 'usage', 'interrupted']).addHelpText(
    'after',
    '\nIt ends with 1 when a finding is bad; warnings do not count.',
  )
}

/** That nobody answers is a finding, too. */
function asAnswer(error: unknown): ControlError {
  if (error instanceof ControlError) return error
  throw error
}

const looks: Readonly<Record<Verdict, { readonly sign: string; readonly tone: Tone }>> = {
  ok: { sign: 'ok', tone: 'good' },
  skipped: { sign: 'skip', tone: 'faint' },
  warning: { sign: 'warn', tone: 'warning' },
  bad: { sign: 'BAD', tone: 'bad' },
}

/** In a pipe: `VERDICT <tab> CHECK <tab> WHAT IT SAW <tab> WHAT TO DO`. */
export function renderFindings(given: readonly Finding[], style: Style): string {
  const findings = printable(given)
  if (!style.interactive)
    return findings
      .map(({ verdict, check, saw, advice }) => [looks[verdict].sign, check, saw, advice].join('\t'))
      .join('\n')
  const width = Math.max(...findings.map(({ check }) => check.length))
  return findings
    .flatMap(({ verdict, check, saw, advice }) => {
      const { sign, tone } = looks[verdict]
      const line = `${paint(style, tone, sign.padEnd(4))}  ${check.padEnd(width)}  ${saw}`
      return advice === '' ? [line] : [line, `${' '.repeat(6 + width + 2)}-> ${advice}`]
    })
    .join('\n')
}
