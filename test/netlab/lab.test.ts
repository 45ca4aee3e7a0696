/** The laboratory itself: its line has the rate and the latency that it says, it counts every byte, and nothing of it stays behind. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Host } from '../../bench/netlab/host.ts'
import { type BranchOptions, Lab } from '../../bench/netlab/lab.ts'
import { namespaces } from '../../bench/netlab/namespaces.ts'
import { KiB, MiB } from '../../src/core/units.ts'
import { needsNetlab } from '../support/needs.ts'

async function openLab(...branches: BranchOptions[]): Promise<Lab> {
  const lab = await Lab.open(branches)
  onTestFinished(() => lab.stop())
  return lab
}

const own = async () => (await namespaces()).filter(name => name.startsWith(`sml-${process.pid}-`))

/** Send `bytes` bytes by TCP. @returns Seconds from the connection to the last byte, at the receiver. */
async function transfer(from: Host, to: Host, bytes: number): Promise<number> {
  const server = from.spawn(
    'python3',
    [
      '-c',
      `import socket\ns=socket.create_server(('0.0.0.0',9000))\nprint('up',flush=True)\nc,_=s.accept()\nc.sendall(bytes(${bytes}))\nc.close()`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  await once(server.stdout!, 'data')
  const receiver = `
import socket, time
s = socket.create_connection(('${from.address}', 9000)); t = time.monotonic(); n = 0
while True:
    more = len(s.recv(1 << 20)); n += more
    if more == 0: break
assert n == ${bytes}, n
print(time.monotonic() - t)`
  return Number(await to.run('python3', '-c', receiver))
}

const senderOf = (socket: string) =>
  `${socket}.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b'\\0').decode()`

/** Tell everybody who connects how the connection's end here sends. */
async function tellSenders(on: Host): Promise<void> {
  const program = `
import socket
s = socket.create_server(('0.0.0.0', 9001)); print('up', flush=True)
while True:
    c, _ = s.accept(); c.sendall(${senderOf('c')}.encode()); c.close()`
  const server = on.spawn('python3', ['-c', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(server.stdout!, 'data')
}

/** @returns How both ends of a connection send, the client's first. */
function senders(client: Host, server: Host): Promise<string> {
  const program = `
import socket
s = socket.create_connection(('${server.address}', 9001))
print(${senderOf('s')}, s.makefile().read())`
  return client.run('python3', '-c', program)
}

describe.skipIf(!needsNetlab())('netlab', () => {
  test('a line is no faster than its rate, no nearer than its latency, and both counters agree on every byte', async () => {
    const lab = await openLab({ hosts: 1, line: { mbit: 8, latencyMs: 40 } })
    const { line, hosts } = lab.branches[0]!
    const rtts = await hosts[0]!.run('ping', '-c', '3', '-i', '0.2', '-q', lab.origin.address)
    const [, least] = /= ([\d.]+)\//.exec(rtts)!
    expect(Number(least)).toBeGreaterThanOrEqual(40)

    const before = await line.count()
    const payload = 1_000_000
    const seconds = await transfer(lab.origin, hosts[0]!, payload)
    expect(seconds).toBeGreaterThanOrEqual((payload * 8) / 8e6)
    const after = await line.count()
    const down = after.down.bytes - before.down.bytes
    // 1448 bytes of payload in a frame of 1514; handshake and end are some hundred bytes.
    expect(down / payload).toBeGreaterThan(1514 / 1448)
    expect(down / payload).toBeLessThan(1.06)
    await expect
      .poll(async () => {
        const [counted, kernel] = [await line.count(), await line.interfaceBytes()]
        return [counted.down.bytes - kernel.down, counted.up.bytes - kernel.up]
      })
      .toEqual([0, 0])
  })

  test('a cable is no faster than its rate, and carries what TCP hands down at once in one piece', async () => {
    const lab = await openLab({ hosts: 2, line: { mbit: 20, latencyMs: 2 }, lanMbit: 200 })
    const [one, two] = lab.branches[0]!.hosts
    const packets = async () => Number(await one!.run('cat', '/sys/class/net/lan/statistics/tx_packets'))
    const before = await packets()
    const payload = 8 * MiB
    const seconds = await transfer(one!, two!, payload)
    // What the bucket holds passes at once.
    expect(seconds).toBeGreaterThanOrEqual(((payload - 80 * KiB) * 8) / 200e6)
    expect(await packets()).toBeLessThan(before + payload / (8 * KiB))
  })

  test('branches reach one another over their lines, and every such byte is counted as foreign on both', async () => {
    const plan = { hosts: 1, line: { mbit: 50, latencyMs: 2 } }
    const lab = await openLab(plan, plan)
    const [one, two] = lab.branches
    await one!.hosts[0]!.run('ping', '-c', '1', '-q', lab.origin.address)
    expect((await one!.line.count()).up.foreign).toBe(0)
    await one!.hosts[0]!.run('ping', '-c', '2', '-i', '0.2', '-s', '1000', '-q', two!.hosts[0]!.address)
    expect((await one!.line.count()).up.foreign).toBe(2 * (14 + 20 + 8 + 1000))
    expect((await two!.line.count()).down.foreign).toBe(2 * (14 + 20 + 8 + 1000))
  })

  test('behind NAT the origin sees the router, and nobody outside reaches a host', async () => {
    const lab = await openLab({ hosts: 1, line: { mbit: 50, latencyMs: 2 }, nat: true })
    const [host] = lab.branches[0]!.hosts
    const server = `import socket\ns=socket.create_server(('0.0.0.0',9000))\nprint('up',flush=True)\nprint(s.accept()[1][0],flush=True)`
    const listener = lab.origin.spawn('python3', ['-c', server], { stdio: ['ignore', 'pipe', 'inherit'] })
    let said = ''
    listener.stdout!.on('data', chunk => (said += chunk))
    await expect.poll(() => said).toMatch('up')
    await host!.run('python3', '-c', `import socket; socket.create_connection(('${lab.origin.address}', 9000))`)
    await expect.poll(() => said).toMatch('198.19.1.2')
  })

  test('a line that is cut carries nothing, and carries again when it is mended', async () => {
    const lab = await openLab({ hosts: 1, line: { mbit: 50, latencyMs: 2 } })
    const { line, hosts } = lab.branches[0]!
    const ping = () => hosts[0]!.run('ping', '-c', '1', '-W', '1', '-q', lab.origin.address)
    await ping()
    await line.cut()
    await expect(ping()).rejects.toThrow()
    await line.mend()
    await ping()
  })

  test('taken down: no namespace, no program', async () => {
    const lab = await Lab.open([{ hosts: 2, line: { mbit: 20, latencyMs: 10 } }])
    const sleeper = lab.branches[0]!.hosts[0]!.spawn('sleep', ['1000'])
    const ended = once(sleeper, 'exit')
    await once(sleeper, 'spawn')
    await lab.stop()
    await ended
    expect(await own()).toEqual([])
  })

  test('a plan that cannot be built leaves nothing behind', async () => {
    const impossible = { hosts: 1, line: { mbit: 20, latencyMs: 10 }, lanMbit: Number.NaN }
    await expect(Lab.open([{ hosts: 1, line: { mbit: 20, latencyMs: 10 } }, impossible])).rejects.toThrow(/tc -batch/)
    expect(await own()).toEqual([])
    const plain = { hosts: 1, line: { mbit: 20, latencyMs: 10 } }
    for (const congestionControl of ['none', '-n', '', 'cubic; true', '$(echo cubic)', 'cubic\nlink del lan'])
      await expect(Lab.open([plain], { congestionControl }), congestionControl).rejects.toThrow(/tcp congestion/i)
    expect(await own()).toEqual([])
  })

  test('all hosts send by TCP as it was said, and else as Linux is delivered, whatever this machine does', async () => {
    const plan = { hosts: 2, line: { mbit: 20, latencyMs: 10 } }
    for (const [options, said] of [
      [{}, 'cubic'],
      [{ congestionControl: 'reno' }, 'reno'],
    ] as const) {
      const lab = await Lab.open([plan], options)
      onTestFinished(() => lab.stop())
      const { router, hosts } = lab.branches[0]!
      const members = [lab.origin, router, ...hosts]
      for (const server of members) {
        await tellSenders(server)
        for (const client of members.filter(other => other !== server))
          expect(await senders(client, server), `${client.address} and ${server.address}`).toBe(`${said} ${said}\n`)
      }
      await lab.stop()
    }
  })

  test.each([
    ['Ctrl-C', 'SIGINT'],
    ['kill -9, and then the next one comes', 'SIGKILL'],
  ] as const)('by hand, ended by %s: nothing stays', async (_, signal) => {
    const program = join(import.meta.dirname, '../../bench/netlab/up.ts')
    const child = spawn(process.execPath, [program, '--branches', '1', '--hosts', '2'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    let said = ''
    child.stdout.on('data', chunk => (said += chunk))
    await expect.poll(() => said, { timeout: 30_000 }).toMatch(/Ctrl-C takes everything down/)
    const its = async () => (await namespaces()).filter(name => name.startsWith(`sml-${child.pid}-`))
    expect(await its()).toHaveLength(4)
    const ended = once(child, 'exit')
    child.kill(signal)
    const [code] = await ended
    if (signal === 'SIGKILL') await (await Lab.open([])).stop()
    else expect(code).toBe(0)
    expect(await its()).toEqual([])
  })
})
