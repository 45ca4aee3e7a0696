/**
 * Run on the origin's host: lets machines join, all in one process, since a command for each of forty would take half a minute.
 *
 *   node join-machines.ts < [{ "token": "…", "node": "b1-1", "folder": "/…", "channel": "signatures" }, …]
 */
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { joinOrigin } from '../../src/daemon/join.ts'

interface Joining {
  readonly token: string
  readonly node: string
  readonly folder: string
  readonly channel: string
}

for (const { token, node, folder, channel } of (await json(process.stdin)) as Joining[]) {
  await joinOrigin({
    token,
    node,
    configFile: join(folder, 'node.toml'),
    rootFile: join(folder, 'root.json'),
    stateDir: join(folder, 'state'),
    channels: { [channel]: { path: join(folder, channel) } },
  })
}
