/** Every change that an install makes to the disk fails once, in every way: the old release or the new one is in force, whole. */
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { type Installer, type InstallTarget, openInstaller } from '../../src/install/installer.ts'
import { atEveryPoint, faultModes } from '../support/faulty-disk.ts'
import { releaseOf } from '../support/release.ts'
import { readTree, scratchDir, writeTree } from '../support/scratch.ts'

vi.mock('node:fs/promises', async real => (await import('../support/faulty-disk.ts')).makeFaulty(await real()))

const trees = { 1: { 'daily.ndb': 'one', old: 'o' }, 2: { 'b.yar': 'b', 'daily.ndb': 'two' } }
const whole = {
  1: { 'daily.ndb': '644 one', old: '644 o' },
  2: { 'b.yar': '644 b', 'daily.ndb': '644 two' },
}

type Action = NonNullable<InstallTarget['action']>

/** A place for `action`; the releases of `files` stand in `releases` beside it. */
async function place(action: Action): Promise<string> {
  const path = join(await scratchDir(), 'clamav')
  if (action === 'files') await writeTree(path, { 'local.ign2': 'mine' })
  return path
}

async function open(path: string, action: Action): Promise<Installer> {
  const target: InstallTarget = { path, action, releases: join(path, '../releases'), reload: ['true'] }
  const installer = await openInstaller('clamav', target, { clock: Date, log: silentLog })
  await installer.recover()
  return installer
}

type Wrap = <T>(work: () => Promise<T>) => Promise<T>

/** @param faulty Around the installer's own part only: the artifact comes from a good disk. */
async function install(
  installer: Installer,
  sequence: keyof typeof trees,
  faulty: Wrap = work => work(),
): Promise<void> {
  const { release, content } = releaseOf(trees[sequence], sequence)
  await using artifact = await content()
  await faulty(() => installer.install(artifact, release, new AbortController().signal))
}

/** What the installer says, after a look at what a consumer sees. */
async function inForce(installer: Installer, path: string, action: Action): Promise<number> {
  const sequence = (await installer.installed())?.sequence as keyof typeof whole
  const seen = await readTree(action === 'files' ? path : `${join(path, 'current')}/`)
  expect(seen).toEqual({ ...whole[sequence], ...(action === 'files' && { 'local.ign2': '644 mine' }) })
  return sequence
}

describe.each(['directory', 'files'] as const)('a change to the disk by the action %s', action => {
  test.each([
    ['failed', 'ENOSPC', 'disk_full'],
    ['failed but persisted', 'EIO', 'disk_failed'],
  ] as const)(
    'that %s with %s: the release in force is told truly, and the next try succeeds',
    async (mode, errno, code) => {
      const points = await atEveryPoint(mode, errno, async faulty => {
        const path = await place(action)
        const installer = await open(path, action)
        await install(installer, 1)
        const error = await install(installer, 2, faulty).catch(caught => caught)
        if (error) expect(error).toMatchObject({ code })
        const sequence = await inForce(installer, path, action)
        expect(error ? [1, 2] : [2]).toContain(sequence)
        await install(installer, 2)
        expect(await inForce(installer, path, action)).toBe(2)
        await installer.stop()
        await expectTidy(action === 'files' ? join(path, '../releases') : path)
      })
      expect(points).toBeGreaterThan(30)
    },
  )

  test.each(faultModes)('that %s and is the last before a crash: the next start finishes or undoes', async mode => {
    const points = await atEveryPoint(mode, 'crash', async faulty => {
      const path = await place(action)
      const before = await open(path, action)
      await install(before, 1)
      const survived = await install(before, 2, faulty).then(
        () => true,
        () => false,
      )
      await before.stop()
      const installer = await open(path, action)
      expect(survived ? [2] : [1, 2]).toContain(await inForce(installer, path, action))
      await install(installer, 2)
      expect(await inForce(installer, path, action)).toBe(2)
      await installer.stop()
      await expectTidy(action === 'files' ? join(path, '../releases') : path)
    })
    expect(points).toBeGreaterThan(30)
  })
})

/** Two releases, their indexes, the record, the lock and the link: nothing else, whatever went before. */
async function expectTidy(path: string): Promise<void> {
  const names = Object.keys(await readTree(path)).filter(name => /^[^/]+$|^(\.sigmesh|releases)\/[^/]+\/?$/.test(name))
  const release = (sequence: number) => [`.sigmesh/${sequence}-x.files`, `releases/${sequence}-x/`]
  const expected = ['.sigmesh/install.json', '.sigmesh/lock', 'current', ...release(1), ...release(2)]
  expect(names.map(name => name.replace(/-[0-9a-f]{16}/, '-x')).sort()).toEqual(expected.sort())
}
