/** The frame around every command: errors become a sentence, a code and an exit status; a closed pipe is no error. */
import { type Command, CommanderError } from 'commander'
import { adviceFor, describeError } from '../core/errors.ts'
import { exitCodeFor, exitCodes, Interrupted } from './exit-codes.ts'
import { printableLines } from './printable.ts'

/** Run `program` with this process's arguments. Sets the exit code; never throws. */
export async function run(program: Command): Promise<void> {
  endQuietlyWhenNobodyReads()
  try {
    await program.parseAsync()
  } catch (error) {
    process.exitCode = report(program.name(), error)
  }
}

/** `sigmesh history | head`: the reader has seen enough. */
function endQuietlyWhenNobodyReads(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      process.exit()
    })
  }
}

/** @returns The exit code. */
function report(name: string, error: unknown): number {
  // Commander has printed its help or its complaint already; 1 is its code for every complaint.
  if (error instanceof CommanderError) return error.exitCode === 1 ? exitCodes.usage : error.exitCode
  if (!(error instanceof Interrupted)) complain(name, error)
  return exitCodeFor(error)
}

/** `sigmesh: no daemon runs here … [daemon_unreachable]`, then what to do about it. */
function complain(name: string, error: unknown): void {
  const { code, message } = describeError(error)
  process.stderr.write(`${name}: ${printableLines(message)} [${code}]\n  ${adviceFor(code)}\n`)
  if (process.env.SIGMESH_DEBUG) console.error(error)
  else if (code === 'internal') process.stderr.write('  SIGMESH_DEBUG=1 shows where it happened.\n')
}
