/** What systemd hears, against a real datagram socket. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { startNotifier } from '../../src/daemon/notify.ts'
import { needs } from '../support/needs.ts'
import { type NotifyListener, notifyTools, startNotifyListener } from '../support/notify-listener.ts'

describe.skipIf(!needs(...notifyTools))('what systemd hears', () => {
  let listener: NotifyListener
  let heard: readonly string[]
  let socket: string
  let next: () => Promise<string>

  beforeEach(async () => {
    listener = await startNotifyListener()
    ;({ heard, socket, next } = listener)
  })
  afterEach(() => listener.stop())

  test('ready, status and stopping arrive in this order, each once', async () => {
    const notifier = startNotifier({ NOTIFY_SOCKET: socket })
    notifier.ready('clamav: release 42')
    notifier.stopping()
    await notifier.stop()
    await next()
    await next()
    expect(heard).toEqual(['READY=1\nSTATUS=clamav: release 42', 'STOPPING=1\nSTATUS=stopping'])
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
