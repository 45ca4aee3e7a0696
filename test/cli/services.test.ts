/** `sigmeshd` as systemd meets it: ready when it is, an end in order at SIGTERM, and exit codes that tell a bad configuration from a bad day. */
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { stringify } from 'smol-toml'
import { describe, expect, onTestFinished, test } from 'vitest'
import { exitCodes } from '../../src/cli/exit-codes.ts'
import { sigmeshdProgram } from '../../src/cli/sigmeshd.ts'
import { needs } from '../support/needs.ts'
import { notifyTools, startNotifyListener } from '../support/notify-listener.ts'
import { runCli, startCli } from '../support/run-cli.ts'
import { scratchDir } from '../support/scratch.ts'

const daemon = { program: 'sigmeshd' } as const

/** @returns Arguments for a node whose origin does not answer, and its socket. */
async function lonelyNode() {
  const directory = await scratchDir()
  const socket = join(directory, 'control.sock')
  const config = {
    origin: 'http://127.0.0.1:9',
    root: join(directory, 'root.json'),
    node: 'pc-7',
    site: 'berlin',
    state_dir: join(directory, 'state'),
    control_socket: socket,
    lan: { listen: '127.0.0.1', address: '127.0.0.1', port: 0, networks: ['127.0.0.0/8'] },
    channels: { clamav: { path: join(directory, 'clamav') } },
  }
  await writeFile(join(directory, 'node.toml'), stringify(config))
  return { args: ['node', '--config', join(directory, 'node.toml')], socket }
}

async function startService(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const child = startCli(args, { ...daemon, env })
  const stderr = text(child.stderr)
  const exit = once(child, 'close')
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  return { child, exit, stderr }
}

/** What a running process was started with. */
async function givenTo(pid: number) {
  const read = async (name: string) => (await readFile(`/proc/${pid}/${name}`, 'utf8')).split('\0')
  return { line: await read('cmdline'), variables: await read('environ') }
}

describe('help', () => {
  const program = sigmeshdProgram()

  test.each(['', ...program.commands.map(command => command.name())])('sigmeshd %s --help is complete', async name => {
    const { code, stdout, stderr } = await runCli([...(name ? [name] : []), '--help'], daemon)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(new RegExp(`^Usage: sigmeshd ${name}`))
    expect(stdout).toMatch(/\nExamples:\n {2}.*sigmeshd /)
    expect(stdout).toMatch(/\nExit codes:\n {2}0 /)
  })
})

test.each(['constructor', 'nodes'])('there is no service %s, and that is what it says', async name => {
  const { code, stderr } = await runCli([name], daemon)
  expect(code).toBe(exitCodes.usage)
  expect(stderr).toContain(name)
})

