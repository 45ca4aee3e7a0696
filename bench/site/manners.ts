/** Rows about manners: what a limit of the site leaves of the line, moment by moment, and what others on the line notice. */
import { setTimeout as delay } from 'node:timers/promises'
import { MiB, second } from '../../src/core/units.ts'
import { BenchBranch } from './branch.ts'
import type { Figure, Row } from './figures.ts'
import { serveFiles } from './file-server.ts'

const nodes = 10
const lookMs = 50
const windowMs = 2 * second

interface Sample {
  readonly at: number
  readonly bytes: number
}

/** Looks at the line's own counter, frames and headers included, until the transfer is over. */
async function sampled(branch: BenchBranch, over: Promise<unknown>): Promise<Sample[]> {
  const samples: Sample[] = []
  let ended = false
  const end = over.finally(() => {
    ended = true
  })
  while (!ended) {
    samples.push({ at: performance.now(), bytes: (await branch.line.count()).down.bytes })
    await delay(lookMs)
  }
  await end
  return samples
}

/** Bytes a second over all pairs of samples that lie `ms` apart, or hardly more. */
function rates(samples: readonly Sample[], ms: number): number[] {
  return samples.flatMap(from => {
    const to = samples.find(({ at }) => at >= from.at + ms)
    return to ? [((to.bytes - from.bytes) * second) / (to.at - from.at)] : []
  })
}

async function siteLimit(mbit: number, payload: number): Promise<Figure[]> {
  const origin = { sites: { 'branch-1': { wan_down: `${mbit}Mbit` } } }
  return BenchBranch.with({ nodes, origin }, async branch => {
    const distribution = branch.distribute(payload)
    const samples = await sampled(branch, distribution)
    const { line, busy } = await distribution
    const limit = (mbit * 1e6) / 8
    const total = samples.at(-1)!.bytes - samples[0]!.bytes
    // From the first full second of bytes to the last: what is before is the asking, what is behind the installing.
    const flowing = samples.filter(
      ({ bytes }) => bytes - samples[0]!.bytes > limit && samples.at(-1)!.bytes - bytes > total / 50,
    )
    const [first, last] = [flowing[0]!, flowing.at(-1)!]
    const mean = ((last.bytes - first.bytes) * second) / (last.at - first.at)
    return [
      { name: 'rate on the line / limit', value: mean / limit, bar: 1.05 },
      { name: 'limit / rate on the line', value: limit / mean, bar: 1.05 },
      { name: 'most over any 2 s / limit', value: Math.max(...rates(samples, windowMs)) / limit, bar: 1.05 },
      { name: 'artifact bytes / payload', value: line.down.artifact / payload },
      { name: 'processors busy', value: busy },
    ]
  })
}

