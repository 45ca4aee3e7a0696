/**
 * A company in network namespaces: an origin, branches behind thin lines, hosts on their LANs. For tests and benchmarks; it needs root
 * and Linux, iproute2, util-linux and Python 3.
 *
 *   origin 198.18.0.1 ══ line 1 (rate, queue, latency) ══ router 1 ── switch ┬─ host 10.1.0.10
 *          │                                                                 ├─ host 10.1.0.11      each cable: a LAN rate both ways
 *          └──────────── line 2 ═════════════════════════ router 2 ── switch ┴─ ...
 *
 * Branches could talk to one another by way of the origin's router, as in most companies; that they do not is for the counters of the
 * line to say. Nothing leads out of the laboratory, and nothing into it.
 *
 * It is taken down by `stop()`. When its process dies without that, its programs die with it, and the next laboratory that is opened
 * takes away the empty namespaces.
 */
import { type Stoppable, stopAll } from '../../src/core/lifecycle.ts'
import { Host, LanHost, lanRate } from './host.ts'
import { batch, command, ownPrefix, removeNamespace, sweep } from './namespaces.ts'
import { type Line, WanLine } from './wan.ts'

export interface BranchOptions {
  readonly hosts: number
  readonly line: Line
  /** What each host's cable carries, each way. Default 200 Mbit/s. */
  readonly lanMbit?: number
  /** The router hides its hosts behind its own address. Needs nftables. Default false. */
  readonly nat?: boolean
}

export interface LabOptions {
  /**
   * How all hosts send by TCP, as Linux calls it. Default `cubic`, what Linux is delivered with; a kernel's own default would make one
   * laboratory's figures another's.
   */
  readonly congestionControl?: string
}

export interface Branch {
  /** Counted from 1. */
  readonly number: number
  readonly router: Host
  readonly hosts: readonly LanHost[]
  readonly line: WanLine
  /** The addresses of its LAN. */
  readonly network: string
}

const mostHosts = 200
const mostBranches = 200
const originAddress = '198.18.0.1'
/** Laboratories of one process: a test file may open several, one after the other. */
let opened = 0

export class Lab implements Stoppable {
  readonly origin: Host
  readonly branches: Branch[] = []
  readonly #prefix: string
  readonly #congestionControl: string
  readonly #namespaces: string[] = []
  readonly #lines: WanLine[] = []

  private constructor(prefix: string, { congestionControl = 'cubic' }: LabOptions) {
    if (!/^[\w-]+$/.test(congestionControl))
      throw new RangeError(`${JSON.stringify(congestionControl)} is no name of a TCP congestion control`)
    this.#prefix = prefix
    this.#congestionControl = congestionControl
    this.origin = new Host(`${prefix}o`, originAddress)
  }

  /** @throws Error when this is not root on Linux, a program is missing, or the kernel lacks that congestion control; then nothing is left. */
  static async open(branches: readonly BranchOptions[], options: LabOptions = {}): Promise<Lab> {
    if (branches.length > mostBranches) throw new RangeError(`at most ${mostBranches} branches`)
    await sweep()
    const lab = new Lab(`${await ownPrefix()}${opened++}`, options)
    try {
      await lab.#namespace(lab.origin.namespace, [`address add ${originAddress}/32 dev lo`])
      await lab.#forwards(lab.origin)
      for (const [at, branch] of branches.entries()) lab.branches.push(await lab.#addBranch(at + 1, branch))
      return lab
    } catch (error) {
      await lab.stop()
      throw error
    }
  }

  async stop(): Promise<void> {
    await Promise.all(
      [this.origin, ...this.branches.flatMap(({ hosts, router }) => [...hosts, router])].map(h => h.killAll()),
    )
    await stopAll(this.#lines)
    await stopAll(this.#namespaces.map(name => ({ stop: () => removeNamespace(name) })))
    this.#namespaces.length = 0
  }

  async #addBranch(number: number, { hosts, line, lanMbit = 200, nat = false }: BranchOptions): Promise<Branch> {
    if (hosts > mostHosts) throw new RangeError(`at most ${mostHosts} hosts a branch`)
    const network = `10.${number}.0.0/24`
    const router = new Host(`${this.#prefix}b${number}r`, `10.${number}.0.1`)
    await this.#namespace(router.namespace, [
      'link add lan type bridge',
      `address add ${router.address}/24 dev lan noprefixroute`,
      'link set lan up',
      this.#route(`${network} dev lan src ${router.address}`),
    ])
    await this.#forwards(router)
    const wan = await this.#connect(number, router, network, line)
    if (nat) await hide(router)
    const numbers = Array.from({ length: hosts }, (_, at) => at + 1)
    const all = numbers.map(
      at => new LanHost(`${this.#prefix}b${number}h${at}`, `10.${number}.0.${at + 9}`, router, `port${at}`),
    )
    for (const [at, host] of all.entries()) await this.#plugIn(host, router, network, `port${at + 1}`, lanMbit)
    for (const host of all) await batch('ip', host.namespace, introduce(all.filter(other => other !== host)))
    return { number, router, hosts: all, line: wan, network }
  }

