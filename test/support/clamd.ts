/** A real clamd of a test's own, and what to ask it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { expect, onTestFinished } from 'vitest'

/** One line of an extended signature database: any file that contains `text`. */
export function ndbLine(name: string, text: string): string {
  return `${name}:0:*:${Buffer.from(text).toString('hex')}\n`
}

/** clamd in the foreground, on a socket and a database directory of its own; ended with the test. */
export async function startClamd(config: string, socket: string, databases: string): Promise<ChildProcess> {
  await writeFile(
    config,
    `LocalSocket ${socket}\nDatabaseDirectory ${databases}\nForeground yes\nSelfCheck 0\nTemporaryDirectory ${dirname(config)}\n`,
  )
  const clamd = spawn('clamd', ['--config-file', config], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [clamd.stdout, clamd.stderr]) stream.on('data', chunk => (output += chunk))
  onTestFinished(async () => {
    if (clamd.exitCode !== null || clamd.signalCode !== null) return
    const ended = once(clamd, 'exit')
    clamd.kill('SIGKILL')
    await ended
  })
  await expect
    .poll(() => ask(socket, 'zPING\0').catch(() => `not yet: ${output}`), { timeout: 120_000, interval: 100 })
    .toBe('PONG')
  return clamd
}

/** clamd's INSTREAM: the length of the chunk, the chunk, and an empty one. */
export function scan(socket: string, content: string): Promise<string> {
  const chunk = Buffer.from(content)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(chunk.length)
  return ask(socket, Buffer.concat([Buffer.from('zINSTREAM\0'), length, chunk, Buffer.alloc(4)]))
}

async function ask(socket: string, request: string | Buffer): Promise<string> {
  const connection = connect(socket)
  connection.write(request)
  const answer: Buffer[] = []
  for await (const chunk of connection) answer.push(chunk)
  return Buffer.concat(answer).toString().replace(/\0$/, '')
}
