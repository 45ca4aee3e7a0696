/**
 * A node of the soak: it joined by a token as machines do, is a process of its own, may be killed and started again, and is reached by
 * its neighbours through a link that cuts connections.
 *
 *   neighbours ──▶ 127.0.0.1:PORT [link] ──▶ 127.0.0.2:PORT, the node
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { controlClient } from '../../src/cli/control-client.ts'
import type { Stoppable } from '../../src/core/lifecycle.ts'
import type { ChannelStatus } from '../../src/daemon/status.ts'
import { answering } from '../demo/nodes.ts'
import { type Daemon, freePort, sigmesh, startDaemon } from '../processes.ts'
import { openWanLink, type WanLink } from '../wan-link.ts'

export const channel = 'soak'

export interface SoakNodeOptions {
  readonly name: string
  readonly home: string
  /** A join token. */
  readonly token: string
  /** The compiled daemon. */
  readonly program: string
  /** What the node may keep for its neighbours. */
  readonly quotaMiB: number
  /** As `WanLinkOptions.fate`. */
  readonly fate: () => number | undefined
}

const [outside, inside] = ['127.0.0.1', '127.0.0.2']

export class SoakNode implements Stoppable {
  readonly name: string
  readonly link: WanLink
  /** The link to the release in force. */
  readonly current: string
  /** Times it was killed. */
  kills = 0
  readonly #folder: string
  readonly #program: string
  readonly #client: ReturnType<typeof controlClient>
  readonly #env: Readonly<Record<string, string>>
  #daemon: Daemon | undefined

  private constructor({ name, home, program, quotaMiB }: SoakNodeOptions, link: WanLink) {
    const folder = join(home, name)
    const socket = join(folder, 'control.sock')
    this.name = name
    this.link = link
    this.current = join(folder, channel, 'current')
    this.#folder = folder
    this.#program = program
    this.#client = controlClient(socket)
    this.#env = {
      SIGMESH_CONTROL_SOCKET: socket,
      SIGMESH_SCHEDULE: '*/5 * * * * *',
      SIGMESH_SCHEDULE_JITTER_S: '5',
      SIGMESH_RETRY_S: '1',
      SIGMESH_STORE__QUOTA_MIB: `${quotaMiB}`,
      SIGMESH_LAN__BEACON__ENABLED: 'false', // what it says of addresses would lead around the link
      SIGMESH_LAN__LISTEN: inside,
      SIGMESH_LAN__ADDRESS: outside,
      SIGMESH_LAN__PORT: `${link.port}`,
      SIGMESH_LAN__NETWORKS: '["127.0.0.0/8"]',
    }
  }

  /** Join the mesh; `start` it next. */
  static async join(options: SoakNodeOptions, signal: AbortSignal): Promise<SoakNode> {
    const { name, home, token, fate } = options
    const folder = join(home, name)
    await mkdir(folder)
    const port = await freePort()
    const link = await openWanLink({ target: { host: inside, port }, listen: { host: outside, port }, fate })
    const node = new SoakNode(options, link)
    const places = ['--config', node.#config, '--state-dir', join(folder, 'state')]
    await sigmesh(
      ['join', token, '--node', name, '--channel', `${channel}=${join(folder, channel)}`, ...places],
      signal,
    )
    return node
  }

  get #config(): string {
    return join(this.#folder, 'node.toml')
  }

  /** Undefined while it is down. */
  get pid(): number | undefined {
    return this.#daemon?.pid
  }

  /** Why it ended by itself; undefined when it did not. */
  get failed(): string | undefined {
    return this.#daemon?.failed()
  }

  async start(signal: AbortSignal): Promise<void> {
    const log = join(this.#folder, `log.${this.kills}`)
    this.#daemon = startDaemon(['node', '--config', this.#config], log, this.#env, this.#program)
    await this.status(signal)
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const daemon = this.#daemon
    this.#daemon = undefined
    this.kills++
    await daemon?.kill()
  }

  /** Waits for it to answer. @throws Error when the process has ended by itself. */
  async status(signal: AbortSignal): Promise<ChannelStatus> {
    const status = async () => {
      if (this.failed) throw new Error(this.failed)
      return (await this.#client.status(signal)).channels[0]!
    }
    return answering({ status }, signal)
  }

  async stop(): Promise<void> {
    await this.#daemon?.stop()
    await this.link.stop()
  }
}
