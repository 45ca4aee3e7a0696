/** `enroll`, `join`, `nodes` and `revoke` as people type them, beside a running origin. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'smol-toml'
import { expect, test } from 'vitest'
import { exitCodes } from '../../src/cli/exit-codes.ts'
import { nodeConfig } from '../../src/daemon/config.ts'
import { initRepository } from '../../src/publish/init.ts'
import { loadConfig } from '../../src/store/config-file.ts'
import { openOrigin } from '../support/origin-fixture.ts'
import { runCli, startCli } from '../support/run-cli.ts'
import { scratchDir } from '../support/scratch.ts'

async function origin() {
  const directory = await scratchDir()
  const { directory: repository } = await initRepository(join(directory, 'operator'), {
    channels: ['demo'],
    now: Date.now(),
  })
  const served = join(repository, 'repository')
  const fixture = await openOrigin({ home: directory, config: { repository: served, join: 'required' } })
  const file = join(directory, 'origin.toml')
  const config = { repository: served, state_dir: join(directory, 'state'), url: fixture.origin.url }
  await writeFile(file, stringify(config))
  const at = (command: string, ...args: string[]) => runCli([command, '--config', file, ...args])
  return { directory, fixture, file, config, at }
}

test('from the token to the list, and off it', async () => {
  const { directory, fixture, at } = await origin()
  const enrolled = await at('enroll', '--site', 'berlin', '--uses', '2', '--expires', '1h')
  expect(enrolled).toMatchObject({ code: 0, stderr: '' })
  expect(enrolled.stdout).toMatch(/^sigmesh1\.[A-Za-z0-9_-]+\n$/)
  const token = enrolled.stdout.trim()
  const machine = join(directory, 'machine')
  const config = ['--config', join(machine, 'node.toml'), '--state-dir', join(machine, 'state')]

  const joined = await runCli(['join', token, '--node', 'pc-7', '--channel', `demo=${machine}/demo`, ...config])
  expect(joined).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining('joined as pc-7 of berlin\n') })
  expect((await readdir(machine)).sort()).toEqual(['node.toml', 'root.json', 'state'])
  expect(await readFile(join(machine, 'node.toml'), 'utf8')).not.toContain(token)

  const again = await runCli(['join', token, ...config])
  expect(again).toMatchObject({ code: exitCodes.failed, stderr: expect.stringContaining('[already_joined]') })

  const other = startCli([
    'join',
    '-',
    '--node',
    'pc-8',
    '--config',
    join(directory, 'other.toml'),
    '--state-dir',
    join(directory, 'other'),
  ])
  other.stdin.end(`${token}\n`)
  expect(await new Promise(resolve => other.once('close', resolve))).toBe(0)

  expect((await at('nodes')).stdout).toMatch(/\npc-7\tberlin\t[^\t]+Z\tnone\t-\tjoined\npc-8\tberlin/)
  expect(await at('revoke', 'pc-7')).toMatchObject({ code: 0, stdout: 'pc-7 is revoked\n' })
  expect((await at('nodes')).stdout).not.toContain('pc-7')
  expect(JSON.parse((await at('nodes', '--all', '--json')).stdout)).toEqual([
    expect.objectContaining({ node: 'pc-7', revoked: expect.any(String) }),
    expect.objectContaining({ node: 'pc-8', site: 'berlin', revoked: null, lastReport: null, version: null }),
  ])
  expect(await at('revoke', 'pc-7')).toMatchObject({
    code: exitCodes.failed,
    stderr: expect.stringContaining('[node_unknown]'),
  })
  expect(fixture.origin.stats().artifactBytes).toBe(0)
})

test.each([
  ['a site that cannot be', ['--site', '../etc']],
  ['no site', []],
  ['no uses', ['--site', 'berlin', '--uses', '0']],
  ['a time that is none', ['--site', 'berlin', '--expires', 'soon']],
])('enroll with %s: wrong words, and no token', async (_, args) => {
  const { at } = await origin()
  expect(await at('enroll', ...args)).toMatchObject({ code: exitCodes.usage, stdout: '' })
})

test('enroll where nothing says how nodes reach the origin: an error with its code', async () => {
  const { file, config, at } = await origin()
  const { url: _, ...silent } = config
  await writeFile(file, stringify(silent))
  expect(await at('enroll', '--site', 'berlin')).toMatchObject({
    code: exitCodes.usage,
    stdout: '',
    stderr: expect.stringContaining('[config_invalid]'),
  })
  expect(await at('enroll', '--site', 'berlin', '--url', 'https://here.example')).toMatchObject({ code: 0 })
})

test('join with profiles: the configuration names them, and the daemon takes it', async () => {
  const { directory, at } = await origin()
  const token = (await at('enroll', '--site', 'berlin')).stdout.trim()
  const file = join(directory, 'node.toml')
  const channels = ['clamav=clamav', 'second=clamav:/srv/clamav', 'rules=yara:/srv/rules', 'plain=/srv/plain']
  const words = channels.flatMap(channel => ['--channel', channel])
  const joined = await runCli(['join', token, ...words, '--config', file, '--state-dir', join(directory, 'machine')])
  expect(joined).toMatchObject({ code: 0, stderr: '' })
  expect((await loadConfig(nodeConfig, { file, env: {} })).channels).toMatchObject({
    clamav: { path: '/var/lib/clamav', action: 'files' },
    second: { path: '/srv/clamav', action: 'files' },
    rules: { path: '/srv/rules', action: 'directory', test: expect.any(Array) },
    plain: { path: '/srv/plain', action: 'directory' },
  })
})

test.each([
  ['half a token', ['sigmesh1.eyJv'], exitCodes.usage, 'token_invalid'],
  ['a channel without a path', ['x', '--channel', 'demo'], exitCodes.usage, ''],
  ['a profile that is none', ['x', '--channel', 'demo=virus:/x'], exitCodes.usage, 'profile'],
  ['a profile that needs a path', ['x', '--channel', 'demo=yara'], exitCodes.usage, 'profile'],
  ['a relative path', ['x', '--channel', 'demo=here/'], exitCodes.usage, 'profile'],
])('join with %s', async (_, args, code, expected) => {
  const directory = await scratchDir()
  const result = await runCli(['join', ...args, '--config', join(directory, 'node.toml'), '--state-dir', directory])
  expect(result).toMatchObject({ code, stdout: '', stderr: expect.stringContaining(expected) })
  expect(await readdir(directory)).toEqual([])
})
