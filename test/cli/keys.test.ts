/** `sigmesh key`, `root` and `sign` as people type them; what they do is tested in test/publish, and the whole of docs/keys.md in test/e2e. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { exitCodes } from '../../src/cli/exit-codes.ts'
import { needs } from '../support/needs.ts'
import { runCli } from '../support/run-cli.ts'
import { readTree, scratchDir, writeTree } from '../support/scratch.ts'

const env = { SIGMESH_PASSPHRASE: 'three blind mice' }

test('key generate writes two files, prints no secret, and never overwrites', async () => {
  const home = await scratchDir()
  const file = join(home, 'k.json')
  const made = await runCli(['key', 'generate', file], { env })
  expect(made).toMatchObject({ code: 0, stdout: expect.stringMatching(/^made the key [0-9a-f]{64}\n/), stderr: '' })
  expect([(await stat(file)).mode & 0o777, (await stat(`${file}.pub`)).mode & 0o777]).toEqual([0o600, 0o644])
  expect(await readFile(file, 'utf8')).not.toContain('"private"')
  const before = await readTree(home)
  expect(await runCli(['key', 'generate', file], { env })).toMatchObject({ code: exitCodes.usage })
  expect(await readTree(home)).toEqual(before)
})

test('a passphrase that is too short, or that nobody gives: no key is made', async () => {
  const home = await writeTree(await scratchDir(), { short: 'mice\n' })
  const short = await runCli(['key', 'generate', join(home, 'k.json'), '--passphrase-file', join(home, 'short')])
  expect(short).toMatchObject({ code: exitCodes.usage, stderr: expect.stringContaining('[config_invalid]') })
  const nobody = await runCli(['key', 'generate', join(home, 'k.json')])
  expect(nobody).toMatchObject({ code: exitCodes.failed, stderr: expect.stringContaining('[key_locked]') })
  expect(Object.keys(await readTree(home))).toEqual(['short'])
})

test('key list and inspect tell what a key may sign, and ask for no passphrase', async () => {
  const home = join(await scratchDir(), 'operator')
  await runCli(['init', home, '-c', 'clamav'])
  const { stdout } = await runCli(['key', 'list', '-r', home])
  expect(stdout).toMatch(/keys\/clamav\.json\t[0-9a-f]{64}\tbare\tclamav\n/)
  expect(stdout).toMatch(/keys\/online\/snapshot\.json\t[0-9a-f]{64}\tbare\tsnapshot\n/)
  const one = await runCli(['key', 'inspect', join(home, 'keys/root.json'), '-r', home])
  expect(one.stdout).toMatch(/^key id {2}[0-9a-f]{64}\npublic {2}[0-9a-f]{64}\nkept {4}bare\nsigns {3}root\n$/)
})

test('sign shows what it would sign, but does not sign where nobody can read it; with --yes it does', async () => {
  const home = await scratchDir()
  const [request, key] = [join(home, 'next.request'), join(home, 'operator/keys/root.json')]
  await runCli(['init', join(home, 'operator'), '-c', 'clamav'])
  expect((await runCli(['root', 'init', request, '-r', join(home, 'operator'), '--renew', 'root'])).code).toBe(0)
  const before = await readFile(request)
  const unread = await runCli(['sign', request, '--key', key])
  expect(unread).toMatchObject({ code: exitCodes.usage, stdout: expect.stringContaining('ROOT OF TRUST') })
  expect(await readFile(request)).toEqual(before)
  const early = await runCli(['root', 'publish', request, '-r', join(home, 'operator')])
  expect(early).toMatchObject({ code: exitCodes.failed, stderr: expect.stringContaining('[signatures_missing]') })
  expect(await runCli(['root', 'sign', request, '--key', key, '--yes'])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('signed: root\nall signatures that are needed are there'),
  })
  expect(await runCli(['root', 'publish', request, '-r', join(home, 'operator')])).toMatchObject({
    code: 0,
    stdout: 'in force now: root\n',
  })
})

test('text in a request cannot move the cursor of who reads it', async () => {
  const home = await scratchDir()
  const request = join(home, 'next.request')
  await runCli(['init', join(home, 'operator'), '-c', 'clamav'])
  await runCli(['root', 'init', request, '-r', join(home, 'operator'), '--renew', 'root'])
  const json = JSON.parse(await readFile(request, 'utf8'))
  json.next.root.signed['\x1b[2Jx'] = 1
  await writeFile(request, JSON.stringify(json))
  const { stdout } = await runCli(['sign', request, '--key', join(home, 'operator/keys/root.json')])
  expect(stdout).toContain('a field that this program does not know: ?[2Jx')
  expect(stdout).not.toContain('\x1b')
})

test('publish wants a channel and a path, or --finish', async () => {
  expect(await runCli(['publish', 'clamav'])).toMatchObject({ code: exitCodes.usage, stdout: '' })
})

test.skipIf(!needs('script'))('at a terminal the passphrase is asked for twice, and never shown', async () => {
  const file = join(await scratchDir(), 'k.json')
  const line = `${process.execPath} bin/sigmesh.ts key generate ${file}`
  const terminal = spawn('script', ['-qec', line, '/dev/null'], { env: { PATH: process.env.PATH, TERM: 'xterm' } })
  let shown = ''
  const answers: [RegExp, string][] = [
    [/new passphrase for .*: /, 'three blind micf\x7fe\r'],
    [/the same again: /, 'three blind mice\r'],
  ]
  terminal.stdout.on('data', chunk => {
    shown += chunk
    if (answers[0]?.[0].test(shown)) terminal.stdin.write(answers.shift()![1])
  })
  expect(await once(terminal, 'close')).toEqual([0, null])
  expect(shown).toMatch(/new passphrase for .*:[\s\S]*the same again:[\s\S]*made the key/)
  expect(shown).not.toMatch(/three|blind|mic/)
  const opened = await runCli(['key', 'inspect', file])
  expect(opened.stdout).toContain('kept    passphrase')
})
