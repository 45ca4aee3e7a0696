/**
 * The native engine against aria2, libtorrent, transmission and the webtorrent engine, as ratios:
 *
 *   npm run bench:engine              5 runs of every case, medians
 *   npm run bench:engine -- 1 growth  1 run of the rows whose name has "growth" in it
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GiB, KiB, MiB } from '../src/core/units.ts'
import { aria2 } from './engine/aria2.ts'
import { type Case, type Outcome, runCase } from './engine/case.ts'
import { idleNode } from './engine/idle.ts'
import { libtorrent } from './engine/libtorrent.ts'
import { ours } from './engine/ours.ts'
import { enterOwnNetwork } from './engine/own-network.ts'
import { makePayload, type Payload } from './engine/payload.ts'
import type { Contender } from './engine/processes.ts'
import { transmission, transmissionHost } from './engine/transmission.ts'
import { compile } from './processes.ts'

console.log(`all contenders: ${enterOwnNetwork()}`)
const [runs = '5', only = ''] = process.argv.slice(2)
const scratch = await mkdtemp(join(tmpdir(), 'sigmesh-bench-'))
process.once('SIGINT', () => process.exit(130))
const payloads = new Map<string, Payload>()
const outcomes = new Map<string, Outcome>()

try {
  const built = await compile(join(scratch, 'built'), ['bench/engine/member.ts'])
  await bench(ours('native', built('bench/engine/member.ts')), ours('webtorrent', built('bench/engine/member.ts')))
  await benchIdle(built('bin/sigmeshd.ts'))
} finally {
  await rm(scratch, { recursive: true, force: true })
}

async function bench(native: Contender, webtorrent: Contender): Promise<void> {
  for (const pieceKiB of [256, 1024]) {
    const [size, name] = [256 * MiB, `256 MiB in pieces of ${pieceKiB} KiB`]
    const one: Case = { seeds: 1, leechers: 1 }
    const four: Case = { seeds: 1, leechers: 4, mesh: true }
    const measured = (contender: Contender, shape: Case) => median(contender, shape, size, pieceKiB)
    await row(`${name}, 1 to 1: time / aria2`, 0.8, async () => {
      return (await measured(native, one)).seconds / (await measured(aria2, one)).seconds
    })
    await row(`${name}, 1 to 1: CPU / aria2`, 1.1, async () => {
      return (await measured(native, one)).cpuSeconds / (await measured(aria2, one)).cpuSeconds
    })
    await row(`${name}, 1 to 4: last done / aria2`, 1.0, async () => {
      return (await measured(native, four)).seconds / (await measured(aria2, four)).seconds
    })
    await row(`${name}, 1 to 4: last done / libtorrent`, 0.8, async () => {
      return (await measured(native, four)).seconds / (await measured(libtorrent, four)).seconds
    })
    await row(`${name}, 1 to 4: CPU / webtorrent engine`, 1 / 8, async () => {
      return (await measured(native, four)).cpuSeconds / (await measured(webtorrent, four)).cpuSeconds
    })
    if (transmissionHost()) {
      await row(`${name}, 1 to 1: time / transmission`, Infinity, async () => {
        return (await measured(native, one)).seconds / (await measured(transmission, one)).seconds
      })
      await row(`${name}, 1 to 1: CPU / transmission`, Infinity, async () => {
        return (await measured(native, one)).cpuSeconds / (await measured(transmission, one)).cpuSeconds
      })
    }
    await row(`${name}, leecher: peak MB`, 110, async () => (await measured(native, one)).leecherRssBytes / MiB)
  }
  await row('2 GiB, leecher: peak MB above that for 256 MiB', 15, async () => {
    const [small, large] = [256 * MiB, 2 * GiB].map(size => () => median(native, { seeds: 1, leechers: 1 }, size, 1024))
    return ((await large!()).leecherRssBytes - (await small!()).leecherRssBytes) / MiB
  })
  await row('64 MiB, 1 to 20 at 100 Mbit/s each: last done / one copy at that rate', 1.5, async () => {
    const rate = 12_500_000
    const crowd = { seeds: 1, leechers: 20, mesh: true, uploadBytesPerSecond: rate }
    return (await median(native, crowd, 64 * MiB, 256)).seconds / ((64 * MiB) / rate)
  })
  await row('growth: CPU of a leecher with 50 peers / with 5', 1.3, async () => {
    const [few, many] = [5, 50].map(seeds => () => median(native, { seeds, leechers: 1 }, 256 * MiB, 256))
    return (await many!()).leecherCpuSeconds / (await few!()).leecherCpuSeconds
  })
}

/** One run: it lasts for a minute and a half. */
async function benchIdle(program: string): Promise<void> {
  let found: Promise<{ rssBytes: number; cpuShare: number }> | undefined
  const once = async () => {
    found ??= payloadOf(64 * MiB, 256).then(({ path }) => idleNode(join(scratch, 'idle'), program, path))
    return found
  }
  await row('idle node that serves 64 MiB: MB', 90, async () => (await once()).rssBytes / MiB)
  await row('idle node that serves 64 MiB: CPU in percent', 0.3, async () => (await once()).cpuShare * 100)
}

