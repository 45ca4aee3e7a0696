/** The lock: two daemons on one directory, and a daemon that was killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { lockDirectory } from '../../src/store/directory-lock.ts'
import { scratchDir } from '../support/scratch.ts'

const holder = `
  import { lockDirectory } from ${JSON.stringify(new URL('../../src/store/directory-lock.ts', import.meta.url).href)}
  await lockDirectory(process.argv[1]).then(
    () => setTimeout(() => { gc(); console.log('held'); setInterval(() => {}, 1e6) }),
    error => console.log(error.code),
  )`

/** Another process that tries for the lock, and keeps no reference to it. @returns What it said: `held`, or the error code. */
async function tryInChild(directory: string): Promise<{ child: ChildProcess; said: string }> {
  const child = spawn(process.execPath, ['--expose-gc', '--input-type=module', '-e', holder, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const [said] = await once(child.stdout!, 'data')
  return { child, said: String(said).trim() }
}

test('a second process is refused, whoever came first', async () => {
  const directory = await scratchDir()
  const lock = await lockDirectory(directory)
  expect((await tryInChild(directory)).said).toBe('state_busy')
  await lock.stop()
  await lock.stop()
  expect((await tryInChild(directory)).said).toBe('held')
  await expect(lockDirectory(directory)).rejects.toMatchObject({ code: 'state_busy' })
})

test('after kill -9 of the holder the lock is free, with nothing to clean up', async () => {
  const directory = await scratchDir()
  const { child, said } = await tryInChild(directory)
  expect(said).toBe('held')
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
  const lock = await lockDirectory(directory)
  expect(await readdir(directory)).toEqual(['lock'])
  await lock.stop()
})

// The trap of record locks: closing any descriptor of the file in this process would give them up.
test('a refused second try in the same process does not lose the first lock', async () => {
  const directory = await scratchDir()
  const lock = await lockDirectory(directory)
  await expect(lockDirectory(directory)).rejects.toMatchObject({ code: 'state_busy' })
  expect((await tryInChild(directory)).said).toBe('state_busy')
  await lock.stop()
})

test('the same directory by another path is the same lock; another directory is another', async () => {
  const directory = await scratchDir()
  const lock = await lockDirectory(directory)
  await expect(lockDirectory(join(directory, '..', directory.split('/').at(-1)!))).rejects.toMatchObject({
    code: 'state_busy',
  })
  const other = await lockDirectory(await scratchDir())
  await Promise.all([lock.stop(), other.stop()])
})

test('nobody else may read the lock file, for who can read it can lock it', async () => {
  const directory = await scratchDir()
  const lock = await lockDirectory(directory)
  expect((await stat(join(directory, 'lock'))).mode & 0o777).toBe(0o600)
  await lock.stop()
})

test('a directory that is not there is a disk error, not a busy one', async () => {
  await expect(lockDirectory(join(await scratchDir(), 'nowhere'))).rejects.toMatchObject({ code: 'disk_failed' })
})
