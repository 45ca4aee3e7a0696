/** The rows of the table that run on Sigmesh. Each builds its branch, and takes it down. */
import { setTimeout as delay } from 'node:timers/promises'
import { KiB, MiB, second } from '../../src/core/units.ts'
import { BenchBranch, type Outcome, usualPayload } from './branch.ts'
import { contenders } from './contenders.ts'
import type { Figure, Row } from './figures.ts'
import { serveFiles } from './file-server.ts'
import { processorsBusy } from './processors.ts'

const median = (sorted: readonly number[]) => sorted[Math.floor((sorted.length - 1) / 2)]!

/** The figures that every row of a whole distribution has. */
function cost(
  { payload, line, whole, installed, lineSeconds, busy }: Outcome,
  bars: { readonly wan?: number; readonly artifact?: number; readonly last?: number; readonly median?: number },
): Figure[] {
  const bar = (most: number | undefined) => (most === undefined ? {} : { bar: most })
  return [
    { name: 'WAN bytes down / payload, frames with headers', value: line.down.bytes / payload, ...bar(bars.wan) },
    { name: 'artifact bytes / payload', value: line.down.artifact / payload, ...bar(bars.artifact) },
    { name: "last node whole / the line's time", value: whole.at(-1)! / lineSeconds, ...bar(bars.last) },
    { name: "median node whole / the line's time", value: median(whole) / lineSeconds, ...bar(bars.median) },
    { name: "last node installed / the line's time (shared processors)", value: installed.at(-1)! / lineSeconds },
    { name: 'bytes between branches', value: line.down.foreign + line.up.foreign, bar: 0 },
    { name: 'processors busy', value: busy },
  ]
}

/**
 * @param wanMbit Slower where so many daemons would else ask more of this machine's processors than the line lets through.
 * @param congestionControl Other than the laboratory's own.
 */
function together(nodes: number, wanMbit: number, bars: Parameters<typeof cost>[1], congestionControl?: string): Row {
  const by = congestionControl === undefined ? '' : `, all hosts send by TCP ${congestionControl}`
  const plan = { nodes, wanMbit, ...(congestionControl !== undefined && { congestionControl }) }
  return {
    about: `${nodes} nodes start together, 50 MiB, ${wanMbit} Mbit/s, 30 ms${by}`,
    run: () => BenchBranch.with(plan, async branch => cost(await branch.distribute(usualPayload), bars)),
  }
}

/** Kill seeds when `share` of the payload has crossed the line. @param count Of the seeds, so many. */
function kill(count: number, share: number) {
  return (branch: BenchBranch) =>
    branch.distribute(usualPayload, {
      async meanwhile(about) {
        await branch.crossed(share, about)
        const seeds = (await branch.seeds()).slice(0, count)
        await Promise.all(seeds.map(seed => seed.kill()))
        return seeds
      },
    })
}

/** @returns Seconds that curl takes for so many bytes on one host of the branch, with nothing else on the line. */
async function curlAlone(branch: BenchBranch, bytes: number): Promise<number> {
  const { origin, branches } = branch.company.lab
  const url = `${await serveFiles(origin, await branch.source(bytes))}/targets/daily.cvd`
  return Number(await branches[0]!.hosts[0]!.run('curl', '-sf', '-o', '/dev/null', '-w', '%{time_total}', url))
}

