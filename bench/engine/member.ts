/** One of our engines in a process of its own: `member.js OPTIONS`. A line of JSON on its input is the list of its peers. */
import { createInterface } from 'node:readline'
import { systemClock } from '../../src/core/clock.ts'
import { GiB } from '../../src/core/units.ts'
import { openArtifactStore } from '../../src/store/artifact-store.ts'
import { Limiter } from '../../src/swarm/limits/limiter.ts'
import { readPayload } from './payload.ts'

const { engine, payload: path, directory, host, port, uploadBytesPerSecond } = JSON.parse(process.argv[2]!)
const { artifact, pieceHashes, metainfo } = await readPayload(path)
const store = await openArtifactStore(directory, { quotaBytes: 100 * GiB, clock: systemClock })
const pieces = await store.open(artifact, pieceHashes)
// Only the one that is measured is loaded.
const start =
  engine === 'native'
    ? (await import('../../src/swarm/native/engine.ts')).startNativeEngine
    : (await import('../../src/swarm/webtorrent/engine.ts')).startWebtorrentEngine
const started = await start({ listen: { host, port }, networks: ['0.0.0.0/0'] })
const limits = { lan_up: new Limiter(uploadBytesPerSecond), lan_down: new Limiter() }
const swarm = await started.join(artifact, metainfo, pieces, limits)
console.log('listening')
createInterface({ input: process.stdin }).on('line', line => swarm.addPeers(JSON.parse(line)))
await swarm.completed()
console.log('complete')