/** Round trips in ms of a stranger's pings over the line. @param end Stops it. */
async function pings(branch: BenchBranch, end: Promise<unknown>): Promise<number[]> {
  const { origin, branches } = branch.company.lab
  const child = branches[0]!.router.spawn('ping', ['-n', '-i', '0.05', origin.address], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout!.on('data', chunk => (output += chunk))
  const closed = new Promise(resolve => child.once('close', resolve))
  await end
  child.kill('SIGINT')
  await closed
  return [...output.matchAll(/time=([\d.]+) ms/g)].map(([, ms]) => Number(ms)).sort((a, b) => a - b)
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
const quantile = (sorted: readonly number[], share: number) => sorted[Math.floor((sorted.length - 1) * share)]!

async function foreignPing(plan: Omit<Parameters<typeof BenchBranch.with>[0], 'nodes'>): Promise<Figure[]> {
  return BenchBranch.with({ nodes, ...plan }, async branch => {
    const idle = await pings(branch, delay(5 * second))
    const distribution = branch.distribute(12 * MiB)
    const busy = await pings(branch, distribution)
    await distribution
    return [
      { name: 'mean round trip while distributing / idle', value: mean(busy) / mean(idle), bar: 1.5 },
      {
        name: 'median round trip while distributing / idle',
        value: quantile(busy, 0.5) / quantile(idle, 0.5),
        bar: 1.5,
      },
      { name: 'round trip of 95 % while distributing / idle', value: quantile(busy, 0.95) / quantile(idle, 0.95) },
    ]
  })
}

/** A stranger downloads while the branch distributes under a limit: it is as fast as on a line of what the limit leaves. */
async function foreignFlow(mbit: number, limitMbit: number): Promise<Figure[]> {
  const origin = { sites: { '*': { wan_down: `${limitMbit}Mbit` } } }
  return BenchBranch.with({ nodes, origin, wanMbit: mbit }, async branch => {
    const { lab } = branch.company
    const bytes = 6 * MiB
    const url = `${await serveFiles(lab.origin, await branch.source(bytes))}/targets/daily.cvd`
    const curl = async () =>
      Number(await lab.branches[0]!.router.run('curl', '-sf', '-o', '/dev/null', '-w', '%{time_total}', url))
    const distribution = branch.distribute(16 * MiB)
    await delay(2 * second)
    const seconds = await curl()
    await distribution
    const alone = await curl()
    const left = (mbit - limitMbit) / mbit
    return [
      {
        name: "a stranger's download / the same with what the limit leaves",
        value: (seconds * left) / alone,
        bar: 1.1,
      },
      { name: "a stranger's download / the same alone", value: seconds / alone },
    ]
  })
}

/** What a stranger's one connection gets of the line in a span, beside a branch that distributes without a limit, and alone. */
async function unlimitedBeside(plan: Omit<Parameters<typeof BenchBranch.with>[0], 'nodes'> = {}): Promise<Figure[]> {
  const spanSeconds = 8
  return BenchBranch.with({ nodes, ...plan }, async branch => {
    const { lab } = branch.company
    const url = `${await serveFiles(lab.origin, await branch.source(40 * MiB))}/targets/daily.cvd`
    // Ends by its time: whoever asks for the exit code, asks the shell.
    const curl = `curl -s -o /dev/null -m ${spanSeconds} -w '%{size_download}' ${url} || true`
    const received = async () => Number(await lab.branches[0]!.router.run('sh', '-c', curl))
    const alone = await received()
    const quiet = await branch.distribute(24 * MiB)
    const distribution = branch.distribute(28 * MiB)
    await delay(2 * second) // the deal is under way
    const kept = (await received()) / alone
    const { whole, lineSeconds, busy } = await distribution
    return [
      { name: "a stranger's bytes beside the distribution / alone", value: kept },
      { name: 'last node whole / the line alone, with the stranger', value: whole.at(-1)! / lineSeconds },
      { name: 'the same without a stranger', value: quiet.whole.at(-1)! / quiet.lineSeconds },
      { name: 'processors busy', value: busy },
    ]
  })
}

export const mannersRows: Readonly<Record<string, Row>> = {
  'site-limit': {
    about: `${nodes} nodes, 5 seats, a line of 20 Mbit/s, a site limit of 8 Mbit/s, 16 MiB`,
    run: () => siteLimit(8, 16 * MiB),
  },
  ping: {
    about: `round trips of a stranger's ping, ${nodes} nodes, a line of 20 Mbit/s, a site limit of 10 Mbit/s`,
    run: () => foreignPing({ origin: { sites: { '*': { wan_down: '10Mbit' } } } }),
  },
  'foreign-flow': {
    about: `a stranger's download meanwhile, ${nodes} nodes, a line of 20 Mbit/s, a site limit of 10 Mbit/s`,
    run: () => foreignFlow(20, 10),
  },
  'foreign-unlimited': {
    about: `without any limit: one connection of a stranger beside those of ${nodes} nodes, 5 seats, a line of 20 Mbit/s`,
    run: () => unlimitedBeside(),
  },
  'foreign-spare': {
    about: 'the same with `wan_connections = 3` at each node',
    run: () => unlimitedBeside({ node: () => ({ limits: { wan_connections: 3 } }) }),
  },
  'ping-node': {
    about: `the same, with a limit of 2 Mbit/s at each of five seats instead`,
    run: () => foreignPing({ node: () => ({ limits: { wan_down: '2Mbit' } }) }),
  },
}
