/**
 * A branch office on loopback: a real repository, a real origin, real nodes. Nodes run in this process (cheap, for many of them) or each
 * in its own (to be killed). Everything is gone when the test is over.
 */
import { randomInt } from 'node:crypto'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stringify as stringifyToml } from 'smol-toml'
import { onTestFinished } from 'vitest'
import { startDaemon } from '../../bench/processes.ts'
import { openWanLink, type WanLink, type WanLinkOptions } from '../../bench/wan-link.ts'
import { controlClient } from '../../src/cli/control-client.ts'
import { ControlError } from '../../src/core/errors.ts'
import { type Stoppable, stopAll } from '../../src/core/lifecycle.ts'
import { silentLog } from '../../src/core/log.ts'
import { minute, second } from '../../src/core/units.ts'
import { nodeConfig } from '../../src/daemon/config.ts'
import { joinOrigin } from '../../src/daemon/join.ts'
import { startNode } from '../../src/daemon/node.ts'
import type { ChannelStatus, CycleResult, HistoryEntry, NodeStatus, PeerList } from '../../src/daemon/status.ts'
import { originConfig } from '../../src/origin/config.ts'
import { enroll } from '../../src/origin/enroll.ts'
import { NodeRegistry } from '../../src/origin/node-registry.ts'
import { type RunningOrigin, startOrigin } from '../../src/origin/origin.ts'
import { initRepository } from '../../src/publish/init.ts'
import { type PublishOptions, publish } from '../../src/publish/publish.ts'
import { readTree, scratchDir } from './scratch.ts'

export interface SiteOptions {
  readonly nodes: number
  /** Default `required`: the nodes join, as machines do. */
  readonly join?: 'required' | 'open'
  readonly seats?: number
  /** More of origin.toml. */
  readonly origin?: Readonly<Record<string, unknown>>
  /** The nodes hear each other by multicast, in a group of their own. Default: they do not. */
  readonly beacon?: boolean
  /** A line between the origin and the nodes. */
  readonly line?: Omit<WanLinkOptions, 'target'>
  /** Each node a process of its own. Default: all in this one. */
  readonly processes?: boolean
  /** More of node.toml: of all nodes, or of the one of that name. */
  readonly node?: Readonly<Record<string, unknown>> | ((name: string) => Readonly<Record<string, unknown>>)
  /** More of the channel's entry in the node.toml of that node. */
  readonly channel?: (node: string) => Readonly<Record<string, unknown>>
  /** More channels, with their entries, for all nodes. Relative paths are below the folder of the node. */
  readonly channels?: Readonly<Record<string, { readonly path: string }>>
}

export const channel = 'demo'

interface PublishWishes extends Pick<PublishOptions, 'force' | 'canary' | 'priority'> {
  /** Default: `channel`. */
  readonly to?: string
}

export interface SiteNode {
  readonly name: string
  readonly stateDir: string
  /** Where `sigmesh` reaches it. */
  readonly socket: string
  /** Where the channel is installed; `current` in it is the release in force. */
  readonly target: string
  start(): Promise<void>
  stop(): Promise<void>
  /** kill -9. Only for nodes that are processes. */
  kill(): Promise<void>
  /** Of a node that is a process and runs. */
  pid(): number
  update(): Promise<CycleResult>
  status(): Promise<ChannelStatus>
  /** The whole answer. */
  nodeStatus(): Promise<NodeStatus>
  peers(): Promise<PeerList>
  history(): Promise<readonly HistoryEntry[]>
  /** The files in force; undefined when there are none. */
  installed(): Promise<Record<string, string> | undefined>
}

export class Site {
  readonly home: string
  readonly nodes: SiteNode[] = []
  line: WanLink | undefined
  origin!: RunningOrigin
  readonly #options: SiteOptions
  readonly #started: Stoppable[] = []
  /** By chance no other site's on this machine; and if it were, its key would be another. */
  readonly #beacon = { group: `239.255.${randomInt(256)}.${randomInt(256)}`, port: randomInt(20_000, 30_000) }
  #originPort = 0
  #originUp = false

  constructor(home: string, options: SiteOptions) {
    this.home = home
    this.#options = options
  }

  get repository(): string {
    return join(this.home, 'operator')
  }

  /** The folder that the origin serves. */
  served(...path: string[]): string {
    return join(this.repository, 'repository', ...path)
  }

  async publish(source: string, label?: string, { to = channel, ...options }: PublishWishes = {}) {
    const about = { now: Date.now(), ...(label === undefined ? {} : { label }), ...options }
    return publish(this.repository, to, source, about)
  }

