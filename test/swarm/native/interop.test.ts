/** The wire as others speak it: every client as seeder and as leecher, identical bytes. aria2 is in the contract of every engine. */
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Child } from '../../../bench/engine/processes.ts'
import { transmissionHost } from '../../../bench/engine/transmission.ts'
import { freePort } from '../../../bench/processes.ts'
import { MiB, minute } from '../../../src/core/units.ts'
import type { PeerAddress } from '../../../src/swarm/engine.ts'
import { startNativeEngine } from '../../../src/swarm/native/engine.ts'
import { startWebtorrentEngine } from '../../../src/swarm/webtorrent/engine.ts'
import { makeArtifact, withAnnounce } from '../../support/artifact.ts'
import { needs, needsPython } from '../../support/needs.ts'
import { startPeerList } from '../../support/peer-list.ts'
import { holdsExactly, Lab } from '../contract/lab.ts'

const fixture = makeArtifact({ length: 5 * MiB + 7, pieceLength: 256 * 1024 })
let lab: Lab
beforeEach(() => {
  lab = new Lab(startNativeEngine)
})
afterEach(() => lab.clear())

describe('the webtorrent engine', () => {
  test.each([
    ['seeds', startWebtorrentEngine, startNativeEngine],
    ['leeches', startNativeEngine, startWebtorrentEngine],
  ])('it %s', async (_, seed, leech) => {
    const [seeds, leeches] = [new Lab(seed), new Lab(leech)]
    for (const each of [seeds, leeches]) lab.onEnd(() => each.clear())
    const [seeder, leecher] = [await seeds.member(fixture, 'all'), await leeches.member(fixture, 'none')]
    leecher.swarm.addPeers([seeder.address])
    await leecher.swarm.completed()
    holdsExactly(leecher, fixture)
  })
})

describe.skipIf(!needsPython('libtorrent'))('libtorrent', () => {
  const script = fileURLToPath(new URL('../../../bench/engine/libtorrent-member.py', import.meta.url))

  async function libtorrent(holds: boolean): Promise<{ child: Child; address: PeerAddress; file: string }> {
    const { directory, torrent, file } = await scratch(holds, [])
    const address = { host: '127.0.0.1', port: await freePort() }
    const child = new Child('/usr/bin/python3', ['-u', script, JSON.stringify({ torrent, directory, ...address })])
    lab.onEnd(() => child.stop())
    await child.heard(holds ? /^complete/ : /^listening/)
    return { child, address, file }
  }

  test('it seeds', async () => {
    const { address } = await libtorrent(true)
    const leecher = await lab.member(fixture, 'none')
    leecher.swarm.addPeers([address])
    await leecher.swarm.completed()
    holdsExactly(leecher, fixture)
  })

  test('it leeches', async () => {
    const seeder = await lab.member(fixture, 'all')
    const { child, file } = await libtorrent(false)
    child.say(JSON.stringify([seeder.address]))
    await child.heard(/^complete/)
    await eventuallySame(file)
  })
})

// It takes no peers on loopback addresses: only where this machine has another one.
const host = transmissionHost()
describe.skipIf(host === undefined || !needs('transmission-cli'))('transmission', () => {
  async function transmission(holds: boolean, peers: readonly PeerAddress[]) {
    const { directory, torrent, file } = await scratch(holds, peers)
    const port = await freePort()
    // Without DHT it does not wait half a minute for a name server.
    const settings = { 'dht-enabled': false, 'utp-enabled': false, 'lpd-enabled': false, 'pex-enabled': false }
    await mkdir(join(directory, 'config'))
    await writeFile(join(directory, 'config', 'settings.json'), JSON.stringify(settings))
    const folders = ['-g', join(directory, 'config'), '-w', directory]
    const child = new Child('transmission-cli', ['-M', '-et', '-p', `${port}`, ...folders, torrent])
    lab.onEnd(() => child.stop())
    return { address: { host: host!, port }, file }
  }
  const options = { listen: { host: host!, port: 0 }, networks: [`${host}/32`] }

  // It looks at its peers every ten seconds only: both at once.
  test('it seeds, and it leeches', { timeout: minute }, async () => {
    const [seeder, leecher] = [await lab.member(fixture, 'all', options), await lab.member(fixture, 'none', options)]
    const leeches = await transmission(false, [seeder.address])
    const seeds = await transmission(true, [])
    await expect.poll(() => answers(seeds.address), { timeout: 20_000 }).toBe(true)
    leecher.swarm.addPeers([seeds.address])
    await leecher.swarm.completed()
    holdsExactly(leecher, fixture)
    await eventuallySame(leeches.file)
  })
})

/** A folder with the torrent in it, and the payload when it `holds` that. */
async function scratch(holds: boolean, peers: readonly PeerAddress[]) {
  const directory = await mkdtemp(join(tmpdir(), 'sigmesh-interop-'))
  lab.onEnd(() => rm(directory, { recursive: true, force: true }))
  const tracker = await startPeerList(peers)
  lab.onEnd(tracker.stop)
  const torrent = join(directory, 'artifact.torrent')
  await writeFile(torrent, withAnnounce(fixture, tracker.url))
  const file = join(directory, fixture.name)
  if (holds) await writeFile(file, fixture.content)
  return { directory, torrent, file }
}

/** Some clients write under another name until they are done. */
async function eventuallySame(file: string): Promise<void> {
  const same = async () => {
    for (const name of [file, `${file}.part`]) if (await holds(name)) return true
    return false
  }
  const holds = async (name: string) => fixture.content.equals(await readFile(name).catch(() => Buffer.alloc(0)))
  await expect.poll(same, { timeout: minute }).toBe(true)
}

async function answers({ host, port }: PeerAddress): Promise<boolean> {
  const socket = connect(port, host)
  const answered = await once(socket, 'connect').then(
    () => true,
    () => false,
  )
  socket.destroy()
  return answered
}
