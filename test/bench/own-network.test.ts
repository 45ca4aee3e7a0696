/** The engine's bench says in which network it measures, and that has to be so. */
import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { needsNetlab } from '../support/needs.ts'
import { scratchDir } from '../support/scratch.ts'

/** Tells how both ends of a connection to an address send. */
const senders = `
import socket, sys
def sender(s): return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(bytes(1)).decode()
l = socket.create_server((sys.argv[1], 0)); c = socket.create_connection(l.getsockname()); s, _ = l.accept()
print(sender(c), sender(s), end='')`

const program = `
import { execFileSync } from 'node:child_process'
import { enterOwnNetwork } from ${JSON.stringify(join(import.meta.dirname, '../../bench/engine/own-network.ts'))}
const network = enterOwnNetwork()
const ask = address => execFileSync('python3', ['-c', ${JSON.stringify(senders)}, address], { encoding: 'utf8' })
const { pid, execArgv: flags, argv } = process
console.log(JSON.stringify({ network, senders: ['127.0.0.1', '10.198.18.2'].map(ask), pid, flags, words: argv.slice(2) }))
`

test.skipIf(!needsNetlab())(
  'the bench runs on in a network of its own, by CUBIC, with its own words and flags',
  async () => {
    const script = join(await scratchDir(), 'bench.mjs')
    await writeFile(script, program)
    // That somebody has exported the mark is not believed.
    const env = { ...process.env, BENCH_NETWORK: 'own' }
    const child = spawn(process.execPath, ['--no-deprecation', script, '3', 'growth'], { env })
    expect(await text(child.stderr)).toBe('')
    expect(JSON.parse(await text(child.stdout))).toEqual({
      network: 'a network of its own, TCP CUBIC',
      senders: ['cubic cubic', 'cubic cubic'],
      pid: child.pid,
      flags: ['--no-deprecation'],
      words: ['3', 'growth'],
    })
  },
)
