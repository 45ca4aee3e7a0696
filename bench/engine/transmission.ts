/**
 * transmission-cli, from Debian. It takes no peers on loopback addresses, so it listens at another address of this machine; it learns
 * its peers from a tracker, and runs a script when it is complete.
 */
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startPeerList } from '../../test/support/peer-list.ts'
import {
  Child,
  type Contender,
  completionHook,
  listensOn,
  type Member,
  type MemberOptions,
  stockMember,
  withAnnounce,
} from './processes.ts'

const settings = {
  'dht-enabled': false, // with it, it waits half a minute for a name server
  'utp-enabled': false,
  'lpd-enabled': false,
  'pex-enabled': false,
  preallocation: 0,
}

/** @returns undefined on a machine that has only loopback. */
export function transmissionHost(): string | undefined {
  const own = Object.values(networkInterfaces()).flatMap(each => each ?? [])
  return own.find(({ family, internal }) => family === 'IPv4' && !internal)?.address
}

export const transmission: Contender = {
  name: 'transmission',
  async start({ payload, role, directory, address, peers }: MemberOptions): Promise<Member> {
    if (role === 'seed') await copyFile(payload.path, join(directory, payload.name))
    const host = transmissionHost()!
    const tracker = await startPeerList(role === 'seed' ? [] : peers.map(({ port }) => ({ host, port })))
    const torrent = join(directory, 'payload.torrent')
    await writeFile(torrent, withAnnounce(payload.metainfo, tracker.url))
    const config = join(directory, 'config')
    await mkdir(config)
    await writeFile(join(config, 'settings.json'), JSON.stringify(settings))
    const { hook, complete } = await completionHook(directory)
    const options = ['-M', '-et', '-p', `${address.port}`, '-g', config, '-w', directory, '-f', hook]
    const child = new Child('transmission-cli', [...options, torrent], { complaints: 'ignore' })
    while (!listensOn(address)) await delay(10)
    // What it has is checked in the background, and it says so on a screen only: give it the time.
    if (role === 'seed') await delay(5000)
    return stockMember(child, tracker, { file: join(directory, payload.name), complete })
  },
}
