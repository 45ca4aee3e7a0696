/** `sigmesh init` and `publish` as an operator types them; what they write is tested in test/publish. */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { exitCodes } from '../../src/cli/exit-codes.ts'
import { MiB } from '../../src/core/units.ts'
import { needs } from '../support/needs.ts'
import { runCli, startCli } from '../support/run-cli.ts'
import { readTree, scratchDir, writeTree } from '../support/scratch.ts'

/** A repository with the channel clamav, and something to publish. */
async function operator() {
  const directory = await scratchDir()
  const repository = join(directory, 'repository')
  const source = await writeTree(join(directory, 'signatures'), { 'a.ndb': 'one\n', 'b/c.yar': 'two\n' })
  const made = await runCli(['init', repository, '--channel', 'clamav'])
  return {
    directory,
    repository,
    source,
    made,
    publish: (...args: string[]) => runCli(['publish', ...args], { env: { SIGMESH_REPOSITORY: repository } }),
  }
}

test('init says where everything is, and never overwrites a repository', async () => {
  const { repository, made } = await operator()
  expect(made).toMatchObject({ code: 0, stderr: '' })
  for (const part of ['keys', 'origin.toml', 'root.json']) expect(made.stdout).toContain(join(repository, part))
  const before = await readTree(repository)
  const again = await runCli(['init', repository])
  expect(again).toMatchObject({
    code: exitCodes.failed,
    stdout: '',
    stderr: expect.stringContaining('[repository_exists]'),
  })
  expect(await readTree(repository)).toEqual(before)
})

test('publish tells what it published, and that the same content is not worth a release', async () => {
  const { source, publish } = await operator()
  const first = await publish('clamav', source, '--label', 'daily \x1b[2J27810')
  expect(first.code).toBe(0)
  expect(first.stdout).toMatch(
    /^clamav: published release 1 "daily \?\[2J27810": 2 files, 8 B, packed \d+ B, sha256 [0-9a-f]{64}\n$/,
  )
  const second = await publish('clamav', source)
  expect(second).toMatchObject({ code: 0, stdout: expect.stringContaining('nothing was published') })
  expect((await publish('clamav', source, '--force')).stdout).toContain('published release 2')
})

test('an emergency is signed into the release, also by way of a request', async () => {
  const { directory, repository, source, publish } = await operator()
  const published = await publish('clamav', source, '--emergency')
  expect(published.stdout).toMatch(/^clamav: published release 1 as an emergency: /)
  const manifest = await readFile(join(repository, 'repository/metadata/2.clamav.json'), 'utf8')
  expect(JSON.parse(manifest).signed.targets['clamav/1.full.pack'].custom.sigmesh.priority).toBe('emergency')
  const request = join(directory, 'next.request')
  await writeTree(source, { 'c.ndb': 'three\n' })
  expect(await publish('clamav', source, '--emergency', '--prepare', request)).toMatchObject({
    code: 0,
    stderr: expect.any(String),
  })
  expect(await readFile(request, 'utf8')).toContain('emergency')
})

test('progress in a pipe is lines on stderr, without a carriage return', async () => {
  const { source, publish } = await operator()
  const { stderr } = await publish('clamav', source)
  expect(stderr).toMatch(/^(packing: \d+ % of 8 B\n|hashing and signing\n)+$/)
})

test('a channel is made only when asked for', async () => {
  const { source, publish } = await operator()
  const refused = await publish('clamva', source)
  expect(refused).toMatchObject({
    code: exitCodes.failed,
    stdout: '',
    stderr: expect.stringContaining('[channel_missing]'),
  })
  expect(await publish('yara', source, '--create-channel')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('yara: published release 1'),
  })
})

test.each([
  ['no repository', ['clamav', '/etc/hostname', '-r', '/nonexistent'], exitCodes.failed, 'repository_missing'],
  ['nothing to publish', ['clamav', '/nonexistent'], exitCodes.failed, 'source_unreadable'],
  ['a channel that cannot be', ['../etc', '/etc/hostname'], exitCodes.usage, 'config_invalid'],
])('%s: sentence and code', async (_, args, code, expected) => {
  const { publish } = await operator()
  expect(await publish(...args)).toMatchObject({
    code,
    stdout: '',
    stderr: expect.stringMatching(new RegExp(`^sigmesh: .*\\[${expected}\\]\n`, 'm')),
  })
})

test('Ctrl-C in mid-publish: exit 130, and readers have what they had', async () => {
  const { directory, repository, publish, source } = await operator()
  await publish('clamav', source)
  const large = join(directory, 'large')
  await writeFile(large, Buffer.alloc(200 * MiB, 'incompressible? no, but long'))
  const before = await readTree(join(repository, 'repository'))
  const child = startCli(['publish', 'clamav', large, '-r', repository])
  child.stderr.once('data', () => child.kill('SIGINT'))
  expect(await once(child, 'close')).toEqual([exitCodes.interrupted, null])
  expect(await readTree(join(repository, 'repository'))).toEqual(before)
  expect(await readdir(repository)).not.toContain('work')
})

test.skipIf(!needs('script'))('progress on a terminal is one line, gone at the end', async () => {
  const { source, repository } = await operator()
  const line = `${process.execPath} bin/sigmesh.ts publish clamav ${source} -r ${repository}`
  const { stdout } = spawnSync('script', ['-qec', line, '/dev/null'], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, TERM: 'xterm' },
  })
  expect(stdout).toMatch(/^(\r.\[K(packing|hashing)[^\r\n]*)+\r.\[Kclamav: published release 1: [^\r\n]*\r\n$/)
})

test('the origin.toml of init is one that sigmeshd accepts', async () => {
  const { repository } = await operator()
  const file = join(repository, 'origin.toml')
  await writeFile(file, `${await readFile(file, 'utf8')}\naddress = "127.0.0.1"\nport = 0\n`)
  const child = startCli(['origin', '--config', file], { program: 'sigmeshd' })
  for await (const line of createInterface(child.stdout)) if (JSON.parse(line).msg === 'origin started') break
  child.kill('SIGTERM')
  expect(await once(child, 'close')).toEqual([0, null])
})
