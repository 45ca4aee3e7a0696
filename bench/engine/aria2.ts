/** aria2c, from Debian. It learns its peers from a tracker, and tells by its hook when it is complete. */
import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startPeerList } from '../../test/support/peer-list.ts'
import {
  Child,
  type Contender,
  completionHook,
  type Member,
  type MemberOptions,
  stockMember,
  withAnnounce,
} from './processes.ts'

const quiet = ['--no-conf', '--enable-dht=false', '--enable-dht6=false', '--bt-enable-lpd=false', '--disable-ipv6=true']
const lasting = ['--seed-ratio=0', '--file-allocation=none', '--summary-interval=0', '--check-integrity=true']

export const aria2: Contender = {
  name: 'aria2',
  async start({ payload, role, directory, address, peers }: MemberOptions): Promise<Member> {
    if (role === 'seed') await copyFile(payload.path, join(directory, payload.name))
    const tracker = await startPeerList(role === 'seed' ? [] : peers)
    const torrent = join(directory, 'payload.torrent')
    await writeFile(torrent, withAnnounce(payload.metainfo, tracker.url))
    const { hook, complete } = await completionHook(directory)
    const options = [`--listen-port=${address.port}`, `--dir=${directory}`, `--on-bt-download-complete=${hook}`]
    const child = new Child('aria2c', [...quiet, ...lasting, ...options, torrent])
    await child.heard(/listening on TCP/)
    return stockMember(child, tracker, { file: join(directory, payload.name), complete })
  },
}