export const rows: Readonly<Record<string, Row>> = {
  together: together(20, 20, { wan: 1.06, artifact: 1.01, last: 1.1, median: 1.08 }),
  'together-slower': together(20, 10, { wan: 1.06, artifact: 1.01, last: 1.1, median: 1.08 }),
  'together-bbr': together(20, 20, {}, 'bbr'),
  ten: together(10, 20, { last: 1.1 }),
  forty: together(40, 5, { last: 1.1 }),
  alone: {
    about: 'one node alone, against curl of the same file through the same line, one after the other',
    run: () =>
      BenchBranch.with({ nodes: 1 }, async branch => {
        const seconds = await curlAlone(branch, usualPayload)
        const outcome = await branch.distribute(usualPayload)
        return [
          { name: "one node whole / curl's time", value: outcome.whole[0]! / seconds, bar: 1.05 },
          { name: "curl's time / the line's time", value: seconds / outcome.lineSeconds },
          ...cost(outcome, {}),
        ]
      }),
  },
  'two-killed': {
    about: '20 nodes, 2 of 5 seeds killed at 40 %, against the same undisturbed',
    run: () =>
      BenchBranch.with({ nodes: 20 }, async branch => {
        const undisturbed = await branch.distribute(usualPayload)
        const outcome = await kill(2, 0.4)(branch)
        const ratio = outcome.whole.at(-1)! / undisturbed.whole.at(-1)!
        return [{ name: 'last node / undisturbed', value: ratio, bar: 1.25 }, ...cost(outcome, { artifact: 1.05 })]
      }),
  },
  'all-killed': {
    about: '20 nodes, all seeds killed at 50 %: every other node finishes',
    run: () =>
      BenchBranch.with({ nodes: 20 }, async branch => {
        const outcome = await kill(5, 0.5)(branch)
        return [
          { name: 'nodes that did not finish', value: 15 - outcome.whole.length, bar: 0 },
          ...cost(outcome, { artifact: 1.1 }),
        ]
      }),
  },
  spread: {
    about: '20 nodes start spread over the first 15 s',
    run: () =>
      BenchBranch.with({ nodes: 20 }, async branch => {
        const startMs = (at: number) => (at * 15 * second) / 19
        return cost(await branch.distribute(usualPayload, { startMs }), { artifact: 1.01, last: 1.12 })
      }),
  },
  thin: {
    about: '20 nodes, a thin line: 2 Mbit/s, 80 ms, 8 MiB',
    run: () =>
      BenchBranch.with({ nodes: 20, wanMbit: 2, latencyMs: 80 }, async branch =>
        cost(await branch.distribute(8 * MiB), { artifact: 1.01, last: 1.1 }),
      ),
  },
  'slow-seed': {
    about:
      '20 nodes, the cable of one seed limited to 1 Mbit/s both ways from 2 % on; all others, against the same undisturbed',
    run: () =>
      BenchBranch.with({ nodes: 20 }, async branch => {
        const undisturbed = await branch.distribute(usualPayload)
        const outcome = await branch.distribute(usualPayload, {
          async meanwhile(about) {
            await branch.crossed(0.02, about)
            const slow = (await branch.seeds()).slice(0, 1)
            for (const { host } of slow) await host.setRate(1)
            return slow
          },
        })
        const ratio = outcome.whole.at(-1)! / undisturbed.whole.at(-1)!
        return [{ name: 'last of the others / undisturbed', value: ratio, bar: 1.25 }, ...cost(outcome, {})]
      }),
  },
  'origin-gone': {
    about: '20 nodes, the origin killed once the site holds every piece in union',
    run: () =>
      BenchBranch.with({ nodes: 20 }, async branch => {
        const outcome = await branch.distribute(usualPayload, {
          async meanwhile(about) {
            await branch.crossed(1, about)
            while ((await branch.seeds()).length > 0) await delay(50)
            await branch.company.killOrigin()
            return []
          },
        })
        return [{ name: 'nodes that did not finish', value: 20 - outcome.whole.length, bar: 0 }, ...cost(outcome, {})]
      }),
  },
  'wake-up': {
    about:
      '10 KiB, 40 nodes, from publish returning to the last node installed: they hear of it by push and from one another',
    run: () =>
      BenchBranch.with({ nodes: 40, node: () => ({ push: true, lan: {} }) }, async branch => {
        await delay(5 * second) // let those whom the origin takes as listeners be taken
        const busy = await processorsBusy()
        const release = await branch.publish(10 * KiB)
        const publishedAt = Date.now()
        const times = await branch.settled(release)
        return [
          {
            name: 'seconds to the last node, less a round trip',
            value: (times.at(-1)! - publishedAt) / second - 0.03,
            bar: 1.5,
          },
          {
            name: 'seconds to the median node, less a round trip',
            value: (median(times) - publishedAt) / second - 0.03,
          },
          { name: 'processors busy', value: await busy() },
        ]
      }),
  },
  'wan-dead': {
    about: '20 nodes, the line is dead, one node has release N and 19 boot with N-1',
    run: () =>
      BenchBranch.with({ nodes: 20, node: () => ({ lan: {} }) }, async branch => {
        const [first, ...others] = branch.company.machines
        await Promise.all(others.map(machine => machine.kill()))
        const release = await branch.publish(MiB)
        await first!.control.update(undefined)
        await branch.line.cut()
        const before = await branch.line.interfaceBytes()
        for (const machine of others) await machine.start()
        for (const machine of others) await machine.answering()
        const times = await branch.settled(release)
        const after = await branch.line.interfaceBytes()
        return [
          { name: 'nodes without the release', value: 20 - times.length, bar: 0 },
          { name: 'bytes over the line', value: after.down - before.down, bar: 0 },
          { name: 'bytes that the branch tried to send over it', value: after.up - before.up },
        ]
      }),
  },
  ...contenders,
}
