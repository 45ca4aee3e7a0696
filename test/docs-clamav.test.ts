/** docs/clamav.md, line by line: an operator publishes, a machine joins, clamd is started where the page starts it. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { chown, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parse as parseToml } from 'smol-toml'
import { expect, onTestFinished, test } from 'vitest'
import { freePort } from '../bench/processes.ts'
import { nodeConfig } from '../src/daemon/config.ts'
import { isRoot } from '../src/install/account.ts'
import { ndbLine, scan, startClamd } from './support/clamd.ts'
import { needs } from './support/needs.ts'
import { runCli, startCli } from './support/run-cli.ts'
import { scratchDir, writeTree } from './support/scratch.ts'

const page = readFileSync(join(import.meta.dirname, '../docs/clamav.md'), 'utf8')
const lines = page.split('\n').flatMap(line => /^ {4}(\S.*)$/.exec(line)?.[1]?.replace(/\s+#.*$/, '') ?? [])

test.each([...page.matchAll(/```toml\n(.*?)```/gs)].map(([, toml]) => toml!))('the entry is one: %s', toml => {
  const { channels } = parseToml(toml)
  expect(() => nodeConfig.parse({ origin: 'https://x', root: '/x', channels })).not.toThrow()
})

test.skipIf(!needs('clamd', 'clamscan'))(
  'every line for ClamAV does what the page says, in its order',
  async () => {
    const home = await scratchDir()
    const databases = join(home, 'clamav')
    await mkdir(databases)
    if (isRoot()) await chown(databases, 1, 1)
    await writeTree(home, { 'srv/signatures/company.ndb': ndbLine('Company.First', 'sigmesh-first-pattern-7f3a') })
    const clamd = join(home, 'clamd.ctl')
    const url = `http://127.0.0.1:${await freePort()}`
    const origin = { SIGMESH_URL: url, SIGMESH_LISTEN__ADDRESS: '127.0.0.1', SIGMESH_LISTEN__PORT: new URL(url).port }
    const config = join(home, 'etc/node.toml')
    const socket = join(home, 'control.sock')
    /** What is the machine's, and not the page's. */
    const node = {
      SIGMESH_CONTROL_SOCKET: socket,
      SIGMESH_CHECK_ON_START: 'false',
      SIGMESH_LAN__LISTEN: '127.0.0.1',
      SIGMESH_LAN__PORT: '0',
      SIGMESH_CHANNELS__CLAMAV__PATH: databases,
      SIGMESH_CHANNELS__CLAMAV__CLAMD_SOCKET: clamd,
      ...(isRoot() && { SIGMESH_CHANNELS__CLAMAV__OWNER: 'daemon' }),
    }
    const here = (line: string) =>
      line
        .replaceAll('/srv/', `${home}/srv/`)
        .replaceAll('/var/lib/clamav', databases)
        .replaceAll('/run/clamav/clamd.ctl', clamd)
    const daemon = async (args: string[], env: NodeJS.ProcessEnv, isUp: () => Promise<unknown>) => {
      const child = startCli(args, { program: 'sigmeshd', env })
      child.stdout.resume()
      onTestFinished(() => void child.kill('SIGKILL'))
      await expect.poll(isUp, { timeout: 30_000, interval: 200 }).toBe(true)
    }
    const sigmesh = (line: string) => runCli(here(line).split(' ').slice(1), { env: { SIGMESH_SOCKET: socket } })
    const joinSite = async (line: string) => {
      const originToml = join(home, 'srv/sigmesh/origin.toml')
      await daemon(
        ['origin', '--config', originToml],
        origin,
        async () => (await fetch(`${url}/v1/health`).catch(() => undefined))?.ok,
      )
      const token = await runCli(['enroll', '--config', originToml, '--site', 'berlin'], { env: origin })
      const words = line.replace(' < token', '').split(' ').slice(1)
      const child = startCli([...words, '--config', config, '--state-dir', join(home, 'state')])
      child.stdin.end(token.stdout)
      expect(await once(child, 'close')).toEqual([0, null])
    }

    const codes: [string, number | null, string][] = []
    for (const line of lines) {
      if (line.startsWith('sigmesh join')) await joinSite(line)
      else if (line.startsWith('systemctl enable --now sigmesh-node'))
        await daemon(['node', '--config', config], node, async () => (await sigmesh('sigmesh status')).code === 0)
      else if (line.startsWith('systemctl start clamav-daemon'))
        await startClamd(join(home, 'clamd.conf'), clamd, databases)
      else if (line.startsWith('sigmesh ')) {
        const { code, stdout, stderr } = await sigmesh(line)
        codes.push([line, code, /reload_failed/.test(stdout) ? 'reload_failed' : stderr])
      }
    }
    // Before clamd is there, the first update says what the page says; all else succeeds.
    const firstUpdate = codes.findIndex(([line]) => line === 'sigmesh update')
    expect(codes[firstUpdate]).toEqual(['sigmesh update', 1, 'reload_failed'])
    expect(codes.filter(([, code]) => code !== 0)).toHaveLength(1)
    expect(codes.map(([line]) => line).filter(line => line.startsWith('sigmesh clamd'))).toHaveLength(2)
    expect(await scan(clamd, 'sigmesh-first-pattern-7f3a')).toBe('stream: Company.First.UNOFFICIAL FOUND')
  },
  120_000,
)
