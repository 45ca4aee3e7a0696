import { once } from 'node:events'
import { join } from 'node:path'
import type { BenchBranch } from './branch.ts'

const port = 8500

/** Serve a folder on the origin's host as plain files, and wait until it does. */
export async function serveFiles(branch: BenchBranch, folder: string): Promise<string> {
  const { origin } = branch.company.lab
  const server = origin.spawn(process.execPath, [join(import.meta.dirname, 'file-server.ts'), folder, `${port}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(server.stdout!, 'data')
  return `http://${origin.address}:${port}`
}

/** @returns Seconds that curl takes for so many bytes on one host of the branch, with nothing else on the line. */
export async function curlAlone(branch: BenchBranch, bytes: number): Promise<number> {
  const url = `${await serveFiles(branch, await branch.source(bytes))}/targets/daily.cvd`
  const [host] = branch.company.lab.branches[0]!.hosts
  return Number(await host!.run('curl', '-sf', '-o', '/dev/null', '-w', '%{time_total}', url))
}
