/** What every `--help` has beside commander's own part: examples that work as they stand, and the exit codes. */
import { Command, type Help, Option } from 'commander'
import { version } from '../core/version.ts'
import { defaultControlSocket } from '../daemon/control-protocol.ts'
import { exitCodes, exitMeanings } from './exit-codes.ts'

type Exit = keyof typeof exitCodes

/** The top of a program; its subcommands inherit how it complains. */
export function programCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .exitOverride()
    .showHelpAfterError(`Try \`${name} --help\`.`)
    .configureHelp({ showGlobalOptions: true, styleTitle: title => title } satisfies Partial<Help>)
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, `${name}: `)) })
}

/** @param examples Command lines with what each does. */
export function withExamples(
  command: Command,
  examples: readonly (readonly [line: string, purpose: string])[],
): Command {
  const width = Math.max(...examples.map(([line]) => line.length))
  return command.addHelpText(
    'after',
    `\nExamples:\n${examples.map(([line, purpose]) => `  ${line.padEnd(width)}  ${purpose}`).join('\n')}`,
  )
}

/** @param ends Those that the command can come to; all of them when left out. */
export function withExitCodes(command: Command, ends: readonly Exit[] = Object.keys(exitCodes) as Exit[]): Command {
  const lines = ends.map(end => `  ${String(exitCodes[end]).padEnd(4)} ${exitMeanings[end]}`)
  return command.addHelpText('after', `\nExit codes:\n${lines.join('\n')}`)
}

/** Where to find the daemon: an option of the whole program, so that an alias can carry it. */
export function socketOption(): Option {
  return new Option('--socket <path>', 'control socket of the daemon')
    .env('SIGMESH_SOCKET')
    .default(defaultControlSocket)
}

/** Of a command that has `socketOption` above it. */
export function socketOf(command: Command): string {
  return command.optsWithGlobals<{ socket: string }>().socket
}

/** Variables of ours that are no keys of a configuration file. */
export const notConfig = ['SIGMESH_SOCKET', 'SIGMESH_REPOSITORY', 'SIGMESH_DEBUG', 'SIGMESH_PASSPHRASE'] as const

/** How a service ends: by a signal, which is an orderly end, or because it could not start. */
export function withServiceHelp(command: Command): Command {
  return withExitCodes(command, ['ok', 'failed', 'usage']).addHelpText(
    'after',
    '\nSIGTERM and Ctrl-C end it in order. It logs JSON lines to stdout.',
  )
}
