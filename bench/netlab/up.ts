/**
 * The laboratory by hand: `npm run netlab -- --help`. It stands until Ctrl-C.
 */
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { main } from '../main.ts'
import { Lab } from './lab.ts'
import { sweep } from './namespaces.ts'

const usage = `Usage: npm run netlab [-- options]

Branch offices in network namespaces (root, Linux): an origin, thin lines to routers, hosts on their LANs. Prints how to run a program
on each host, and stands until Ctrl-C.

Options:
  --branches N   branch offices (default 2)
  --hosts N      hosts in each (default 5)
  --wan MBIT     rate of each line, both ways, in Mbit/s (default 20)
  --latency MS   round trip of each line (default 30)
  --queue MS     what the queue at each end of a line holds (default 100)
  --lan MBIT     what each host's cable carries, both ways (default 200)
  --congestion A how all hosts send by TCP: any of the kernel's net.ipv4.tcp_available_congestion_control (default cubic)
  --nat          routers hide their hosts (needs nftables)
  --sweep        only take away what laboratories of dead processes have left
  --help         print this and end
`

const options = {
  branches: { type: 'string', default: '2' },
  hosts: { type: 'string', default: '5' },
  wan: { type: 'string', default: '20' },
  latency: { type: 'string', default: '30' },
  queue: { type: 'string', default: '100' },
  lan: { type: 'string', default: '200' },
  congestion: { type: 'string', default: 'cubic' },
  nat: { type: 'boolean', default: false },
  sweep: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

function number(flag: string, text: string, least: number): number {
  const value = Number(text)
  if (!(value >= least)) throw new TypeError(`--${flag} takes a number from ${least} on, not ${text}`)
  return value
}

function readWords(args: string[]) {
  const { values } = parseArgs({ args, options })
  if (values.help) return undefined
  const branch = {
    hosts: number('hosts', values.hosts, 1),
    line: {
      mbit: number('wan', values.wan, 0.01),
      latencyMs: number('latency', values.latency, 0),
      queueMs: number('queue', values.queue, 1),
    },
    lanMbit: number('lan', values.lan, 0.01),
    nat: values.nat,
  }
  return { ...values, plan: Array.from({ length: number('branches', values.branches, 1) }, () => branch) }
}

function describe({ origin, branches }: Lab): string {
  const enter = (words: readonly string[]) => `  ${words.join(' ')}`
  return [
    `origin ${origin.address}`,
    enter(origin.inside('sh')),
    ...branches.flatMap(({ number, hosts, router, network }) => [
      `branch ${number}: ${network}, ${hosts.length} hosts`,
      ...[router, ...hosts].map(host => `${enter(host.inside('sh'))}   # ${host.address}`),
    ]),
    'The counters of a line: ip -n ROUTER -s link show dev wan. Ctrl-C takes everything down.',
  ].join('\n')
}

async function run(
  { sweep: sweeps, plan, congestion }: NonNullable<ReturnType<typeof readWords>>,
  signal: AbortSignal,
) {
  if (sweeps) {
    console.log(`taken away: ${(await sweep()).join(' ') || 'nothing'}`)
    return 0
  }
  const lab = await Lab.open(plan, { congestionControl: congestion })
  try {
    console.log(describe(lab))
    const busy = setInterval(() => {}, 1 << 30) // keeps the process until the signal
    if (!signal.aborted) await once(signal, 'abort')
    clearInterval(busy)
  } finally {
    await lab.stop()
  }
  return 0
}

process.exitCode = await main({ name: 'netlab', usage, read: readWords, run })
