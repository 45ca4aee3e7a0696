/** The pages of this project say what is so: README commands run in their order as they stand, links lead somewhere, dependencies are told. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { cp, readFile, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { parse as parseToml } from 'smol-toml'
import { describe, expect, onTestFinished, test } from 'vitest'
import { freePort } from '../bench/processes.ts'
import { nodeConfig } from '../src/daemon/config.ts'
import { originConfig } from '../src/origin/config.ts'
import { type CliResult, runCli, startCli } from './support/run-cli.ts'
import { scratchDir, writeTree } from './support/scratch.ts'

const top = join(import.meta.dirname, '..')
const page = (name: string) => readFileSync(join(top, name), 'utf8')
const readme = page('README.md')
const manifest = JSON.parse(page('package.json'))
const pages = ['README.md', ...readdirSync(join(top, 'docs'), { recursive: true, encoding: 'utf8' })]
  .filter(name => name.endsWith('.md'))
  .map(name => (name === 'README.md' ? name : join('docs', name)))

/** Lines of code blocks by indentation that begin with one of `programs`, without their comments. */
function commandLines(...programs: readonly string[]): string[] {
  const lines = readme.split('\n').flatMap(line => /^ {4}(\S.*)$/.exec(line)?.[1] ?? [])
  return lines.filter(line => programs.includes(line.split(' ')[0]!)).map(line => line.replace(/\s+#.*$/, '').trim())
}

/** As a shell would, as far as the README goes. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!)
}

test('every command of the README works as it stands, in its order', async () => {
  const home = await scratchDir()
  await writeTree(home, { 'signatures/daily.ndb': 'Eicar:0:*:58354f\n' })
  const url = `http://127.0.0.1:${await freePort()}`
  const socket = join(home, 'control.sock')
  const originEnv = { SIGMESH_URL: url, SIGMESH_LISTEN__ADDRESS: '127.0.0.1', SIGMESH_LISTEN__PORT: new URL(url).port }
  const nodeEnv = {
    SIGMESH_CONTROL_SOCKET: socket,
    SIGMESH_LAN__LISTEN: '127.0.0.1',
    SIGMESH_LAN__ADDRESS: '127.0.0.1',
    SIGMESH_LAN__PORT: '0',
  }
  // The paths of a real machine, inside a directory of this test.
  const here = (line: string) =>
    line
      .replaceAll('/srv/', `${home}/srv/`)
      .replaceAll('./', `${home}/`)
      .replaceAll(/\/(etc|var\/lib)\/sigmesh/g, `${home}/$1`)
  let token = ''
  const run = async (line: string): Promise<CliResult | undefined> => {
    const [program, ...args] = words(here(line)) as ['sigmesh' | 'sigmeshd', ...string[]]
    if (program === 'sigmeshd') return runInBackground(args, args[0] === 'origin' ? originEnv : nodeEnv)
    if (args[0] === 'join') return joinFrom(args)
    const ofOrigin = args.includes('--config') ? originEnv : { SIGMESH_SOCKET: socket }
    const env = args[0] === 'doctor' ? nodeEnv : ofOrigin
    const result = await runCli(args, { env })
    if (args[0] === 'enroll') token = result.stdout
    return result
  }
  const joinFrom = async (args: readonly string[]) => {
    expect(args.slice(-2)).toEqual(['<', 'token'])
    const places = ['--config', join(home, 'etc', 'node.toml'), '--state-dir', join(home, 'var/lib'), '--node', 'pc-7']
    const child = startCli([...args.slice(0, -2), ...places])
    child.stdin.end(token)
    const ended = once(child, 'close')
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
    return { code: (await ended)[0], stdout, stderr }
  }
  const runInBackground = async (args: readonly string[], env: NodeJS.ProcessEnv) => {
    const child = startCli(args, { program: 'sigmeshd', env })
    child.stdout.resume()
    onTestFinished(() => void child.kill('SIGKILL'))
    const answers = async () =>
      args[0] === 'origin'
        ? (await fetch(`${url}/v1/health`).catch(() => undefined))?.status
        : (await runCli(['status'], { env: { SIGMESH_SOCKET: socket } })).code
    await expect
      .poll(answers, { timeout: 30_000, interval: 200 })
      .toSatisfy(status => status !== undefined && status !== 3)
    return undefined
  }

  const lines = commandLines('sigmesh', 'sigmeshd')
  expect(lines.length).toBeGreaterThan(10)
  // What the README tells the operator about nodes that have joined comes after they have.
  const afterwards = (line: string) => /^sigmesh revoke/.test(line)
  for (const line of [...lines.filter(each => !afterwards(each)), ...lines.filter(afterwards)]) {
    const { code = 0, stderr } = (await run(line)) ?? {}
    expect(code, `${line}: ${stderr}`).toBe(0)
  }
  expect(await readFile(join(home, 'var/lib/clamav/current/daily.ndb'), 'utf8')).toBe('Eicar:0:*:58354f\n')
  const nodes = await runCli(['nodes', '--config', join(home, 'srv/sigmesh/origin.toml')], { env: originEnv })
  expect(nodes).toMatchObject({ code: 0, stdout: expect.not.stringContaining('pc-7') })
}, 120_000)

test('the node.toml of the README is one', () => {
  const [, toml] = /```toml\n(.*?)```/s.exec(readme)!
  expect(() => nodeConfig.parse(parseToml(toml!))).not.toThrow()
})

test('the limits of docs/limits.md can be written so', () => {
  const [toml, sites] = [...page('docs/limits.md').matchAll(/```toml\n(.*?)```/gs)].map(([, block]) => block)
  expect(() => originConfig.parse({ repository: '/r', ...parseToml(sites!) })).not.toThrow()
  const config = { origin: 'https://x', root: '/r', channels: { a: { path: '/a' } }, ...parseToml(toml!) }
  expect(() => nodeConfig.parse(config)).not.toThrow()
})

test('every npm script that the README names exists', () => {
  const named = [...readme.matchAll(/npm (?:run )?([a-z:-]+)/g)].map(([, name]) => name!)
  const own = ['ci', 'prune', 'install']
  expect(named.filter(name => !own.includes(name) && !(name in manifest.scripts))).toEqual([])
})

test('the README says of each dependency what it is for, and of no other', () => {
  const table = readme
    .slice(readme.indexOf('| package | for |'))
    .split('\n')
    .filter(line => line.startsWith('| `'))
  const told = table.flatMap(line => [...line.split('|')[1]!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!))
  const { dependencies, optionalDependencies, devDependencies } = manifest
  const all = Object.keys({ ...dependencies, ...optionalDependencies, ...devDependencies })
  expect(told.toSorted()).toEqual(all.filter(name => !name.startsWith('@types/')).toSorted())
})

test('links between the pages lead to files that exist', () => {
  const dead = pages.flatMap(name => {
    const links = [...page(name).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, target]) => target!)
    return links.filter(target => !existsSync(join(top, dirname(name), target))).map(target => `${name}: ${target}`)
  })
  expect(dead).toEqual([])
})

describe('docs/architecture.md', () => {
  const architecture = page('docs/architecture.md')

  test('fits one screen', () => {
    expect(architecture.trimEnd().split('\n').length).toBeLessThanOrEqual(60)
  })

  test('names only files that exist', () => {
    const files = [...architecture.matchAll(/\b(?:[a-z-]+\/)+[a-z-]+\.ts\b/g)].map(([path]) => path)
    expect(files.length).toBeGreaterThan(10)
    expect(files.filter(path => !existsSync(join(top, 'src', path)))).toEqual([])
  })
})

test('what `npm run build` makes runs without TypeScript, as the units start it', async () => {
  const home = await scratchDir()
  const build = spawn(join(top, 'node_modules/.bin/tsc'), [
    '-p',
    join(top, 'tsconfig.build.json'),
    '--outDir',
    join(home, 'dist'),
  ])
  const [output, [code]] = await Promise.all([text(build.stdout), once(build, 'close')])
  expect({ code, output }).toEqual({ code: 0, output: '' })
  await cp(join(top, 'package.json'), join(home, 'package.json'))
  await symlink(join(top, 'node_modules'), join(home, 'node_modules'))
  for (const unit of ['node', 'origin']) {
    const [, script] = /^ExecStart=\S+ \/opt\/sigmesh\/(\S+)/m.exec(page(`systemd/sigmesh-${unit}.service`))!
    const child = spawn(process.execPath, [join(home, script!), unit, '--help'])
    const [help, [status]] = await Promise.all([text(child.stdout), once(child, 'close')])
    expect({ status, help }).toEqual({ status: 0, help: expect.stringContaining(`sigmeshd ${unit}`) })
  }
})
