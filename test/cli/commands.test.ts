/** The commands as processes, against a real control socket: exit codes, pipes, terminals, signals. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import type { Command } from 'commander'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { exitCodes, exitMeanings } from '../../src/cli/exit-codes.ts'
import { sigmeshProgram } from '../../src/cli/sigmesh.ts'
import { ControlError } from '../../src/core/errors.ts'
import type { Stoppable } from '../../src/core/lifecycle.ts'
import { type ControlHandlers, startControlServer } from '../../src/daemon/control-server.ts'
import type { CycleResult, HistoryEntry } from '../../src/daemon/status.ts'
import { needs } from '../support/needs.ts'
import { runCli, startCli } from '../support/run-cli.ts'
import { ago, busyChannel, channelStatus, nodeStatus, sampleNow } from './sample-status.ts'

let directory: string
let socket: string
let daemon: Stoppable | undefined

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sigmesh-cli-'))
  socket = join(directory, 'control.sock')
})
afterEach(async () => {
  await daemon?.stop()
  daemon = undefined
  rmSync(directory, { recursive: true })
})

const current: CycleResult = { channel: 'clamav', outcome: 'current', sequence: 42, error: null }
const failed: CycleResult = {
  channel: 'yara',
  outcome: 'failed',
  sequence: 0,
  error: { code: 'origin_unreachable', message: 'nobody answers', advice: 'Check the WAN line.' },
}
/** As long as messages get: 500 of them do not fit into a pipe. */
const longEntry: HistoryEntry = {
  at: ago(0),
  channel: 'clamav',
  outcome: 'failed',
  sequence: 0,
  label: null,
  durationMs: 1,
  bytes: { wan: 0, lanIn: 0, lanOut: 0, wasted: 0 },
  error: { code: 'origin_status', message: 'x'.repeat(1000) },
}

async function startDaemon(changes: Partial<ControlHandlers> = {}) {
  daemon = await startControlServer(socket, {
    status: () => nodeStatus(busyChannel),
    peers: () => [],
    history: limit => Array.from({ length: limit }, () => longEntry),
    update: async () => [current],
    rollBack: async () => current,
    hold: async (channel, until) => ({
      channel,
      hold: until === undefined ? null : { since: sampleNow, until: iso(until) },
    }),
    announceUrl: async channel => ({
      channel,
      sequence: 42,
      artifact: 'ab'.repeat(32) as never,
      announce: 'http://origin/announce/k~e~y',
      torrent: 'http://origin/torrents/ab.torrent',
    }),
    reach: async () => [],
    ...changes,
  })
}

const sigmesh = (...args: string[]) => runCli(['--socket', socket, ...args])

