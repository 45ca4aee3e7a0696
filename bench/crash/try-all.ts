/** The points of all scenarios: every one of them, or a sample that a seed chooses. */
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { chance } from './chance.ts'
import { scenarios } from './scenario.ts'
import { type Fault, faults } from './strace.ts'
import { describePoint, type Point, prepare, type Start, survey, tryPoint } from './walk.ts'

export interface Extent {
  /** How many points to try; default all. */
  readonly sample?: number
  readonly seed: number
  /** Only points whose description matches. */
  readonly only?: RegExp
  print(line: string): void
}

export interface Outcome {
  readonly tried: number
  readonly failures: readonly string[]
}

/** Two at a time: one waits for the disk while the other computes. */
const workers = 2

/** After these, a restart has most to do: its own calls are points as well. */
const turning = /^(rename|symlink|unlink)/

export async function tryAll(directory: string, { sample, seed, only, print }: Extent): Promise<Outcome> {
  const starts: Start[] = []
  for (const scenario of scenarios) starts.push(await prepare(directory, scenario))
  const failures: string[] = []
  let tried = 0
  const attempt = async (start: Start, call: Point['call'], fault: Fault, what: string, keep?: string) => {
    const point = { scenario: start.scenario, call, fault }
    const onDamaged = async (home: string) => {
      if (keep) await cp(home, keep, { recursive: true, verbatimSymlinks: true })
    }
    tried++
    await tryPoint(directory, start, point, onDamaged).catch(error => {
      failures.push(`${what}${describePoint(point)}\n  ${error.message}`)
      print(failures.at(-1)!)
    })
  }

  const all = starts
    .flatMap(start =>
      start.calls.flatMap(call => (Object.keys(faults) as Fault[]).map(fault => ({ start, call, fault }))),
    )
    .filter(({ start: { scenario }, call, fault }) => only?.test(describePoint({ scenario, call, fault })) ?? true)
  print(`${starts.map(({ calls }) => calls.length).join(' + ')} system calls, ${all.length} points`)
  const chosen = sample === undefined ? all : choose(all, sample, seed)
  const wrecks: Start[] = []
  await inParallel(chosen, async ({ start, call, fault }, at) => {
    const again = fault === 'KILL' && turning.test(call.name) && /HOME\/(target|state\/install)/.test(call.words)
    const keep = again ? join(directory, `wreck-${at}`) : undefined
    await attempt(start, call, fault, '', keep)
    if (keep) wrecks.push(await survey(directory, start.scenario, keep))
    if (tried % 100 === 0) print(`${tried} tried, ${failures.length} failed`)
  })
  const different = [...new Map(wrecks.map(wreck => [wordsOfStart(wreck), wreck])).values()]
  const restarts = different.flatMap(wreck => callsOfStart(wreck).map(call => ({ start: wreck, call })))
  print(`${wrecks.length} wrecks, of ${different.length} kinds, with ${restarts.length} points in their restarts`)
  await inParallel(sample === undefined ? restarts : choose(restarts, sample / 5, seed), ({ start, call }) =>
    attempt(start, call, 'KILL', 'in the restart after a crash: '),
  )
  return { tried, failures }
}

/** What a start does before it hears any news. */
function callsOfStart({ calls }: Start): Start['calls'] {
  const news = calls.findIndex(({ name, words }) => name === 'openat' && words.includes('HOME/state/trust/'))
  return calls.slice(0, news)
}

/** Wrecks that are cleared up in the same way are of one kind. */
function wordsOfStart(wreck: Start): string {
  const { action, news } = wreck.scenario
  return [action, news, ...callsOfStart(wreck).map(({ words }) => words)].join('\n')
}

async function inParallel<T>(items: readonly T[], work: (item: T, at: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < items.length) {
      const at = next++
      await work(items[at]!, at)
    }
  }
  await Promise.all(Array.from({ length: workers }, worker))
}

function choose<T>(items: readonly T[], count: number, seed: number): T[] {
  const left = [...items]
  const random = chance(seed)
  const chosen: T[] = []
  while (chosen.length < count && left.length > 0) chosen.push(...left.splice(Math.floor(random() * left.length), 1))
  return chosen
}