  /** The line, with an address at each end, and the routes over it. */
  async #connect(number: number, router: Host, network: string, line: Line): Promise<WanLine> {
    const tap = `wan-${number}`
    const wan = await WanLine.open(router, this.origin, tap, line)
    this.#lines.push(wan)
    const [near, far] = [`198.19.${number}.2`, `198.19.${number}.1`]
    await batch('ip', router.namespace, [
      `address add ${near}/30 dev wan noprefixroute`,
      'link set wan up',
      this.#route(`${far} dev wan src ${near}`),
      this.#route(`default via ${far}`),
    ])
    await batch('ip', this.origin.namespace, [
      `address add ${far}/30 dev ${tap} noprefixroute`,
      `link set ${tap} up`,
      this.#route(`${near} dev ${tap} src ${originAddress}`),
      this.#route(`${network} via ${near} src ${originAddress}`),
    ])
    return wan
  }

  async #plugIn(host: LanHost, router: Host, network: string, port: string, lanMbit: number): Promise<void> {
    await this.#namespace(host.namespace, [])
    await batch('ip', host.namespace, [
      `link add lan address ${ethernetAddress(host)} type veth peer name ${port} netns ${router.namespace}`,
      `address add ${host.address}/24 dev lan noprefixroute`,
      'link set lan up',
      this.#route(`${network} dev lan src ${host.address}`),
      this.#route(`default via ${router.address}`),
    ])
    await batch('ip', router.namespace, [`link set ${port} master lan up`])
    await batch('tc', host.namespace, [`qdisc add dev lan root ${lanRate(lanMbit)}`])
    await batch('tc', router.namespace, [`qdisc add dev ${port} root ${lanRate(lanMbit)}`])
  }

  async #namespace(name: string, lines: readonly string[]): Promise<void> {
    await command('ip', 'netns', 'add', name)
    this.#namespaces.push(name)
    // IPv6 would greet its neighbours on every interface, and be counted on the line.
    await sysctl(name, 'net/ipv6/conf/all/disable_ipv6', '1').catch(() => {}) // a kernel without IPv6 says nothing on its own
    await sysctl(name, 'net/ipv6/conf/default/disable_ipv6', '1').catch(() => {})
    await batch('ip', name, ['link set lo up', ...lines])
  }

  /**
   * What is sent over it goes by the laboratory's congestion control. A namespace's default could not say so: it may only be one that the whole
   * machine allows to everybody, which CUBIC need not be.
   */
  #route(path: string): string {
    return `route add ${path} congctl ${this.#congestionControl}`
  }

  #forwards(host: Host): Promise<void> {
    return sysctl(host.namespace, 'net/ipv4/ip_forward', '1')
  }
}

/** A locally administered one, made of the IPv4 address. */
function ethernetAddress({ address }: Host): string {
  const bytes = address.split('.').map(byte => Number(byte).toString(16).padStart(2, '0'))
  return ['02', '00', ...bytes].join(':')
}

/**
 * All namespaces of a machine share one table of neighbours, of 1024 entries by default. Forty hosts that know each other need more, and
 * past it the kernel drops datagrams, those to multicast groups too. Entries that are there for good are not counted.
 */
function introduce(hosts: readonly Host[]): string[] {
  return hosts.map(host => `neigh add ${host.address} lladdr ${ethernetAddress(host)} dev lan nud permanent`)
}

async function sysctl(namespace: string, path: string, value: string): Promise<void> {
  const write = 'printf "%s\\n" "$1" >"/proc/sys/$2"'
  await command('ip', 'netns', 'exec', namespace, 'sh', '-c', write, 'sh', value, path)
}

async function hide(router: Host): Promise<void> {
  const rules = 'table ip nat { chain out { type nat hook postrouting priority 100; oifname "wan" masquerade; }; }'
  await router.run('nft', rules)
}
