/** Our engines, each process running what a package would ship: compiled, on the store that a node has, with the settings of a node. */
import { link } from 'node:fs/promises'
import { join } from 'node:path'
import { leanEnvironment, leanFlags } from '../../src/cli/lean-start.ts'
import { Child, type Contender, type Member, type MemberOptions } from './processes.ts'

/** @param program The compiled member.ts. */
export function ours(engine: 'native' | 'webtorrent', program: string): Contender {
  return {
    name: engine,
    async start({ payload, role, directory, address, peers, uploadBytesPerSecond }: MemberOptions): Promise<Member> {
      // Not copies: what fifty of them have left to write to the disk would be on the leecher's bill.
      if (role === 'seed') await link(payload.path, join(directory, `${payload.artifact.sha256}.part`))
      const { host, port } = address
      const options = { engine, payload: payload.path, directory, host, port, uploadBytesPerSecond }
      const words = [...leanFlags, program, JSON.stringify(options)]
      const child = new Child(process.execPath, words, { env: leanEnvironment })
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
