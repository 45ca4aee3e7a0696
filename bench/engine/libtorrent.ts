/** libtorrent-rasterbar, from Debian, driven by a few lines of Python. */
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Child, type Contender, type Member, type MemberOptions } from './processes.ts'

export const libtorrent: Contender = {
  name: 'libtorrent',
  async start({ payload, role, directory, address, peers }: MemberOptions): Promise<Member> {
    if (role === 'seed') await copyFile(payload.path, join(directory, payload.name))
    const options = { torrent: `${payload.path}.torrent`, directory, ...address }
    const script = fileURLToPath(new URL('libtorrent-member.py', import.meta.url))
    const child = new Child('/usr/bin/python3', ['-u', script, JSON.stringify(options)])
    await child.heard(role === 'seed' ? /^complete/ : /^listening/)
    return {
      pid: child.pid,
      file: join(directory, payload.name),
      complete: child.heard(/^complete/).then(() => {}),
      go: () => child.say(JSON.stringify(peers)),
      stop: () => child.stop(),
    }
  },
}