  async startOrigin(): Promise<void> {
    this.origin = await startOrigin(this.#originConfig(), { log: silentLog })
    this.#originPort = this.origin.port
    this.#originUp = true
  }

  #originConfig() {
    return originConfig.parse({
      repository: this.served(),
      join: this.#options.join ?? 'required',
      state_dir: join(this.home, 'origin-state'),
      seats_per_site: this.#options.seats ?? 5,
      ...this.#options.origin,
      listen: { address: '127.0.0.1', port: this.#originPort },
    })
  }

  /** As `sigmesh revoke` does, beside the running origin. */
  async revoke(node: string): Promise<void> {
    const registry = new NodeRegistry(join(this.home, 'origin-state'))
    registry.revoke(node, Date.now())
    await registry.stop()
  }

  async stopOrigin(): Promise<void> {
    if (this.#originUp) await this.origin.stop()
    this.#originUp = false
  }

  async open(): Promise<this> {
    await initRepository(this.repository, {
      channels: [channel, ...Object.keys(this.#options.channels ?? {})],
      now: Date.now(),
    })
    await this.startOrigin()
    if (this.#options.line) {
      const target = { host: '127.0.0.1', port: this.#originPort }
      this.line = await openWanLink({ ...this.#options.line, target })
      this.#started.push(this.line)
    }
    for (let at = 1; at <= this.#options.nodes; at++) this.nodes.push(await this.#makeNode(`node-${at}`))
    await Promise.all(this.nodes.map(node => node.start()))
    return this
  }

  async close(): Promise<void> {
    await stopAll([{ stop: () => this.stopOrigin() }, ...this.#started, ...this.nodes])
  }

  /** How nodes reach the origin. */
  get url(): string {
    return this.line?.url ?? this.origin.url
  }

  async #join(node: string, folder: string, stateDir: string): Promise<void> {
    const [configFile, rootFile] = [join(folder, 'node.toml'), join(folder, 'root.json')]
    const rules = { site: 'branch', uses: 1, expires: Date.now() + minute, url: this.url }
    const token = await enroll(this.#originConfig(), rules, Date.now())
    await joinOrigin({ token, node, configFile, rootFile, stateDir, channels: {} })
  }

  async #makeNode(name: string): Promise<SiteNode> {
    const folder = join(this.home, name)
    await mkdir(folder)
    const paths = {
      stateDir: join(folder, 'state'),
      target: join(folder, 'target'),
      socket: join(folder, 'control.sock'),
    }
    if (this.#options.join !== 'open') await this.#join(name, folder, paths.stateDir)
    const config = {
      origin: this.url,
      root: join(this.repository, 'root.json'),
      node: name,
      site: 'branch',
      state_dir: paths.stateDir,
      control_socket: paths.socket,
      check_on_start: false,
      push: false, // each test says itself when its nodes look
      ...(typeof this.#options.node === 'function' ? this.#options.node(name) : this.#options.node),
      lan: {
        listen: '127.0.0.1',
        address: '127.0.0.1',
        port: 0,
        networks: ['127.0.0.0/8'],
        beacon: { enabled: this.#options.beacon ?? false, ...this.#beacon },
      },
      channels: {
        [channel]: { path: paths.target, ...this.#options.channel?.(name) },
        ...Object.fromEntries(
          Object.entries(this.#options.channels ?? {}).map(([more, { path }]) => [
            more,
            { path: resolve(folder, path) },
          ]),
        ),
      },
    }
    const running = this.#options.processes ? await asProcess(folder, config, paths.socket) : inProcess(config)
    return { name, ...paths, ...running, ...lookAt(paths) }
  }
}

/** Start a site; it is taken down when the test is over. */
export async function openSite(options: SiteOptions): Promise<Site> {
  const site = new Site(await scratchDir(), options)
  onTestFinished(() => site.close())
  return site.open()
}

type Life = Pick<SiteNode, 'start' | 'stop' | 'kill' | 'pid'>

function inProcess(config: unknown): Life {
  let running: Stoppable | undefined
  return {
    async start() {
      running = await startNode(nodeConfig.parse(config), { log: silentLog })
    },
    async stop() {
      await running?.stop()
      running = undefined
    },
    async kill() {
      throw new Error('this node shares the process of the test')
    },
    pid: () => process.pid,
  }
}

async function asProcess(folder: string, config: unknown, socket: string): Promise<Life> {
  const file = join(folder, 'node.toml')
  await writeFile(file, stringifyToml(config))
  let running: ReturnType<typeof startDaemon> | undefined
  return {
    async start() {
      running = startDaemon(['node', '--config', file], join(folder, 'log'))
      await answering(socket, running)
    },
    async stop() {
      await running?.stop()
      running = undefined
    },
    async kill() {
      await running?.kill()
      running = undefined
    },
    pid: () => running?.pid ?? 0,
  }
}

async function answering(socket: string, daemon: { failed(): string | undefined }): Promise<void> {
  for (const patience = AbortSignal.timeout(30 * second); ; ) {
    try {
      await controlClient(socket).status()
      return
    } catch (error) {
      if (!(error instanceof ControlError) || error.code !== 'daemon_unreachable') throw error
      const failed = daemon.failed()
      if (failed) throw new Error(failed)
      await delay(50, undefined, { signal: patience })
    }
  }
}

function lookAt({ socket, target }: { socket: string; target: string }) {
  const client = controlClient(socket)
  return {
    update: async () => (await client.update(channel))[0]!,
    status: async () => (await client.status()).channels[0]!,
    nodeStatus: () => client.status(),
    peers: () => client.peers(),
    history: () => client.history(500),
    installed: async () => {
      const names = await readdir(target).catch((): string[] => [])
      return names.includes('current') ? readTree(join(target, 'current')) : undefined
    },
  }
}
