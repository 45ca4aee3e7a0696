/** What a whole `sigmeshd node` costs that serves an artifact to nobody and has nothing to do. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { controlClient } from '../../src/cli/control-client.ts'
import { type Stoppable, stopAll } from '../../src/core/lifecycle.ts'
import { second } from '../../src/core/units.ts'
import { freePort, listening, sigmesh, startDaemon } from '../processes.ts'
import { cpuSeconds, rssBytes } from './processes.ts'

const channel = 'bench'
/** Start, fetch and garbage are over; then it is watched. */
const calmMs = 30 * second
const watchMs = 60 * second

/**
 * @param home A folder that is not there yet, and is not after this either.
 * @param program The compiled `sigmeshd`.
 * @param source What it fetches, installs and then serves.
 */
export async function idleNode(home: string, program: string, source: string) {
  const signal = new AbortController().signal
  const started: Stoppable[] = []
  await mkdir(home)
  try {
    const operator = join(home, 'operator')
    await sigmesh(['init', operator, '--channel', channel], signal)
    await sigmesh(['publish', channel, source, '--repository', operator], signal)
    const port = await freePort()
    const config = join(operator, 'origin.bench.toml')
    const places = `repository = "${join(operator, 'repository')}"\nstate_dir = "${join(home, 'origin-state')}"\n`
    await writeFile(config, `${places}[listen]\naddress = "127.0.0.1"\nport = ${port}\n`)
    const origin = startDaemon(['origin', '--config', config], join(home, 'origin.log'), {}, program)
    started.push(origin)
    await listening(port, origin, signal)
    const url = `http://127.0.0.1:${port}`
    const token = await sigmesh(['enroll', '--site', 'bench', '--uses', '1', '--config', config, '--url', url], signal)
    const nodeToml = join(home, 'node.toml')
    const target = `${channel}=${join(home, 'target')}`
    const rest = ['--node', 'idle', '--channel', target, '--config', nodeToml, '--state-dir', join(home, 'state')]
    await sigmesh(['join', token.trim(), ...rest], signal)
    const socket = join(home, 'control.sock')
    const env = { SIGMESH_CONTROL_SOCKET: socket, SIGMESH_LAN__PORT: '0', SIGMESH_LAN__LISTEN: '127.0.0.1' }
    const node = startDaemon(['node', '--config', nodeToml], join(home, 'node.log'), env, program)
    started.push(node)
    const status = () =>
      controlClient(socket)
        .status()
        .catch(() => undefined)
    while (!(await status())?.channels[0]?.installed) {
      const failed = node.failed()
      if (failed) throw new Error(failed)
      await delay(100)
    }
    const beacon = (await status())?.beacon
    if (beacon?.state !== 'on') throw new Error(`a node whose beacon is ${beacon?.state} is idler than others`)
    await delay(calmMs)
    const before = cpuSeconds(node.pid)
    await delay(watchMs)
    return { rssBytes: rssBytes(node.pid), cpuShare: (cpuSeconds(node.pid) - before) / (watchMs / second) }
  } finally {
    await stopAll(started)
    await rm(home, { recursive: true, force: true })
  }
}