describe('the node', () => {
  test.skipIf(!needs(...notifyTools))(
    'is ready when its socket answers, tells what it does, and ends in order',
    async () => {
      const { args, socket } = await lonelyNode()
      const listener = await startNotifyListener()
      onTestFinished(() => listener.stop())
      const { child, exit, stderr } = await startService(args, {
        NOTIFY_SOCKET: listener.socket,
        WATCHDOG_USEC: '4000000',
      })
      expect(await listener.next()).toMatch(/^READY=1\nSTATUS=clamav /)
      expect(await runCli(['--socket', socket, 'status'])).toMatchObject({ code: 0 })
      while (!listener.heard.includes('WATCHDOG=1')) await listener.next()
      child.kill('SIGTERM')
      while (!listener.heard.at(-1)!.startsWith('STOPPING=1')) await listener.next()
      expect(await exit).toEqual([0, null])
      expect(await stderr).toBe('')
    },
  )

  test('logs JSON lines only', async () => {
    const { args, socket } = await lonelyNode()
    const { child, exit } = await startService(args)
    const log = text(child.stdout)
    await expect
      .poll(() => runCli(['--socket', socket, 'history']), { timeout: 10_000 })
      .toMatchObject({ stdout: expect.stringContaining('failed') })
    child.kill('SIGINT')
    expect(await exit).toEqual([0, null])
    const lines = (await log)
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line))
    expect(lines.at(-1)).toMatchObject({ level: 'info', msg: 'stopped', time: expect.any(String) })
  })

  test.skipIf(process.platform !== 'linux').each([
    ['nobody has settings of his own', {}, 'MALLOC_ARENA_MAX=1'],
    ['who starts it knows better', { MALLOC_ARENA_MAX: '4' }, 'MALLOC_ARENA_MAX=4'],
  ])('keeps little memory, in the very process that was started: %s', async (_, env, expected) => {
    const { args, socket } = await lonelyNode()
    const { child, exit } = await startService(args, env)
    child.stdout.resume()
    await expect.poll(() => runCli(['--socket', socket, 'status']), { timeout: 10_000 }).toMatchObject({ code: 0 })
    const { line, variables } = await givenTo(child.pid!)
    expect(line).toContain('--max-semi-space-size=1')
    expect(line!.slice(-3, -1)).toEqual(args.slice(1))
    expect(variables).toEqual(expect.arrayContaining([expected, 'MALLOC_TRIM_THRESHOLD_=131072']))
    child.kill('SIGTERM')
    expect(await exit).toEqual([0, null])
  })

  test('a second one on the same state is refused, and the first lives on', async () => {
    const { args, socket } = await lonelyNode()
    const { child, exit } = await startService(args)
    child.stdout.resume()
    await expect.poll(() => runCli(['--socket', socket, 'status']), { timeout: 10_000 }).toMatchObject({ code: 0 })
    const second = await runCli(args, daemon)
    expect(second).toMatchObject({ code: exitCodes.failed, stderr: expect.stringMatching(/ \[state_busy\]\n/) })
    expect(await runCli(['--socket', socket, 'status'])).toMatchObject({ code: 0 })
    child.kill('SIGTERM')
    await exit
  })
})

test('the origin answers on its port, keeps little memory, and ends in order', async () => {
  const directory = await scratchDir()
  const file = join(directory, 'origin.toml')
  const config = {
    repository: join(directory, 'repository'),
    state_dir: join(directory, 'state'),
    listen: { address: '127.0.0.1', port: 0 },
  }
  await writeFile(file, stringify(config))
  const { child, exit } = await startService(['origin', '--config', file])
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  let started: { msg?: string; url?: string } = {}
  while (started.msg !== 'origin started') started = JSON.parse((await lines.next()).value!)
  expect((await fetch(`${started.url}/v1/health`)).status).toBe(503)
  if (process.platform === 'linux') {
    const { line, variables } = await givenTo(child.pid!)
    expect(line).toContain('--max-semi-space-size=4')
    expect(variables).toEqual(expect.arrayContaining(['MALLOC_ARENA_MAX=1', 'MALLOC_MMAP_THRESHOLD_=262144']))
  }
  child.kill('SIGTERM')
  expect(await exit).toEqual([0, null])
})

describe.each(sigmeshdProgram().commands.map(command => command.name()))(
  'a configuration that cannot be: %s',
  service => {
    test('absent', async () => {
      const { code, stderr } = await runCli([service, '--config', '/nonexistent/sigmesh.toml'], daemon)
      expect(code).toBe(exitCodes.usage)
      expect(stderr).toMatch(/^sigmeshd: .*\/nonexistent\/sigmesh\.toml.* \[config_unreadable\]\n/)
    })

    test('with several mistakes: all of them are named, each on its line', async () => {
      const file = join(await scratchDir(), 'wrong.toml')
      await writeFile(file, 'log_level = "loud"\nspeed = "fast"\n')
      const { code, stderr } = await runCli([service, '--config', file], daemon)
      expect(code).toBe(exitCodes.usage)
      expect(stderr).toMatch(/^ .*log_level/m)
      expect(stderr).toMatch(/^ .*speed/m)
      expect(stderr).toMatch(/\[config_invalid\]\n {2}Correct every key/)
    })
  },
)
