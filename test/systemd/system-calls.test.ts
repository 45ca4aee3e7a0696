/**
 * The system calls that a real node makes, against the filter of its unit: `systemd-analyze` judges how tight the filter is, not whether
 * Node survives it, and here no systemd runs that could enforce it. strace sees a node start, serve its socket, fail a cycle, speak to
 * systemd by a child process, and stop.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'smol-toml'
import { describe, expect, onTestFinished, test } from 'vitest'
import { controlClient } from '../../src/cli/control-client.ts'
import { needs } from '../support/needs.ts'
import { scratchDir } from '../support/scratch.ts'

const top = join(import.meta.dirname, '../..')
describe.skipIf(!needs('strace', 'systemd-analyze'))('the system call filter', () => {
  test('lets through everything that a node does', async () => {
    const directory = await scratchDir()
    const calls = join(directory, 'calls')
    const socket = join(directory, 'control.sock')
    await writeFile(
      join(directory, 'node.toml'),
      stringify({
        origin: 'http://127.0.0.1:9',
        root: join(directory, 'root.json'),
        state_dir: join(directory, 'state'),
        control_socket: socket,
        lan: { listen: '127.0.0.1', port: 0 },
        channels: { clamav: { path: join(directory, 'clamav') } },
      }),
    )
    // -D: strace stands aside, so that the child is the node itself and hears the signal.
    const strace = ['-D', '-f', '-qq', '-o', calls, process.execPath]
    const node = spawn(
      'strace',
      [...strace, join(top, 'bin/sigmeshd.ts'), 'node', '--config', join(directory, 'node.toml')],
      {
        env: { PATH: process.env.PATH, NOTIFY_SOCKET: join(directory, 'nobody') },
        stdio: 'ignore',
      },
    )
    const exit = once(node, 'exit')
    onTestFinished(() => {
      node.kill('SIGKILL')
    })
    const client = controlClient(socket)
    await expect.poll(() => client.status().catch(() => undefined), { timeout: 25_000 }).toBeDefined()
    await client.update(undefined)
    node.kill('SIGTERM')
    expect(await exit).toEqual([0, null])

    const used = new Set(
      [...(await readFile(calls, 'utf8')).matchAll(/^\d+ +([a-z_0-9]+)\(/gm)].map(match => match[1]!),
    )
    expect([...used]).toEqual(expect.arrayContaining(['execve', 'listen', 'accept4', 'fsync', 'rename']))
    const allowed = allowedCalls(await readFile(join(top, 'systemd/sigmesh-node.service'), 'utf8'))
    expect([...used].filter(call => !allowed.has(call))).toEqual([])
  }, 60_000)

  test('both units have the same', async () => {
    const [node, origin] = await Promise.all(
      ['node', 'origin'].map(name => readFile(join(top, `systemd/sigmesh-${name}.service`), 'utf8')),
    )
    expect(filterLines(node!)).toEqual(filterLines(origin!))
  })
})

function filterLines(unit: string): string[] {
  return [...unit.matchAll(/^SystemCallFilter=(.*)$/gm)].map(match => match[1]!)
}

/** As systemd.exec(5) reads the lines: the first one allows, with @default; one that begins with `~` takes away. */
function allowedCalls(unit: string): Set<string> {
  const allowed = expand('@default')
  for (const line of filterLines(unit)) {
    const denies = line.startsWith('~')
    for (const call of line
      .replace('~', '')
      .split(' ')
      .flatMap(group => [...expand(group)])) {
      if (denies) allowed.delete(call)
      else allowed.add(call)
    }
  }
  return allowed
}

function expand(group: string): Set<string> {
  if (!group.startsWith('@')) return new Set([group])
  const { stdout } = spawnSync('systemd-analyze', ['syscall-filter', group], { encoding: 'utf8' })
  const members = stdout
    .split('\n')
    .slice(1)
    .map(line => line.trim())
    .filter(line => line !== '' && !line.startsWith('#'))
  return new Set(members.flatMap(member => [...expand(member)]))
}