describe('help', () => {
  const program = sigmeshProgram()
  const every: (readonly [string, Command])[] = [
    ['', program],
    ...program.commands.map(command => [command.name(), command] as const),
  ]

  test.each(every)('sigmesh %s --help is complete', async (name, command) => {
    const { code, stdout, stderr } = await runCli([...(name ? [name] : []), '--help'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(new RegExp(`^Usage: sigmesh ${name}`))
    expect(stdout).toMatch(/\nExamples:\n {2}sigmesh /)
    expect(stdout).toMatch(/\nExit codes:\n {2}0 /)
    for (const option of command.options) expect(option.description, option.flags).toMatch(/\w{3}/)
    for (const argument of command.registeredArguments) expect(argument.description, argument.name()).toMatch(/\w{3}/)
    if (name) expect(command.summary()).not.toBe('')
  })

  test('every exit code stands in the help of the program', async () => {
    const { stdout } = await runCli(['--help'])
    for (const [end, code] of Object.entries(exitCodes)) {
      expect(stdout).toContain(`\n  ${String(code).padEnd(4)} ${exitMeanings[end as keyof typeof exitCodes]}\n`)
    }
  })
})

describe('exit codes', () => {
  test.each([
    ['no command', []],
    ['an unknown command', ['upgrade']],
    ['an unknown option', ['status', '--yaml']],
    ['an argument too many', ['update', 'clamav', 'yara']],
    ['a limit that is no number', ['history', '-n', 'all']],
  ])('%s is a usage error', async (_, args) => {
    const { code, stdout, stderr } = await sigmesh(...args)
    expect({ code, stdout }).toEqual({ code: exitCodes.usage, stdout: '' })
    expect(stderr).not.toBe('')
  })

  test.each([
    ['status'],
    ['peers'],
    ['history'],
    ['update'],
    ['rollback', 'clamav'],
    ['hold', 'clamav'],
    ['announce-url', 'clamav'],
  ])('%s without a daemon: sentence, code and advice, no stack', async (...words: string[]) => {
    const { code, stdout, stderr } = await sigmesh(...words)
    expect({ code, stdout }).toEqual({ code: exitCodes.unreachable, stdout: '' })
    expect(stderr).toMatch(/^sigmesh: no daemon runs here: .* \[daemon_unreachable\]\n {2}Start it .*\n$/)
  })

  test('SIGMESH_DEBUG shows the stack', async () => {
    const { stderr } = await runCli(['--socket', socket, 'status'], { env: { SIGMESH_DEBUG: '1' } })
    expect(stderr).toMatch(/\n {4}at .*control-client/)
  })

  test('the environment names the socket', async () => {
    await startDaemon()
    expect(await runCli(['status', '--json'], { env: { SIGMESH_SOCKET: socket } })).toMatchObject({ code: 0 })
  })

  test('update: done, failed, and refused', async () => {
    await startDaemon({
      update: async channel => {
        if (channel === 'other') throw new ControlError('daemon_refused', 'this node has no channel other')
        return channel === 'clamav' ? [current] : [current, failed]
      },
    })
    expect(await sigmesh('update', 'clamav')).toEqual({
      code: exitCodes.ok,
      stdout: 'clamav\tis current: release 42\n',
      stderr: '',
    })
    expect(await sigmesh('update')).toEqual({
      code: exitCodes.failed,
      stdout:
        'clamav\tis current: release 42\nyara\tfailed; no release is installed: nobody answers [origin_unreachable]\n  Check the WAN line.\n',
      stderr: '',
    })
    const refused = await sigmesh('update', 'other')
    expect(refused).toMatchObject({ code: exitCodes.failed, stdout: '' })
    expect(refused.stderr).toMatch(/^sigmesh: this node has no channel other \[daemon_refused\]\n/)
  })

  test('update --retry asks for what failed before, and tells a refused release from a current one', async () => {
    const asked: boolean[] = []
    const error = { code: 'install_rolled_back', message: 'release 43 was bad', advice: 'Publish a better release.' }
    await startDaemon({
      update: async (_, __, retry) => {
        asked.push(retry)
        return [retry ? current : { ...current, error }]
      },
    })
    expect(await sigmesh('update')).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(
        /^clamav\trefuses the newest release; release 42 stays: .* \[install_rolled_back\]\n/,
      ),
    })
    expect(await sigmesh('update', 'clamav', '--retry')).toMatchObject({ code: 0 })
    expect(asked).toEqual([false, true])
  })

  test('rollback: done, failed, and without a channel', async () => {
    const error = { code: 'rollback_unavailable', message: 'there is no release before', advice: 'Nothing.' }
    await startDaemon({
      rollBack: async name => (name === 'clamav' ? { ...current, outcome: 'installed' } : { ...failed, error }),
    })
    expect(await sigmesh('rollback', 'clamav')).toMatchObject({ code: 0, stdout: 'clamav\tinstalled release 42\n' })
    expect(await sigmesh('rollback', 'yara')).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('[rollback_unavailable]'),
    })
    expect(await sigmesh('rollback')).toMatchObject({ code: 2 })
  })

  test('hold: until a time, until further notice, and released', async () => {
    await startDaemon()
    expect(await sigmesh('hold', 'clamav')).toMatchObject({
      code: 0,
      stdout: 'clamav\tis held until `sigmesh hold --release`\n',
    })
    expect(await sigmesh('hold', 'clamav', '--until', '2999-12-01T08:00Z')).toMatchObject({
      code: 0,
      stdout: 'clamav\tis held until 2999-12-01 08:00:00Z\n',
    })
    expect(await sigmesh('hold', 'clamav', '--until', '12h')).toMatchObject({ code: 0 })
    expect(await sigmesh('hold', 'clamav', '--release')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('is not held'),
    })
    for (const wrong of [
      ['--until', '2001-01-01'],
      ['--until', 'tomorrow'],
      ['--until', '2999-02-31T08:00Z', '--release'],
      ['--until', '0'],
    ])
      expect(await sigmesh('hold', 'clamav', ...wrong)).toMatchObject({ code: 2 })
  })

  test('Ctrl-C ends the waiting of update', async () => {
    let asked!: () => void
    const waiting = new Promise<void>(resolve => {
      asked = resolve
    })
    await startDaemon({
      update: () => {
        asked()
        return new Promise(() => {})
      },
    })
    const child = startCli(['--socket', socket, 'update'])
    await waiting
    child.kill('SIGINT')
    expect(await once(child, 'close')).toEqual([exitCodes.interrupted, null])
  })
})

