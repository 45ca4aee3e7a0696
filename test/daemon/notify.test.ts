/** What systemd hears, against a real datagram socket: each datagram is one line on the listener's stdout. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { startNotifier } from '../../src/daemon/notify.ts'

const listenerSource = `
import json, socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
print(json.dumps("listening"), flush=True)
while True: print(json.dumps(listener.recv(4096).decode()), flush=True)
`
const tools = [
  ['python3', '-V'],
  ['systemd-notify', '--version'],
] as const
const missing = tools.filter(([tool, flag]) => spawnSync(tool, [flag]).status !== 0).map(([tool]) => tool)
const available = missing.length === 0 || process.env.CI !== undefined

describe.skipIf(!available)(`with python3 and systemd-notify${available ? '' : ` (missing: ${missing})`}`, () => {
  let directory: string
  let socket: string
  let listener: ChildProcess
  let heard: string[]
  /** Resolves at the next datagram; asked for one at a time. */
  let next: () => Promise<string>

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'sigmesh-notify-'))
    socket = join(directory, 'notify')
    heard = []
    listener = spawn('python3', ['-c', listenerSource, socket], { stdio: ['ignore', 'pipe', 'inherit'] })
    const lines = createInterface(listener.stdout!)[Symbol.asyncIterator]()
    next = async () => {
      const { value } = await lines.next()
      heard.push(JSON.parse(value!))
      return heard.at(-1)!
    }
    await next()
  })
  afterEach(async () => {
    listener.kill()
    if (listener.exitCode === null) await once(listener, 'exit')
    rmSync(directory, { recursive: true })
  })

  test('ready, status and stopping arrive in this order, each once', async () => {
    const notifier = startNotifier({ NOTIFY_SOCKET: socket })
    notifier.ready('clamav: release 42')
    notifier.stopping()
    await notifier.stop()
    await next()
    await next()
    expect(heard.slice(1)).toEqual(['READY=1\nSTATUS=clamav: release 42', 'STOPPING=1\nSTATUS=stopping'])
  })

  test('a status that does not change is told once, and one with a line end cannot smuggle in another variable', async () => {
    const notifier = startNotifier({ NOTIFY_SOCKET: socket })
    notifier.status('idle')
    expect(await next()).toBe('STATUS=idle')
    notifier.status('idle')
    notifier.status('label\nSTOPPING=1')
    expect(await next()).toBe('STATUS=label STOPPING=1')
    await notifier.stop()
  })

  test('the heartbeat comes again and again, and ends with stop', async () => {
    const notifier = startNotifier({
      NOTIFY_SOCKET: socket,
      WATCHDOG_USEC: '200000',
      WATCHDOG_PID: String(process.pid),
    })
    for (let beat = 0; beat < 3; beat++) expect(await next()).toBe('WATCHDOG=1')
    await notifier.stop()
    const last = startNotifier({ NOTIFY_SOCKET: socket })
    // Whatever the first one still had on the way comes before this.
    last.status('end')
    await last.stop()
    let text = ''
    while (text !== 'STATUS=end') text = await next()
    expect(heard.length).toBeLessThan(8)
  })

  test('a heartbeat meant for another process is not ours to give', async () => {
    const notifier = startNotifier({
      NOTIFY_SOCKET: socket,
      WATCHDOG_USEC: '20000',
      WATCHDOG_PID: String(process.pid + 1),
    })
    await new Promise(resolve => setTimeout(resolve, 200))
    notifier.status('end')
    await notifier.stop()
    expect(await next()).toBe('STATUS=end')
  })

  test('an event loop that hangs gives no heartbeat', async () => {
    const source = `
      import { startNotifier } from ${JSON.stringify(join(import.meta.dirname, '../../src/daemon/notify.ts'))}
      startNotifier().ready('about to hang')
      setTimeout(() => { console.log('hangs'); for (;;); }, 500)`
    const env = { ...process.env, NOTIFY_SOCKET: socket, WATCHDOG_USEC: '100000' }
    const service = spawn(process.execPath, ['--input-type=module', '-e', source], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    expect(await next()).toBe('READY=1\nSTATUS=about to hang')
    expect(await next()).toBe('WATCHDOG=1')
    await once(service.stdout!, 'data')
    const silence = new Promise(resolve => setTimeout(resolve, 1000, 'silence'))
    // At most what was on its way when the loop hung; then nothing, where ten beats were due.
    let more = 0
    for (;;) {
      const event = await Promise.race([next(), silence])
      if (event === 'silence') break
      more++
    }
    service.kill('SIGKILL')
    expect(more).toBeLessThan(12)
    expect(heard.filter(line => line === 'WATCHDOG=1').length).toBeLessThan(14)
  })
})

test('without a socket nothing happens, and nothing is kept running', async () => {
  const notifier = startNotifier({ WATCHDOG_USEC: '10000' })
  notifier.ready('here')
  notifier.status('there')
  notifier.stopping()
  await notifier.stop()
})

test('what the service runs later does not inherit its voice', () => {
  const environment = { NOTIFY_SOCKET: '/nonexistent', WATCHDOG_USEC: '1', WATCHDOG_PID: '1', PATH: '/usr/bin' }
  startNotifier(environment)
  expect(environment).toEqual({ PATH: '/usr/bin' })
})

test('a systemd that does not listen is logged once, and fails nothing', async () => {
  const warnings: string[] = []
  const log = { ...silentLog, warn: (_: unknown, message: string) => void warnings.push(message) }
  const notifier = startNotifier({ NOTIFY_SOCKET: '/nonexistent/notify' }, log)
  notifier.ready('here')
  notifier.stopping()
  await notifier.stop()
  expect(warnings).toEqual(['systemd could not be told what this service does'])
})