/** @param bar Infinity: told for comparison only. */
async function row(name: string, bar: number, ratio: () => Promise<number>): Promise<void> {
  if (!name.includes(only)) return
  const found = await ratio()
  const verdict = bar === Infinity ? '    ' : found <= bar ? 'ok  ' : 'MISS'
  const wanted = bar === Infinity ? ' '.repeat(8) : `<= ${bar.toFixed(3)}`
  console.log(`${verdict} ${found.toFixed(3).padStart(8)} ${wanted}  ${name}`)
}

/** Each shape is run once for all rows that need it. */
async function median(contender: Contender, shape: Case, length: number, pieceKiB: number): Promise<Outcome> {
  const key = JSON.stringify([contender.name, shape, length, pieceKiB])
  const known = outcomes.get(key)
  if (known) return known
  const payload = await payloadOf(length, pieceKiB)
  const each: Outcome[] = []
  // Not counted: the first run reads the programs from the disk.
  await runCase(contender, payload, shape, join(scratch, 'run'))
  for (let run = 0; run < Number(runs); run++) each.push(await runCase(contender, payload, shape, join(scratch, 'run')))
  const middle = (value: (outcome: Outcome) => number) => each.map(value).sort((a, b) => a - b)[each.length >> 1]!
  const outcome = {
    seconds: middle(({ seconds }) => seconds),
    cpuSeconds: middle(({ cpuSeconds }) => cpuSeconds),
    leecherCpuSeconds: middle(({ leecherCpuSeconds }) => leecherCpuSeconds),
    leecherRssBytes: middle(({ leecherRssBytes }) => leecherRssBytes),
  }
  const { seconds, cpuSeconds, leecherCpuSeconds, leecherRssBytes } = outcome
  const figures = `${seconds.toFixed(2)} s, CPU ${cpuSeconds.toFixed(2)} s (leecher ${leecherCpuSeconds.toFixed(2)} s)`
  const what = `${shape.seeds} to ${shape.leechers}, ${length / MiB} MiB / ${pieceKiB} KiB`
  console.log(`     ${contender.name} ${what}: ${figures}, leecher's peak ${(leecherRssBytes / MiB).toFixed(0)} MB`)
  outcomes.set(key, outcome)
  return outcome
}

async function payloadOf(length: number, pieceKiB: number): Promise<Payload> {
  const key = `${length}-${pieceKiB}`
  let payload = payloads.get(key)
  if (!payload) {
    const directory = join(scratch, `payload-${key}`)
    await mkdir(directory)
    payload = await makePayload(directory, length, pieceKiB * KiB)
    payloads.set(key, payload)
  }
  return payload
}
