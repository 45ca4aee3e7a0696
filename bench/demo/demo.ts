/**
 * The whole way of the data, on one machine and without root: an origin behind a thin line, eight nodes of one site, each its own
 * process. `npm run demo -- --help` tells the flags.
 *
 *   publish ─▶ origin ══ user-space link, 20 Mbit/s, every byte counted ══▶ eight nodes on 127.0.0.1, who swarm among themselves
 */

import { cp, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { systemClock } from '../../src/core/clock.ts'
import { type Stoppable, stopAll } from '../../src/core/lifecycle.ts'
import { main } from '../main.ts'
import { freePort, listening, sigmesh, startDaemon } from '../processes.ts'
import { openWanLink, type WanLink } from '../wan-link.ts'
import { compareTrees } from './compare-trees.ts'
import { type DemoNode, startNodes, updateAll } from './nodes.ts'
import { printOutcome, watch } from './screen.ts'

const usage = `Usage: npm run demo [-- [options] [PATH]]

Publishes PATH (a file or a directory; by default the compiler of the installed typescript package) to a site of nodes behind a thin
line, then a second release, and checks every installed tree against the source, byte for byte.

Options:
  --nodes N      nodes in the site (default 8)
  --seats N      nodes that may fetch over the WAN at once (default 5)
  --wan MBIT     rate of the line, in Mbit/s (default 20)
  --latency MS   round trip of the line (default 20)
  --keep         leave everything running at the end and say how to look around
  --help         print this and end

Exit codes: 0 every tree is identical to its source; 1 one is not, or something failed; 2 wrong words.
`

export interface DemoOptions {
  readonly source: string
  readonly nodes: number
  readonly seats: number
  readonly wanMbit: number
  readonly latencyMs: number
  readonly keep: boolean
}

/** Read the command line. @returns undefined when it asked for help. @throws TypeError on words that are not understood. */
export function readArguments(args: readonly string[]): DemoOptions | undefined {
  const options = {
    nodes: { type: 'string', default: '8' },
    seats: { type: 'string', default: '5' },
    wan: { type: 'string', default: '20' },
    latency: { type: 'string', default: '20' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  } as const
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options })
  if (values.help) return undefined
  if (positionals.length > 1) throw new TypeError(`one PATH, not ${positionals.length}`)
  return {
    source: resolve(positionals[0] ?? defaultSource()),
    nodes: numberIn('--nodes', values.nodes, 1, 100),
    seats: numberIn('--seats', values.seats, 1, 100),
    wanMbit: numberIn('--wan', values.wan, 0.1, 10_000),
    latencyMs: numberIn('--latency', values.latency, 0, 2000),
    keep: values.keep,
  }
}

function numberIn(flag: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (!(value >= least && value <= most))
    throw new TypeError(`${flag} takes a number from ${least} to ${most}, not ${text}`)
  return value
}

/** Since version 7 the compiler itself, tens of MB, stands in a package of its own beside `typescript`. */
function defaultSource(): string {
  const typescript = createRequire(import.meta.url).resolve('typescript/package.json')
  const platform = `@typescript/typescript-${process.platform}-${process.arch}/package.json`
  try {
    return dirname(createRequire(typescript).resolve(platform))
  } catch {
    return dirname(typescript)
  }
}

/** @returns The exit code: 0 when every tree is identical to its source, twice. */
export async function runDemo(options: DemoOptions, signal: AbortSignal): Promise<number> {
  await stat(options.source)
  const home = await mkdtemp(join(tmpdir(), 'sigmesh-demo-'))
  const started: Stoppable[] = []
  try {
    const { link, nodes } = await startSite(home, options, started, signal)
    const second = await secondRelease(options.source, home)
    let identical = true
    for (const [at, source] of [options.source, second].entries()) {
      identical = (await distribute(source, `release ${at + 1}`, { home, link, nodes, options }, signal)) && identical
    }
    if (options.keep) await lookAround(home, nodes, signal)
    return identical ? 0 : 1
  } finally {
    await stopAll(started)
    await rm(home, { recursive: true, force: true })
  }
}

