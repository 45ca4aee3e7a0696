/**
 * Is there a system call at which a crash leaves a third state?
 *
 *   npm run crash:syscalls                       every point of every scenario
 *   npm run crash:syscalls -- --sample 100       100 of them, by --seed N
 *   npm run crash:syscalls -- --only 'files.*EIO at fsync'
 */
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { tryAll } from './try-all.ts'

const options = {
  sample: { type: 'string' },
  seed: { type: 'string', default: '1' },
  only: { type: 'string' },
} as const
const { values } = parseArgs({ options })
const directory = await mkdtemp(join(tmpdir(), 'sigmesh-crash-'))
process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
const { tried, failures } = await tryAll(directory, {
  ...(values.sample === undefined ? {} : { sample: Number(values.sample) }),
  ...(values.only === undefined ? {} : { only: new RegExp(values.only) }),
  seed: Number(values.seed),
  print: console.log,
})
console.log(`${tried} points tried, ${failures.length} failed`)
process.exitCode = failures.length === 0 ? 0 : 1
