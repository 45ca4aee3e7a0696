/**
 * Where the passphrase of a key comes from: `--passphrase-file`, else SIGMESH_PASSPHRASE, else the person at the terminal, who types it unseen.
 * Never from the command line itself, which every user of the machine can read.
 */
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import { type Command, Option } from 'commander'
import { ConfigError, PublishError } from '../core/errors.ts'
import type { AskPassphrase } from '../publish/key-files.ts'
import { Interrupted } from './exit-codes.ts'
import { printable } from './printable.ts'

const shortest = 8
const longest = 1024

export function passphraseOption(): Option {
  return new Option(
    '--passphrase-file <file>',
    'its first line is the passphrase; else SIGMESH_PASSPHRASE, else the terminal is asked',
  )
}

/** @throws PublishError `key_locked` when there is nobody to ask; ConfigError `config_unreadable` for the file. */
export function passphraseFrom(file: string | undefined): AskPassphrase {
  return async key => (await given(file)) ?? typed(`passphrase of ${key}: `, key)
}

/** For a key that is made: typed twice, and not too short. @throws ConfigError `config_invalid`. */
export function newPassphraseFrom(file: string | undefined): AskPassphrase {
  return async key => {
    const elsewhere = await given(file)
    const first = elsewhere ?? (await typed(`new passphrase for ${key}: `, key))
    if (first.length < shortest)
      throw new ConfigError(
        'config_invalid',
        `a passphrase has ${shortest} characters at least; several words are better`,
      )
    if (elsewhere === undefined && (await typed('the same again: ', key)) !== first)
      throw new ConfigError('config_invalid', 'the two are not the same; no key was made')
    return first
  }
}

/** @returns Whether the person says yes. @throws ConfigError `config_invalid` when there is nobody, and `--yes` was not given. */
export async function confirmed(question: string, yes: boolean | undefined): Promise<boolean> {
  if (yes) return true
  if (!process.stdin.isTTY)
    throw new ConfigError(
      'config_invalid',
      'nobody is here to read this and to agree; give --yes to sign it all the same',
    )
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return ['y', 'yes'].includes((await terminal.question(`${question} [yes/no] `)).trim().toLowerCase())
  } finally {
    terminal.close()
  }
}

export function printLines(lines: readonly string[]): void {
  process.stdout.write(lines.map(line => `${printable(line)}\n`).join(''))
}

/** An option of a whole group of commands. */
export function yesOption(command: Command): Command {
  return command.option('-y, --yes', 'do not ask; for scripts that have read it by other means')
}

async function given(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return process.env.SIGMESH_PASSPHRASE || undefined
  const text = await readFile(file, 'utf8').catch(cause => {
    throw new ConfigError('config_unreadable', `cannot read ${file}: ${cause.message}`, { file, cause })
  })
  return text.split(/\r?\n/, 1)[0]!.slice(0, longest)
}

/** A line from the terminal, without its echo. */
async function typed(prompt: string, key: string): Promise<string> {
  const { stdin, stderr } = process
  if (!stdin.isTTY)
    throw new PublishError('key_locked', `${key} is under a passphrase, and nobody is here to ask`, { key })
  // The echo ends before the question is seen: whoever answers at once is not shown either.
  stdin.setRawMode(true)
  stderr.write(printable(prompt))
  try {
    return await lineOf(stdin)
  } finally {
    stdin.setRawMode(false)
    stdin.pause()
    stderr.write('\n')
  }
}

/** What a terminal in raw mode sends, up to the end of a line: backspace takes away, Ctrl-C and Ctrl-D end the command. */
function lineOf(stdin: NodeJS.ReadStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let line = ''
    const listen = (chunk: Buffer) => {
      for (const character of chunk.toString('utf8')) {
        if (character === '\r' || character === '\n') return end(() => resolve(line))
        if (character === '\x03' || character === '\x04') return end(() => reject(new Interrupted()))
        if (character === '\x7f' || character === '\b') line = [...line].slice(0, -1).join('')
        else if (line.length < longest) line += character
      }
    }
    const end = (settle: () => void) => {
      stdin.off('data', listen)
      settle()
    }
    stdin.on('data', listen)
    stdin.resume()
  })
}
