/** The demo as a visitor runs it: it tells what it cost, notices what differs, and leaves nothing behind, however it ends. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { MiB } from '../../src/core/units.ts'
import { writePayload } from '../support/payload.ts'
import { scratchDir } from '../support/scratch.ts'

const program = join(import.meta.dirname, '../../bench/demo/demo.ts')

/** Start the demo with a folder of its own for temporary files. */
async function startDemo(...args: readonly string[]) {
  const temporary = await scratchDir()
  const child = spawn(process.execPath, [program, ...args], { env: { ...process.env, TMPDIR: temporary } })
  onTestFinished(() => void child.kill('SIGKILL'))
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', chunk => (stdout += chunk))
  child.stderr.on('data', chunk => (stderr += chunk))
  const closed = once(child, 'close')
  return {
    child,
    said: () => stdout + stderr,
    async ended() {
      const [code] = await closed
      return { code, stdout, stderr, leftFiles: await readdir(temporary), leftProcesses: processesNaming(temporary) }
    },
  }
}

/** Command lines of the living processes that name `path`. */
function processesNaming(path: string): string[] {
  const lines = readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(pid => {
      try {
        return readFileSync(join('/proc', pid, 'cmdline'), 'utf8').replaceAll('\0', ' ')
      } catch {
        return '' // it has ended meanwhile
      }
    })
  return lines.filter(line => line.includes(path))
}

test('two releases, one copy of each over the line, identical trees, and nothing left', async () => {
  const source = await writePayload(await scratchDir(), 4 * MiB, 1)
  const demo = await startDemo('--nodes', '2', '--wan', '200', source)
  const { code, stdout, ...rest } = await demo.ended()
  expect({ code, ...rest }, stdout).toEqual({ code: 0, stderr: '', leftFiles: [], leftProcesses: [] })
  const ratios = [...stdout.matchAll(/WAN bytes \/ payload = (\d+\.\d+)/g)].map(([, ratio]) => Number(ratio))
  expect(ratios).toHaveLength(2)
  for (const ratio of ratios) expect(ratio).toBeLessThanOrEqual(1.05)
  expect(stdout.match(/all 2 trees are identical to the source/g)).toHaveLength(2)
}, 120_000)

test.each<[string, (demo: Awaited<ReturnType<typeof startDemo>>) => void]>([
  ['Ctrl-C', ({ child }) => void child.kill('SIGINT')],
  ['nobody reads any more, as with `| head`', ({ child }) => child.stdout.destroy()],
])(
  '%s in mid-transfer: it says so by its exit code, and leaves nothing',
  async (_, interrupt) => {
    const source = await writePayload(await scratchDir(), 3 * MiB, 1)
    const demo = await startDemo('--nodes', '1', '--wan', '5', source)
    await expect.poll(() => demo.said(), { timeout: 60_000 }).toMatch(/^line: /m)
    interrupt(demo)
    expect(await demo.ended()).toMatchObject({ code: 1, leftFiles: [], leftProcesses: [] })
  },
  120_000,
)

test.each([
  ['--nodes', 'many'],
  ['--speed', '5'],
  ['one', 'two'],
])('wrong words (%s %s): a sentence and the usage, no stack', async (...args) => {
  const { code, stdout, stderr, leftFiles } = await (await startDemo(...args)).ended()
  expect({ code, stdout, leftFiles }).toEqual({ code: 2, stdout: '', leftFiles: [] })
  expect(stderr).toMatch(/^demo: .+\n\nUsage: npm run demo/)
  expect(stderr).not.toMatch(/\n\s+at /)
})
