/** A real process is killed -9 in the middle of an install; the next start must find the old release or the new one, whole. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { openInstaller } from '../../src/install/installer.ts'
import type { InstallTask } from '../support/install-child.ts'
import { releaseOf } from '../support/release.ts'
import { readTree, scratchDir } from '../support/scratch.ts'

const child = join(import.meta.dirname, '../support/install-child.ts')
const one = { 'daily.ndb': 'one', 'rules/a.yar': 'a' }
const two = Object.fromEntries([...Array(40).keys()].map(n => [`file-${n}`, `two ${n}`.repeat(150)]))

function startInstall(task: InstallTask): { process: ChildProcess; printed: () => string } {
  const process = spawn(globalThis.process.execPath, [child, JSON.stringify(task)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  process.stdout!.on('data', chunk => (text += chunk))
  return { process, printed: () => text }
}

async function install(path: string, tree: Record<string, string>, sequence: number) {
  const installer = await openInstaller('clamav', { path, reload_timeout_s: 10 }, { clock: Date, log: silentLog })
  await installer.recover()
  const { release, content } = releaseOf(tree, sequence)
  await using artifact = await content()
  await installer.install(artifact, release, new AbortController().signal)
  await installer.stop()
}

/** Start again, and look. @returns The sequence in force. */
async function afterRestart(path: string): Promise<number> {
  const installer = await openInstaller('clamav', { path, reload_timeout_s: 10 }, { clock: Date, log: silentLog })
  onTestFinished(() => installer.stop())
  await installer.recover()
  const installed = await installer.installed()
  const seen = await readTree(`${join(path, 'current')}/`)
  const files = Object.fromEntries(Object.entries(seen).filter(([name]) => !name.endsWith('/')))
  const tree = installed?.sequence === 2 ? two : one
  expect(files).toEqual(Object.fromEntries(Object.entries(tree).map(([name, text]) => [name, `644 ${text}`])))
  await expectNoLeftovers(path, installed!.sequence)
  await installer.stop()
  return installed!.sequence
}

async function expectNoLeftovers(path: string, sequence: number): Promise<void> {
  const names = Object.keys(await readTree(path)).filter(name => /^[^/]+$|^(\.sigmesh|releases)\/[^/]+\/?$/.test(name))
  const held = sequence === 2 ? ['1', '2'] : ['1']
  const hex = '[0-9a-f]{16}'
  const ours = held.flatMap(n => [`\\.sigmesh/${n}-${hex}\\.files`, `releases/${n}-${hex}/`])
  const allowed = new RegExp(`^(current|\\.sigmesh/(install\\.json|lock)|${ours.join('|')})$`)
  expect(names.filter(name => !allowed.test(name))).toEqual([])
  expect(names).toHaveLength(3 + 2 * held.length)
}

describe.each([
  ['journalled', 1],
  ['unpacked', 1],
  ['tested', 1],
  ['placed', 1],
  ['switched', 2],
  ['recorded', 2],
  ['reloading', 2],
  ['reloaded', 2],
  ['healthy', 2],
])('killed when it has %s', (dieAt, sequence) => {
  test(`release ${sequence} is in force after the restart, and the next install works`, async () => {
    const path = join(await scratchDir(), 'clamav')
    await install(path, one, 1)
    const { process } = startInstall({ path, tree: two, sequence: 2, reload: ['true'], dieAt })
    expect(await once(process, 'exit')).toEqual([null, 'SIGKILL'])
    expect(await afterRestart(path)).toBe(sequence)
    await install(path, two, 2)
    expect(await afterRestart(path)).toBe(2)
  })
})

test('killed between the switch and the end of the reload, the command is run at the next chance', async () => {
  const path = join(await scratchDir(), 'clamav')
  const runs = join(await scratchDir(), 'runs')
  const reload = ['/bin/sh', '-c', `echo run >> ${runs}`]
  for (const dieAt of ['switched', 'reloading', 'reloaded']) {
    const { process } = startInstall({ path, tree: one, sequence: 1, reload, dieAt })
    await once(process, 'exit')
  }
  const last = startInstall({ path, tree: one, sequence: 1, reload })
  await once(last.process, 'exit')
  expect(last.printed()).toBe('reloading\nreloaded\nhealthy\ndone\n')
  expect(await readTree(join(runs, '..'))).toEqual({ runs: '644 run\nrun\n' })
})

test('killed at any time, six times: the old release or the new one, never older than what was reported', async () => {
  const path = join(await scratchDir(), 'clamav')
  for (let round = 0; round < 6; round++) {
    const fresh = `${path}-${round}`
    await install(fresh, one, 1)
    const { process, printed } = startInstall({ path: fresh, tree: two, sequence: 2 })
    const exited = once(process, 'exit')
    while (!printed().includes('journalled') && process.exitCode === null) await delay(1)
    // Where the kill falls is chance, and that is the point.
    await delay(round * 8)
    process.kill('SIGKILL')
    await exited
    const sequence = await afterRestart(fresh)
    if (printed().includes('switched')) expect(sequence).toBe(2)
  }
})
