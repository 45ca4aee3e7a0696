/** Real clients: what we call BitTorrent has to be what the others call so. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { freePort } from '../../../bench/processes.ts'
import { MiB } from '../../../src/core/units.ts'
import type { PeerAddress } from '../../../src/swarm/engine.ts'
import { type ArtifactFixture, makeArtifact, withAnnounce } from '../../support/artifact.ts'
import { needs } from '../../support/needs.ts'
import { startPeerList } from '../../support/peer-list.ts'
import { type Case, holdsExactly, type Lab } from './lab.ts'

export function interop(run: Case): void {
  describe.skipIf(!needs('aria2c'))('aria2c', () => {
    run('aria2c fetches from us', async lab => {
      const fixture = makeArtifact({ length: 3 * MiB + 5 })
      const seeder = await lab.member(fixture, 'all')
      const aria = await aria2(lab, fixture, [seeder.address], ['--seed-time=0'])
      const [code] = await once(aria.process, 'exit')
      expect(code, aria.output()).toBe(0)
      expect((await readFile(join(aria.directory, fixture.name))).equals(fixture.content)).toBe(true)
    })

    run('we fetch from aria2c', async lab => {
      const fixture = makeArtifact({ length: 3 * MiB + 5 })
      const leecher = await lab.member(fixture, 'none')
      const options = ['--seed-ratio=0', '--check-integrity=true', '--bt-seed-unverified=false']
      const aria = await aria2(lab, fixture, [], options, fixture.content)
      await aria.listening()
      leecher.swarm.addPeers([aria.address])
      await leecher.swarm.completed()
      holdsExactly(leecher, fixture)
    })
  })
}

interface Aria {
  readonly process: ChildProcess
  readonly directory: string
  readonly address: PeerAddress
  output(): string
  listening(): Promise<void>
}

/** @param content What it has from the start. */
async function aria2(
  lab: Lab,
  fixture: ArtifactFixture,
  peers: readonly PeerAddress[],
  options: readonly string[],
  content?: Buffer,
): Promise<Aria> {
  const directory = await mkdtemp(join(tmpdir(), 'sigmesh-aria2-'))
  lab.onEnd(() => rm(directory, { recursive: true, force: true }))
  const tracker = await startPeerList(peers)
  lab.onEnd(tracker.stop)
  const torrent = join(directory, 'artifact.torrent')
  await writeFile(torrent, withAnnounce(fixture, tracker.url))
  if (content) await writeFile(join(directory, fixture.name), content)
  const port = await freePort()
  const quiet = [
    '--no-conf',
    '--enable-dht=false',
    '--enable-dht6=false',
    '--bt-enable-lpd=false',
    '--disable-ipv6=true',
  ]
  const aria = spawn(
    'aria2c',
    [...quiet, `--listen-port=${port}`, '--file-allocation=none', `--dir=${directory}`, ...options, torrent],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let output = ''
  for (const stream of [aria.stdout, aria.stderr]) stream.on('data', chunk => (output += chunk))
  lab.onEnd(async () => {
    if (aria.exitCode !== null || aria.signalCode !== null) return
    aria.kill('SIGKILL')
    await once(aria, 'exit')
  })
  const listening = async () => {
    while (!output.includes(String(port)) && aria.exitCode === null)
      await new Promise(resolve => setTimeout(resolve, 20))
  }
  return { process: aria, directory, address: { host: '127.0.0.1', port }, output: () => output, listening }
}
