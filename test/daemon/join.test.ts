/** A machine joins: what it asks first, what it writes, and what it does not overwrite. */
import { chmod, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { sha256 } from '../../src/core/digest.ts'
import { day } from '../../src/core/units.ts'
import { nodeConfig } from '../../src/daemon/config.ts'
import { loadIdentity } from '../../src/daemon/identity.ts'
import { type JoinOptions, joinOrigin } from '../../src/daemon/join.ts'
import { originConfig } from '../../src/origin/config.ts'
import { enroll } from '../../src/origin/enroll.ts'
import { loadConfig } from '../../src/store/config-file.ts'
import { formatJoinToken, parseJoinToken } from '../../src/swarm/identity/join-token.ts'
import { OriginClient } from '../../src/swarm/origin-client.ts'
import { registryOf } from '../support/enrolled.ts'
import { openOrigin } from '../support/origin-fixture.ts'
import { RawHttpServer, reply } from '../support/raw-http-server.ts'
import { readTree, scratchDir } from '../support/scratch.ts'

async function openToken(uses = 1) {
  const fixture = await openOrigin({ config: { join: 'required' } })
  const { path } = await fixture.repository.publish(1, 20_000)
  const config = originConfig.parse({
    repository: fixture.repository.directory,
    state_dir: join(fixture.home, 'state'),
  })
  const rules = { site: 'berlin', uses, expires: Date.now() + day, url: fixture.origin.url }
  const token = await enroll(config, rules, Date.now())
  const home = await scratchDir()
  const options: JoinOptions = {
    token,
    node: 'pc-7',
    configFile: join(home, 'etc', 'node.toml'),
    rootFile: join(home, 'etc', 'root.json'),
    stateDir: join(home, 'state'),
    channels: { clamav: { path: join(home, 'clamav') } },
  }
  return { fixture, path, token, home, options }
}

const configOf = (file: string) => loadConfig(nodeConfig, { file, env: {} })

test('it has its own key, the pinned root, and a configuration that the daemon takes', async () => {
  const { fixture, options, home } = await openToken()
  expect(await joinOrigin(options)).toEqual({ node: 'pc-7', site: 'berlin' })
  expect(await configOf(options.configFile)).toMatchObject({
    origin: fixture.origin.url,
    root: options.rootFile,
    node: 'pc-7',
    site: 'berlin',
    state_dir: options.stateDir,
    channels: { clamav: { path: join(home, 'clamav') } },
  })
  const root = await readFile(options.rootFile)
  expect(root.equals(await readFile(join(fixture.repository.directory, 'metadata', '1.root.json')))).toBe(true)
  expect((await stat(join(options.stateDir, 'identity.json'))).mode & 0o777).toBe(0o600)
  const beacons = JSON.parse(await readFile(join(options.stateDir, 'site-key.json'), 'utf8'))
  expect(beacons).toEqual({ key: expect.stringMatching(/^[\w-]{43}$/), generation: 0 })
  const key = await loadIdentity(options.stateDir)
  expect(registryOf(fixture).find(key!.id)).toMatchObject({ name: 'pc-7', site: 'berlin' })
})

test('without channels: they wait in the configuration as an example', async () => {
  const { options } = await openToken()
  await joinOrigin({ ...options, channels: {} })
  await expect(configOf(options.configFile)).rejects.toMatchObject({ code: 'config_invalid' })
  const text = await readFile(options.configFile, 'utf8')
  const uncommented = text.replace('# [channels.clamav]\n# profile', '[channels.clamav]\nprofile')
  await writeFile(options.configFile, uncommented)
  expect((await configOf(options.configFile)).channels).toHaveProperty('clamav')
})

test('the root at the origin is another one than the token names: nothing is written, nobody registered', async () => {
  const { fixture, token, options, home } = await openToken()
  const { origin, version, key } = parseJoinToken(token)
  const other = formatJoinToken({ origin, version, root: sha256(Buffer.from('other')) }, Buffer.alloc(32))
  await expect(joinOrigin({ ...options, token: other })).rejects.toMatchObject({ code: 'root_mismatch' })
  const later = formatJoinToken({ origin, version: 9, root: sha256(Buffer.from('other')) }, Buffer.alloc(32))
  await expect(joinOrigin({ ...options, token: later })).rejects.toMatchObject({ code: 'root_mismatch' })
  expect(await readTree(home)).toEqual({})
  expect(registryOf(fixture).all()).toEqual([])
  expect(registryOf(fixture).tokenKey(key.id)).toBeDefined()
})

test('a redirect to somewhere else is not followed', async () => {
  const { token, options } = await openToken()
  const asked: string[] = []
  const inner = await RawHttpServer.start((socket, { path }) => {
    asked.push(path)
    reply(socket, 200, '{}')
  })
  const outer = await RawHttpServer.start(socket =>
    reply(socket, 302, '', { location: `${inner.url}/metadata/1.root.json` }),
  )
  onTestFinished(async () => {
    await Promise.all([inner.stop(), outer.stop()])
  })
  const { version, root } = parseJoinToken(token)
  const elsewhere = formatJoinToken({ origin: outer.url, version, root }, Buffer.alloc(32))
  await expect(joinOrigin({ ...options, token: elsewhere })).rejects.toMatchObject({ code: 'origin_status' })
  expect(asked).toEqual([])
})

describe('a second time', () => {
  test('what is there is left alone; with force it joins anew, with a new key', async () => {
    const { fixture, options, home } = await openToken(3)
    await joinOrigin(options)
    const before = await readTree(home)
    await expect(joinOrigin(options)).rejects.toMatchObject({ code: 'already_joined' })
    await expect(joinOrigin({ ...options, force: true })).rejects.toMatchObject({ code: 'name_taken' })
    const { 'state/identity.next.json': _, ...same } = await readTree(home)
    expect(same).toEqual(before)
    const first = await loadIdentity(options.stateDir)
    registryOf(fixture).revoke('pc-7', Date.now())
    await joinOrigin({ ...options, force: true })
    expect((await loadIdentity(options.stateDir))!.id).not.toBe(first!.id)
  })

  test('after it was cut off before it could write: the same key, and no further use of the token', async () => {
    const { options } = await openToken(1)
    await expect(joinOrigin({ ...options, rootFile: '/proc/nowhere/root.json' })).rejects.toMatchObject({
      code: 'disk_failed',
    })
    expect(await loadIdentity(options.stateDir)).toBeUndefined()
    expect(await joinOrigin(options)).toEqual({ node: 'pc-7', site: 'berlin' })
  })
})

test.each([
  ['others may read it', (path: string) => chmod(path, 0o640)],
  ['it is cut short', (path: string) => writeFile(path, '{"seed":"abc"}')],
])('an identity that cannot be: %s', async (_, spoil) => {
  const { options } = await openToken()
  await joinOrigin(options)
  await spoil(join(options.stateDir, 'identity.json'))
  await expect(loadIdentity(options.stateDir)).rejects.toMatchObject({ code: 'identity_unusable' })
})

describe('what the origin says to a node, in the words of the node', () => {
  async function joined() {
    const { fixture, path, options } = await openToken()
    await joinOrigin(options)
    const key = (await loadIdentity(options.stateDir))!
    const clientWith = (access: ConstructorParameters<typeof OriginClient>[2]) => {
      const client = new OriginClient(fixture.origin.url, {}, access)
      onTestFinished(() => client.stop())
      return client
    }
    return { fixture, path, key, clientWith }
  }
  const range = { start: 0, end: 10 }

  test.each([
    ['no identity', 'identity_refused', async () => ({})],
    [
      'a revoked one',
      'identity_revoked',
      async ({ fixture, key }: Awaited<ReturnType<typeof joined>>) => {
        registryOf(fixture).revoke('pc-7', Date.now())
        return { key }
      },
    ],
    [
      'a wrong clock',
      'clock_skew',
      async ({ key }: Awaited<ReturnType<typeof joined>>) => ({ key, now: () => Date.now() - day }),
    ],
    ['no seat', 'seat_required', async ({ key }: Awaited<ReturnType<typeof joined>>) => ({ key })],
  ] as const)('%s: %s', async (_, code, access) => {
    const site = await joined()
    const client = site.clientWith(await access(site))
    const fetched = client.fetchRange(site.path, range, 20_000, { onChunk: () => {} })
    await expect(fetched).rejects.toMatchObject({ code })
    expect(site.fixture.origin.stats().artifactBytes).toBe(0)
  })
})
