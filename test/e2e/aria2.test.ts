/** Real BitTorrent: a stock client gets an artifact from the nodes of a site, by our torrent and our tracker. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { asSha256 } from '../../src/core/digest.ts'
import { MiB } from '../../src/core/units.ts'
import { loadIdentity } from '../../src/daemon/identity.ts'
import { OriginClient } from '../../src/swarm/origin-client.ts'
import { needs } from '../support/needs.ts'
import { writePayload } from '../support/payload.ts'
import { scratchDir } from '../support/scratch.ts'
import { openSite, type Site } from '../support/site.ts'

test.skipIf(!needs('aria2c'))(
  'aria2c, given the torrent and the announce URL of the site, fetches identical bytes from its nodes',
  async () => {
    const site = await openSite({ nodes: 2 })
    await site.publish(await writePayload(site.home, 5 * MiB, 1))
    await Promise.all(site.nodes.map(node => node.update()))
    const { artifact } = (await site.nodes[0]!.status()).serving!
    const sent = site.origin.stats().artifactBytes

    const download = await scratchDir()
    await aria2(download, site.served('torrents', `${artifact}.torrent`), await announceUrl(site, artifact))

    const [target] = (await readdir(site.served('targets', 'demo'))).filter(name => name.startsWith(artifact))
    const wanted = await readFile(site.served('targets', 'demo', target!))
    expect((await readFile(join(download, 'demo-1.pack'))).equals(wanted)).toBe(true)
    const lanOut = (await Promise.all(site.nodes.map(node => node.status()))).reduce(
      (sum, { bytes }) => sum + bytes.lanOut,
      0,
    )
    expect(lanOut).toBeGreaterThanOrEqual(wanted.length)
    expect(site.origin.stats().artifactBytes).toBe(sent)
  },
  240_000,
)

/** As the first node gets it for a client beside it. */
async function announceUrl(site: Site, artifact: string): Promise<string> {
  const client = new OriginClient(site.url, {}, { key: await loadIdentity(site.nodes[0]!.stateDir) })
  onTestFinished(() => client.stop())
  return client.announceUrl(asSha256(artifact))
}

async function aria2(directory: string, torrent: string, tracker: string): Promise<void> {
  const quiet = ['--enable-dht=false', '--enable-dht6=false', '--bt-enable-lpd=false', '--enable-peer-exchange=false']
  const options = [`--dir=${directory}`, '--seed-time=0', '--file-allocation=none', `--bt-tracker=${tracker}`]
  const child = spawn('aria2c', ['--no-conf', '--listen-port=20000-40000', ...quiet, ...options, torrent])
  let output = ''
  child.stdout.on('data', chunk => (output += chunk))
  const [code] = await once(child, 'close')
  expect(code, output).toBe(0)
}
