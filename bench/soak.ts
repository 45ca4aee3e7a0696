/**
 * A branch under strain for a long time: `npm run soak` (30 minutes; `-- --help` tells the flags).
 *
 * A release every 30 s, nodes killed (-9) and started again at random, one connection in twenty cut at a random byte. In the end every
 * node has the last release, byte for byte; the nodes that were spared, and the origin, have not grown since they were warm; and when
 * their neighbours are gone, no descriptor of theirs is left.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Stoppable, stopAll } from '../src/core/lifecycle.ts'
import { MiB, minute, second } from '../src/core/units.ts'
import { compareTrees } from './demo/compare-trees.ts'
import { main } from './main.ts'
import { seededRandom } from './seeded-random.ts'
import { SoakSite } from './soak/site.ts'
import { judgeGrowth, Watch } from './soak/watch.ts'

const usage = `Usage: npm run soak [-- options]

Options:
  --minutes N    how long releases are published (default 30)
  --nodes N      nodes of the site; the first three are never killed: it is their memory that is watched (default 10)
  --every S      a release every S seconds (default 30)
  --mib N        size of a release (default 8)
  --seed N       repeats a run's choices (default: other ones each time)
  --help         print this and end

Exit codes: 0 all is well; 1 something is not, or failed; 2 wrong words.
`

interface Options {
  readonly minutes: number
  readonly nodes: number
  readonly everyMs: number
  readonly mib: number
  readonly seed: number
}

const spared = 3
/** Of connections that are to be cut; two in five of them are over before, so that one in twenty of all is cut. */
const cutShare = 0.09
/** A connection that is cut dies within this much: few last for more. */
const longestLifeBytes = 2 * MiB
/** For the slowest to start, and to get the last release: only against hanging for ever. */
const patienceMs = 15 * minute

/** @returns undefined when it asked for help. @throws TypeError on words that are not understood. */
function readArguments(args: readonly string[]): Options | undefined {
  const options = {
    minutes: { type: 'string', default: '30' },
    nodes: { type: 'string', default: '10' },
    every: { type: 'string', default: '30' },
    mib: { type: 'string', default: '8' },
    seed: { type: 'string', default: `${Math.floor(Math.random() * 2 ** 31)}` },
    help: { type: 'boolean', default: false },
  } as const
  const { values } = parseArgs({ args: [...args], options })
  if (values.help) return undefined
  const number = (name: Exclude<keyof typeof values, 'help'>, least: number) => {
    const value = Number(values[name])
    if (!(value >= least)) throw new TypeError(`--${name} takes a number from ${least}, not ${values[name]}`)
    return value
  }
  return {
    minutes: number('minutes', 0.1),
    nodes: number('nodes', spared + 1),
    everyMs: number('every', 1) * second,
    mib: number('mib', 1),
    seed: number('seed', 0),
  }
}

/** @returns What is not as it should be; empty when all is well. */
async function soak(options: Options, home: string, started: Stoppable[], signal: AbortSignal): Promise<string[]> {
  const random = seededRandom(options.seed)
  const fate = () => (random() < cutShare ? Math.floor(longestLifeBytes ** random()) : undefined)
  const site = await SoakSite.open({ home, nodes: options.nodes, mib: options.mib, fate }, started, signal)
  const watch = new Watch(site, spared, (options.minutes * minute) / 6)
  started.push(watch)
  const calm = new AbortController()
  const mayhem = killAtRandom(site, options, random, AbortSignal.any([signal, calm.signal]))
  try {
    await publishAll(site, options, watch, Promise.race([mayhem, watch.failed]), signal)
  } finally {
    calm.abort()
  }
  await mayhem
  const wrong = await lateOrDifferent(site, signal)
  const growths = watch.growths()
  for (const growth of growths) console.log(growth.line)
  const { made, cut } = site.connections
  const kills = site.nodes.reduce((sum, { kills }) => sum + kills, 0)
  console.log(`${site.released} releases, ${kills} kills, ${cut} of ${made} connections cut`)
  await leaveSparedAlone(site)
  return [...wrong, ...judgeGrowth(growths), ...(await watch.leaks(signal))]
}

/** @param trouble Rejects when something ends that should not. */
async function publishAll(
  site: SoakSite,
  options: Options,
  watch: Watch,
  trouble: Promise<unknown>,
  signal: AbortSignal,
): Promise<void> {
  const releases = Math.max(2, Math.round((options.minutes * minute) / options.everyMs))
  for (let n = 1; n <= releases; n++) {
    const startedAt = performance.now()
    await site.publish(signal)
    // A machine that slept does not make up for it.
    const left = startedAt + options.everyMs - performance.now()
    await Promise.race([delay(Math.max(0, left), undefined, { signal }), trouble])
    console.log(`${String(n).padStart(4)} ${watch.line()}`)
  }
}

/** One node at a time, most of the time: down for a moment, up for a moment. Resolves when all are up, after `signal`. */
async function killAtRandom(
  { nodes }: SoakSite,
  { everyMs }: Options,
  random: () => number,
  signal: AbortSignal,
): Promise<void> {
  const pause = (ms: number) => delay(ms, undefined, { signal }).catch(() => {})
  while (!signal.aborted) {
    await pause(random() * (everyMs / 3))
    if (signal.aborted) return
    const victim = nodes[spared + Math.floor(random() * (nodes.length - spared))]!
    await victim.kill()
    await pause(random() * (everyMs / 6))
    await victim.start(AbortSignal.timeout(patienceMs))
  }
}

/** Wait for everybody to have the last release, and compare. */
async function lateOrDifferent({ nodes, released, source }: SoakSite, signal: AbortSignal): Promise<string[]> {
  const patience = AbortSignal.timeout(patienceMs)
  const found = await Promise.all(
    nodes.map(async node => {
      for (;;) {
        const { installed, failure } = await node.status(signal)
        if (installed?.sequence === released) break
        const why = failure ? `: ${failure.code} ${failure.message}` : ''
        if (patience.aborted) return [`${node.name} is at release ${installed?.sequence} of ${released}${why}`]
        await delay(200, undefined, { signal })
      }
      return (await compareTrees(source, node.current)).map(difference => `${node.name}: ${difference}`)
    }),
  )
  return found.flat()
}

/** The neighbours stop, and the links with them, so that nothing is left to be connected to. */
async function leaveSparedAlone({ nodes, line }: SoakSite): Promise<void> {
  await Promise.all(nodes.slice(spared).map(node => node.stop()))
  await Promise.all(nodes.map(({ link }) => link.stop()))
  await line.stop()
}

async function run(options: Options, signal: AbortSignal): Promise<number> {
  const home = await mkdtemp(join(tmpdir(), 'sigmesh-soak-'))
  const started: Stoppable[] = []
  console.log(`seed ${options.seed}`)
  let wrong: string[]
  try {
    wrong = await soak(options, home, started, signal)
  } catch (error) {
    wrong = [error instanceof Error ? error.message : String(error)]
  } finally {
    await stopAll(started)
  }
  for (const line of wrong) console.log(`WRONG ${line}`)
  if (wrong.length > 0) console.log(`what they have logged is in ${home}`)
  else await rm(home, { recursive: true, force: true })
  console.log(wrong.length > 0 ? 'NOT well' : 'all is well')
  return wrong.length > 0 ? 1 : 0
}

// All that was started is stopped; a line that is still being taken down must not keep a failed soak from ending.
process.exit(await main({ name: 'soak', usage, read: readArguments, run }))
