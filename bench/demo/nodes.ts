/** The nodes of the demo's site: each joins by a token, as a machine does, and is one process with a directory of its own, on 127.0.0.1. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { controlClient } from '../../src/cli/control-client.ts'
import { ControlError } from '../../src/core/errors.ts'
import type { Stoppable } from '../../src/core/lifecycle.ts'
import { second } from '../../src/core/units.ts'
import type { Bytes, ChannelStatus } from '../../src/daemon/status.ts'
import { sigmesh, startDaemon } from '../processes.ts'

export interface DemoNode extends Stoppable {
  readonly name: string
  readonly socket: string
  /** The link to the release in force. */
  readonly current: string
  /** @throws Error when the process has ended. */
  status(): Promise<ChannelStatus>
  update(signal: AbortSignal): Promise<void>
}

export interface SiteOptions {
  readonly home: string
  readonly count: number
  /** A join token for all of them, whose origin is the near end of the line. */
  readonly token: string
}

const startTimeoutMs = 60 * second

/** Start them all at once, and wait until each one answers. The caller stops them, also when this rejects. */
export async function startNodes(
  options: SiteOptions,
  started: Stoppable[],
  signal: AbortSignal,
): Promise<readonly DemoNode[]> {
  const nodes = await Promise.all(Array.from({ length: options.count }, (_, at) => startNode(at + 1, options, signal)))
  started.push(...nodes)
  const patience = AbortSignal.any([signal, AbortSignal.timeout(startTimeoutMs)])
  for (const node of nodes) await answering(node, patience)
  return nodes
}

/** On loopback, beside seven others: what a machine of its own would not need to be told. */
const surroundings = (socket: string) => ({
  SIGMESH_CONTROL_SOCKET: socket,
  SIGMESH_CHECK_ON_START: 'false', // the demo says when, so that all begin together
  SIGMESH_PUSH: 'false', // as above
  SIGMESH_LAN__BEACON__ENABLED: 'false', // as above
  SIGMESH_LAN__LISTEN: '127.0.0.1',
  SIGMESH_LAN__ADDRESS: '127.0.0.1',
  SIGMESH_LAN__PORT: '0',
  SIGMESH_LAN__NETWORKS: '["127.0.0.0/8"]',
})

async function startNode(number: number, { home, token }: SiteOptions, signal: AbortSignal): Promise<DemoNode> {
  const name = `node-${number}`
  const folder = join(home, name)
  const socket = join(folder, 'control.sock')
  await mkdir(folder)
  const configFile = join(folder, 'node.toml')
  const places = ['--config', configFile, '--state-dir', join(folder, 'state')]
  await sigmesh(['join', token, '--node', name, '--channel', `demo=${join(folder, 'demo')}`, ...places], signal)
  const daemon = startDaemon(['node', '--config', configFile], join(home, `${name}.log`), surroundings(socket))
  const client = controlClient(socket)
  return {
    name,
    socket,
    current: join(folder, 'demo', 'current'),
    async status() {
      const ended = daemon.failed()
      if (ended) throw new Error(ended)
      return (await client.status()).channels[0]!
    },
    async update(signal) {
      const [result] = await client.update(undefined, signal)
      if (result?.error) throw new Error(`${name}: ${result.error.message} [${result.error.code}]`)
    },
    stop: () => daemon.stop(),
  }
}

/** Wait for the daemon to answer on its control socket. @returns What it says. */
export async function answering({ status }: Pick<DemoNode, 'status'>, signal: AbortSignal): Promise<ChannelStatus> {
  for (;;) {
    try {
      return await status()
    } catch (error) {
      if (!(error instanceof ControlError) || error.code !== 'daemon_unreachable') throw error
      await delay(100, undefined, { signal })
    }
  }
}

/** What one release cost one node. */
export interface NodeOutcome {
  readonly name: string
  readonly installed: ChannelStatus['installed']
  readonly bytes: Bytes
  readonly seconds: number
  readonly artifactBytes: number
}

/** Update all nodes at the same moment. @throws the first failure, when all have ended. */
export async function updateAll(nodes: readonly DemoNode[], signal: AbortSignal): Promise<readonly NodeOutcome[]> {
  const outcomes = await Promise.allSettled(nodes.map(node => updateOne(node, signal)))
  return outcomes.map(outcome => {
    if (outcome.status === 'rejected') throw outcome.reason
    return outcome.value
  })
}

async function updateOne(node: DemoNode, signal: AbortSignal): Promise<NodeOutcome> {
  const before = (await node.status()).bytes
  const startedAt = performance.now()
  await node.update(signal)
  const seconds = (performance.now() - startedAt) / second
  const { bytes, installed, serving } = await node.status()
  const { name } = node
  const grown = (source: keyof Bytes) => bytes[source] - before[source]
  const own = { wan: grown('wan'), lanIn: grown('lanIn'), lanOut: grown('lanOut'), wasted: grown('wasted') }
  return { name, installed, bytes: own, seconds, artifactBytes: serving?.bytes ?? 0 }
}
