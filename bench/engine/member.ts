/**
 * One of our engines in a process of its own, on the store that a node has.
 *
 *   node bench/engine/member.ts ENGINE PAYLOAD DIRECTORY seed|leech [UPLOAD_BYTES_PER_SECOND]
 *
 * Says `{"port":…}` when it listens; takes lines of `host:port` to connect to; says `{"done":true}` when it is complete. It ends
 * when its input does, and last says what it cost.
 */

import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { systemClock } from '../../src/core/clock.ts'
import { GiB } from '../../src/core/units.ts'
import { openArtifactStore } from '../../src/store/artifact-store.ts'
import { readPayload } from './payload.ts'

const [engineName, payloadPath, directory, role, limit] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string?,
]
const payload = await readPayload(payloadPath)
const { artifact } = payload
if (role === 'seed') await copyFile(payload.path, join(directory, `${artifact.sha256}.part`))

const store = await openArtifactStore(directory, { quotaBytes: 100 * GiB, clock: systemClock })
const pieces = await store.open(artifact, payload.pieceHashes)
// Only the one that is measured is loaded.
const start =
  engineName === 'native'
    ? (await import('../../src/swarm/native/engine.ts')).startNativeEngine
    : (await import('../../src/swarm/webtorrent/engine.ts')).startWebtorrentEngine
const engine = await start({
  listen: { host: '127.0.0.1', port: 0 },
  networks: ['127.0.0.0/8'],
  ...(limit === undefined ? {} : { uploadBytesPerSecond: Number(limit) }),
})
const swarm = await engine.join(artifact, payload.metainfo, pieces)
say({ port: engine.port })
const before = process.cpuUsage()
const lines = createInterface({ input: process.stdin })
lines.on('line', line => {
  const [host, port] = line.split(':') as [string, string]
  swarm.addPeers([{ host, port: Number(port) }])
})
lines.on('close', async () => {
  const { user, system } = process.cpuUsage(before)
  say({
    cpuSeconds: (user + system) / 1e6,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    totals: swarm.totals(),
  })
  await engine.stop()
  process.exit()
})
await swarm.completed()
say({ done: true })

function say(what: object): void {
  process.stdout.write(`${JSON.stringify(what)}\n`)
}
