/** The soak, short: what it does in half an hour works at all, it can say no, and it leaves nothing. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { median, slope } from '../../bench/soak/vitals.ts'
import { judgeGrowth } from '../../bench/soak/watch.ts'
import { scratchDir } from '../support/scratch.ts'

const program = join(import.meta.dirname, '../../bench/soak.ts')

async function soak(...args: readonly string[]) {
  const temporary = await scratchDir()
  const child = spawn(process.execPath, [program, ...args], { env: { ...process.env, TMPDIR: temporary } })
  onTestFinished(() => void child.kill('SIGKILL'))
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (said += chunk))
  const [code] = await once(child, 'close')
  return { code, said, left: await readdir(temporary) }
}

test('a few releases, kills and cut connections: every node has the last release, and no descriptor is left', async () => {
  const { code, said, left } = await soak(
    '--minutes',
    '0.25',
    '--nodes',
    '4',
    '--every',
    '5',
    '--mib',
    '1',
    '--seed',
    '1',
  )
  expect(code, said).toBe(0)
  expect(said).toMatch(/^3 releases, [1-9]\d* kills, \d+ of \d+ connections cut$/m)
  expect(said).toMatch(/all is well/)
  expect(left).toEqual([])
}, 300_000)

test('wrong words: a sentence and the usage, no stack', async () => {
  const { code, said } = await soak('--nodes', 'few')
  expect(code).toBe(2)
  expect(said).toMatch(/^soak: --nodes takes a number from 4, not few\n\nUsage:/)
})

test('a trend is seen through bursts, and chance is not taken for one', () => {
  const points = (value: (n: number) => number) => Array.from({ length: 50 }, (_, n) => [n, value(n)] as const)
  expect(slope(points(n => 100 + 2 * n + (n % 10 === 0 ? 500 : 0)))).toBeCloseTo(2, 1)
  expect(slope(points(n => 100 + (n % 7)))).toBeCloseTo(0, 1)
  expect(slope([[1, 1]])).toBe(0)
  expect(median([3, 1, 2])).toBe(2)
})

test('growth of more than a tenth is told, of memory and of descriptors', () => {
  const growth = (rss: number | undefined, descriptors: number | undefined) => ({
    name: 'node-1',
    line: '',
    rss,
    descriptors,
  })
  expect(judgeGrowth([growth(0.05, -0.2), growth(undefined, undefined)])).toEqual([])
  expect(judgeGrowth([growth(0.12, 0.5)])).toEqual([
    'node-1 has grown by 12 % of its memory',
    'node-1 has 50 % more descriptors',
  ])
})
