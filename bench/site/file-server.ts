import { once } from 'node:events'
import { join } from 'node:path'
import type { Host } from '../netlab/host.ts'

const port = 8500

/** Serve a folder as plain files, below /targets/, from a host. @returns Its URL, when it does. */
export async function serveFiles(host: Host, folder: string): Promise<string> {
  const program = join(import.meta.dirname, 'serve-folder.ts')
  const server = host.spawn(process.execPath, [program, folder, `${port}`], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(server.stdout!, 'data')
  return `http://${host.address}:${port}`
}
