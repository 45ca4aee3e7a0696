/**
 * A stock webtorrent client with its defaults: `node webtorrent-client.ts FOLDER` fetches what FOLDER/payload.torrent names, by its tracker
 * and its web seeds, says `whole`, and serves until it is killed. The laboratory, which leads nowhere, kills it.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import WebTorrent from 'webtorrent'

const [folder = '.'] = process.argv.slice(2)
const client = new WebTorrent({ dht: false, lsd: false, natUpnp: false, natPmp: false })
client.on('error', error => {
  console.error(error)
  process.exit(1)
})
const defaults = { path: folder, strategy: 'sequential' as const }
const torrent = client.add(readFileSync(join(folder, 'payload.torrent')), defaults)
torrent.on('done', () => console.log('whole'))