async function startSite(home: string, options: DemoOptions, started: Stoppable[], signal: AbortSignal) {
  await sigmesh(['init', join(home, 'operator'), '--channel', 'demo'], signal)
  const port = await freePort()
  const configFile = join(home, 'operator', 'origin.demo.toml')
  await writeFile(
    configFile,
    [
      `repository = "${join(home, 'operator', 'repository')}"`,
      `state_dir = "${join(home, 'origin-state')}"`,
      `seats_per_site = ${options.seats}`,
      '[listen]',
      'address = "127.0.0.1"',
      `port = ${port}`,
    ].join('\n'),
  )
  const origin = startDaemon(['origin', '--config', configFile], join(home, 'origin.log'))
  started.push(origin)
  await listening(port, origin, signal)
  const link = await openWanLink({
    target: { host: '127.0.0.1', port },
    bytesPerSecond: (options.wanMbit * 1e6) / 8,
    latencyMs: options.latencyMs,
  })
  started.push(link)
  const where = ['--config', configFile, '--url', link.url]
  const token = (
    await sigmesh(['enroll', '--site', 'demo-branch', '--uses', `${options.nodes}`, ...where], signal)
  ).trim()
  const site = { home, count: options.nodes, token }
  const nodes = await startNodes(site, started, signal)
  return { link, nodes }
}

/** What an update looks like: the first release with one file changed and one added. */
async function secondRelease(source: string, home: string): Promise<string> {
  const next = join(home, 'second', basename(source))
  if ((await stat(source)).isFile()) {
    await mkdir(dirname(next), { recursive: true })
    await cp(source, next)
    await writeFile(next, `changed by the second release\n`, { flag: 'a' })
  } else {
    await cp(source, next, { recursive: true, dereference: true })
    await writeFile(join(next, 'second-release.txt'), 'added by the second release\n')
  }
  return next
}

interface Site {
  readonly home: string
  readonly link: WanLink
  readonly nodes: readonly DemoNode[]
  readonly options: DemoOptions
}

/** Publish `source`, update every node, print what it took. @returns Whether every installed tree is identical to it. */
async function distribute(source: string, name: string, site: Site, signal: AbortSignal): Promise<boolean> {
  const { home, link, nodes, options } = site
  console.log(`\n${name}: publishing ${source}`)
  console.log(
    (
      await sigmesh(['publish', 'demo', source, '--repository', join(home, 'operator'), '--label', name], signal)
    ).trim(),
  )

  const before = { wan: link.bytesDown, at: systemClock.monotonic() }
  const screen = watch(nodes, link)
  const results = await updateAll(nodes, signal).finally(() => screen.stop())
  const seconds = (systemClock.monotonic() - before.at) / 1000

  const differences = await Promise.all(nodes.map(node => compareTrees(source, node.current)))
  const payload = results[0]?.artifactBytes ?? 0
  printOutcome(results, {
    payload,
    wanBytes: link.bytesDown - before.wan,
    seconds,
    wanMbit: options.wanMbit,
    seats: screen.seats,
  })
  for (const [at, found] of differences.entries()) {
    for (const difference of found.slice(0, 5)) console.log(`${nodes[at]!.name}: ${difference}`)
  }
  const identical = differences.every(found => found.length === 0)
  console.log(identical ? `all ${nodes.length} trees are identical to the source` : 'TREES DIFFER from the source')
  return identical
}

async function lookAround(home: string, nodes: readonly DemoNode[], signal: AbortSignal): Promise<void> {
  console.log('\nEverything is left running until Ctrl-C. To look around:')
  console.log(`  npm run sigmesh -- status --socket ${nodes[0]!.socket}`)
  console.log(`  npm run sigmesh -- peers --socket ${nodes[0]!.socket}`)
  console.log(`  npm run sigmesh -- nodes --config ${join(home, 'operator', 'origin.demo.toml')}`)
  console.log(`  npm run sigmesh -- publish demo PATH --repository ${join(home, 'operator')}`)
  console.log(`  ls -l ${dirname(nodes[0]!.current)}; tail ${join(home, '*.log')}`)
  await new Promise<void>(done => {
    if (signal.aborted) done()
    signal.addEventListener('abort', () => done(), { once: true })
  })
}

process.exitCode = await main({ name: 'demo', usage, read: readArguments, run: runDemo })