describe('check', () => {
  test.each([
    ['in order', [channelStatus()], 0, 'OK'],
    ['a failure', [busyChannel], 1, 'WARNING'],
    ['old', [channelStatus({ lastSuccess: ago(100_000) })], 2, 'CRITICAL'],
    ['without channels', [], 3, 'UNKNOWN'],
  ])('%s', async (_, channels, expected, word) => {
    await startDaemon({ status: () => nodeStatus(...channels) })
    const { code, stdout, stderr } = await sigmesh('check')
    expect({ code, stderr }).toEqual({ code: expected, stderr: '' })
    expect(stdout).toMatch(new RegExp(`^SIGMESH ${word} - [^\n]+\n$`))
  })

  test('the thresholds of the command line count', async () => {
    await startDaemon({ status: () => nodeStatus(channelStatus()) })
    expect(await sigmesh('check', '--warning-age', '4min', '--critical-age', '1h')).toMatchObject({ code: 1 })
    expect(await sigmesh('check', '--warning-age', '60', '--critical-age', '4min')).toMatchObject({ code: 2 })
  })

  test('a dead daemon is CRITICAL: the machine gets no signatures', async () => {
    const { code, stdout } = await sigmesh('check')
    expect(code).toBe(2)
    expect(stdout).toMatch(/^SIGMESH CRITICAL - no daemon runs here/)
  })

  test('wrong words are UNKNOWN, as Nagios wants it', async () => {
    expect(await sigmesh('check', '--warning-age', 'soon')).toMatchObject({ code: 3 })
    expect(await sigmesh('check', '--nosuch')).toMatchObject({ code: 3 })
  })

  // As nobody when we are root, else by closing the socket to ourselves.
  test('a socket that may not be opened is UNKNOWN, and status says who may', async () => {
    await startDaemon()
    const root = process.getuid?.() === 0
    chmodSync(directory, 0o755)
    if (!root) chmodSync(socket, 0)
    const as = root ? { uid: 65_534 } : {}
    const checked = await runCli(['--socket', socket, 'check'], as)
    expect(checked).toMatchObject({ code: 3, stdout: expect.stringContaining('this user may not open') })
    expect(await runCli(['--socket', socket, 'status'], as)).toMatchObject({ code: exitCodes.unreachable })
  })
})

