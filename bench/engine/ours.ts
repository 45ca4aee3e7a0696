/** Our engines, each process running what a package would ship: compiled, on the store that a node has. */
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Child, type Contender, type Member, type MemberOptions } from './processes.ts'

/** @param program The compiled member.ts. */
export function ours(engine: 'native' | 'webtorrent', program: string): Contender {
  return {
    name: engine,
    async start({ payload, role, directory, address, peers, uploadBytesPerSecond }: MemberOptions): Promise<Member> {
      if (role === 'seed') await copyFile(payload.path, join(directory, `${payload.artifact.sha256}.part`))
      const { host, port } = address
      const options = { engine, payload: payload.path, directory, host, port, uploadBytesPerSecond }
      const child = new Child(process.execPath, [program, JSON.stringify(options)])
      await child.heard(/^listening/)
      return {
        pid: child.pid,
        file: join(directory, `${payload.artifact.sha256}.part`),
        complete: child.heard(/^complete/).then(() => {}),
        go: () => child.say(JSON.stringify(peers)),
        stop: () => child.stop(),
      }
    },
  }
}
