/** Real BitTorrent: a stock client gets an artifact from the nodes of a site, by our torrent and our tracker. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { MiB } from '../../src/core/units.ts'
import { needs } from '../support/needs.ts'
import { writePayload } from '../support/payload.ts'
import { runCli } from '../support/run-cli.ts'
import { scratchDir } from '../support/scratch.ts'
import { openSite, type SiteNode } from '../support/site.ts'

test.skipIf(!needs('aria2c'))(
  'aria2c, given the torrent and the announce URL of the site, fetches identical bytes from its nodes',
  async () => {
    const site = await openSite({ nodes: 2 })
    await site.publish(await writePayload(site.home, 5 * MiB, 1))
    await Promise.all(site.nodes.map(node => node.update()))
    const { artifact } = (await site.nodes[0]!.status()).serving!
    const sent = site.origin.stats().artifactBytes

    const download = await scratchDir()
    await aria2(download, site.served('torrents', `${artifact}.torrent`), await announceUrl(site.nodes[0]!))

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

/** As `sigmesh announce-url` says it on that node. */
async function announceUrl(node: SiteNode): Promise<string> {
  const { stdout } = await runCli(['--socket', node.socket, 'announce-url', 'demo'])
  const [, url] = /^announce {2}(http:\S+)$/m.exec(stdout)!
  return url!
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