describe('output', () => {
  test('status in a pipe is plain text', async () => {
    await startDaemon()
    const { code, stdout } = await sigmesh('status')
    expect(code).toBe(0)
    expect(stdout).toContain('clamav\tfailed\t')
    expect(stdout).toBe(stripVTControlCharacters(stdout))
    expect(stdout).not.toMatch(/[│┌]/)
  })

  test('JSON is what the daemon said', async () => {
    await startDaemon()
    expect(JSON.parse((await sigmesh('status', '--json')).stdout)).toEqual(nodeStatus(busyChannel))
    expect(JSON.parse((await sigmesh('peers', '--json')).stdout)).toEqual([])
    expect(JSON.parse((await sigmesh('history', '--json', '-n', '2')).stdout)).toEqual([longEntry, longEntry])
  })

  test('a reader that has seen enough ends the command without a word', async () => {
    await startDaemon()
    const shell = execFile('bash', [
      '-c',
      '"$@" | head -n 1; echo "ended with $PIPESTATUS"',
      'bash',
      process.execPath,
      'bin/sigmesh.ts',
      '--socket',
      socket,
      'history',
      '-n',
      '500',
    ])
    const [output, errors] = [shell.stdout!, shell.stderr!].map(stream => stream.setEncoding('utf8').toArray())
    await once(shell, 'close')
    expect((await output!).join('')).toMatch(/^WHEN\t.*\nended with 0\n$/)
    expect(await errors!).toEqual([])
  })

  test('--watch goes on until Ctrl-C, which is a clean end', async () => {
    await startDaemon()
    const child = startCli(['--socket', socket, 'status', '--watch', '--json'])
    let printed = ''
    child.stdout.on('data', chunk => {
      printed += chunk
      if (printed.split('\n').length === 3) child.kill('SIGINT')
    })
    expect(await once(child, 'close')).toEqual([0, null])
    expect(
      printed
        .trimEnd()
        .split('\n')
        .map(line => JSON.parse(line).node),
    ).toEqual(['pc-7', 'pc-7'])
  })

  test('--watch outlives a restart of the daemon', async () => {
    await startDaemon()
    const child = startCli(['--socket', socket, 'status', '--watch'])
    let printed = ''
    child.stdout.on('data', chunk => {
      const before = printed
      printed += chunk
      if (before === '') void daemon?.stop()
      if (printed.includes('[daemon_unreachable]') && !before.includes('[daemon_unreachable]')) void startDaemon()
      if (/daemon_unreachable.*clamav\tinstalled/s.test(printed)) child.kill('SIGTERM')
    })
    expect(await once(child, 'close')).toEqual([0, null])
  })
})

describe.skipIf(!needs('script'))('on a terminal', () => {
  /** @returns What the terminal saw. */
  async function onTerminal(args: string, env: NodeJS.ProcessEnv = {}) {
    const line = `stty cols 80 rows 30; ${process.execPath} bin/sigmesh.ts --socket ${socket} ${args}`
    const shell = execFile('script', ['-qec', line, '/dev/null'], {
      env: { PATH: process.env.PATH, TERM: 'xterm', ...env },
    })
    const output = shell.stdout!.setEncoding('utf8').toArray()
    const [code] = await once(shell, 'close')
    return { code, text: (await output).join('') }
  }

  test('status is a table in colour', async () => {
    await startDaemon()
    const { code, text } = await onTerminal('status')
    expect(code).toBe(0)
    expect(text).toContain('│ failed')
    expect(text).toContain('\x1b[31mfailing: origin_unreachable\x1b[39m')
  })

  test('NO_COLOR is heeded', async () => {
    await startDaemon()
    const { text } = await onTerminal('status', { NO_COLOR: '1' })
    expect(text).toContain('│ failed')
    expect(text).not.toContain('\x1b[')
  })

  test('--watch redraws in place, within the screen', async () => {
    const pidFile = join(directory, 'pid')
    let asked = 0
    await startDaemon({
      status: () => {
        if (++asked === 3) process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGINT')
        return nodeStatus(...Array.from({ length: 9 }, () => busyChannel))
      },
    })
    const { code, text } = await onTerminal(`status --watch & echo $! >${pidFile}; wait $!`)
    expect(code).toBe(0)
    const pictures = text.split('\x1b[H').slice(1)
    expect(pictures.length).toBeGreaterThan(1)
    for (const picture of pictures) expect(picture.trimEnd().split('\n').length).toBeLessThan(30)
  })

  test('update shows what goes on, and takes it away when it is over', async () => {
    let finish!: () => void
    const shown = new Promise<void>(resolve => {
      finish = resolve
    })
    let asked = 0
    await startDaemon({
      status: () => {
        if (++asked === 2) finish()
        return nodeStatus(busyChannel)
      },
      update: () => shown.then(() => [current]),
    })
    const { code, text } = await onTerminal('update clamav')
    expect(code).toBe(0)
    expect(text).toContain('\r\x1b[Kclamav: obtaining for 12 s [#####---------------] 25 %')
    expect(text.endsWith('\r\x1b[Kclamav\tis current: release 42\r\n')).toBe(true)
  })
})

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
