import { chmod, chown, lstat, mkdir, readFile, rename, rm, stat, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { InstallTarget } from '../../src/install/installer.ts'
import { bench } from '../support/install-bench.ts'
import { entry, releaseOf, signedPack } from '../support/release.ts'
import { readTree, scratchDir, type Tree, writeTree } from '../support/scratch.ts'

const one = { 'daily.ndb': 'one', 'old.hdb': 'old' }
const two = { 'daily.ndb': 'two, and longer', 'new.hdb': 'new' }
const mine = { 'local.ign2': 'mine' }
const isRoot = process.getuid?.() === 0
const signal = new AbortController().signal

/** A directory with a file of the admin's in it, as clamd's may be. */
async function place(): Promise<InstallTarget & { readonly path: string }> {
  const home = await scratchDir()
  const path = await writeTree(join(home, 'clamav'), mine)
  return { action: 'files', path, releases: join(home, 'releases') }
}

const expected = (tree: Tree, mode = '644') => ({
  ...Object.fromEntries(Object.entries(tree).map(([name, text]) => [name, `${mode} ${text}`])),
  'local.ign2': '644 mine',
})

describe('a release', () => {
  test('is put beside what was there; the next one replaces it, and takes away what it no longer has', async () => {
    const target = await place()
    const it = await bench(target)
    await it.install(releaseOf(one, 1))
    expect(await readTree(target.path)).toEqual(expected(one))
    await it.install(releaseOf(two, 2))
    expect(await readTree(target.path)).toEqual(expected(two))
    expect(await it.installer.installed()).toMatchObject({ sequence: 2 })
    await it.restart()
    expect(await readTree(target.path)).toEqual(expected(two))
    await it.installer.rollBack(signal)
    expect(await readTree(target.path)).toEqual(expected(one))
    expect(it.warnings).toEqual([])
  })

  test('a file that is the same in both is not written again', async () => {
    const target = await place()
    const it = await bench(target)
    await it.install(releaseOf(one, 1))
    const before = await stat(join(target.path, 'daily.ndb'))
    await it.install(releaseOf({ ...one, 'new.hdb': 'new' }, 2))
    expect((await stat(join(target.path, 'daily.ndb'))).ino).toBe(before.ino)
  })

  test.runIf(isRoot)('gets owner and mode of the configuration, whatever the pack says', async () => {
    const target = { ...(await place()), owner: 'daemon', mode: '0640' }
    const it = await bench(target)
    await it.install(signedPack([entry('daily.ndb', 'one', { mode: 0o755 })]))
    const { uid, gid, mode } = await stat(join(target.path, 'daily.ndb'))
    expect([uid, gid, mode & 0o7777]).toEqual([1, 1, 0o640])
    expect((await stat(join(target.path, 'local.ign2'))).uid).toBe(0)
    await chown(join(target.path, 'daily.ndb'), 0, 0)
    expect(await it.installer.installed()).toBeUndefined()
  })

  test.runIf(isRoot)('for an owner who does not exist is refused at once', async () => {
    await expect(bench({ ...(await place()), owner: 'no-such-user' })).rejects.toMatchObject({ code: 'install_failed' })
  })

  test('tells its consumer where to look', async () => {
    const target = await place()
    const it = await bench({
      ...target,
      reload: ['/bin/sh', '-c', `cat "$1/daily.ndb" > ${target.path}/../told`, 'sh', '{current}'],
    })
    await it.install(releaseOf(one))
    expect(await readFile(join(target.path, '../told'), 'utf8')).toBe('one')
  })

  test('that fails its health check leaves no file of it behind', async () => {
    const target = await place()
    const it = await bench({
      ...target,
      health: ['/bin/sh', '-c', 'test $SIGMESH_SEQUENCE = 1'],
      health_timeout_s: 0.2,
    })
    await it.install(releaseOf(one, 1))
    await expect(it.install(releaseOf(two, 2))).rejects.toMatchObject({ code: 'install_rolled_back' })
    expect(await readTree(target.path)).toEqual(expected(one))
  })
})

describe('what stands in the way', () => {
  test.each<[string, (path: string) => Promise<unknown>]>([
    ["a file of the admin's under a name of the release", path => writeFile(join(path, 'new.hdb'), 'precious')],
    ['one of the same length', path => writeFile(join(path, 'new.hdb'), 'NEW')],
    ['a directory', path => mkdir(join(path, 'new.hdb'))],
    ['a link', path => symlink('/etc/hostname', join(path, 'new.hdb'))],
  ])('%s: install_failed, and nothing has changed', async (_, put) => {
    const target = await place()
    const it = await bench(target)
    await it.install(releaseOf(one, 1))
    await put(target.path)
    const before = await readTree(target.path)
    await expect(it.install(releaseOf(two, 2))).rejects.toMatchObject({ code: 'install_failed' })
    expect(await readTree(target.path)).toEqual(before)
    expect(await it.installer.installed()).toMatchObject({ sequence: 1 })
  })

  test('a file that is the very one of the release is taken over', async () => {
    const target = await place()
    await writeFile(join(target.path, 'daily.ndb'), 'one')
    const it = await bench(target)
    await it.install(releaseOf(one, 1))
    expect(await readTree(target.path)).toEqual(expected(one))
  })

  test('a release with directories is refused, and nothing has changed', async () => {
    const target = await place()
    const it = await bench(target)
    await expect(it.install(releaseOf({ 'a/b': 'x' }))).rejects.toMatchObject({ code: 'install_failed' })
    expect(await readTree(target.path)).toEqual(expected({}))
  })

  test('a directory that does not exist is not made', async () => {
    const target = await place()
    await rm(target.path, { recursive: true })
    const it = await bench(target)
    await expect(it.install(releaseOf(one))).rejects.toMatchObject({ code: 'disk_failed' })
    await expect(lstat(target.path)).rejects.toThrow('ENOENT')
  })

  test('a directory under a name of our temporary files is not walked into', async () => {
    const target = await place()
    const it = await bench(target)
    await writeTree(target.path, { '.sigmesh-0123456789ab.tmp/precious': 'x' })
    await it.install(releaseOf(one)).catch(() => {})
    expect(await readFile(join(target.path, '.sigmesh-0123456789ab.tmp/precious'), 'utf8')).toBe('x')
  })
})

describe('a file that was installed', () => {
  test.each<[string, (path: string) => Promise<unknown>]>([
    ['was deleted', path => unlink(join(path, 'daily.ndb'))],
    ['was renamed', path => rename(join(path, 'daily.ndb'), join(path, 'old.hdb'))],
    ['has another mode', path => chmod(join(path, 'daily.ndb'), 0o600)],
    ['has other bytes', path => writeFile(join(path, 'daily.ndb'), 'ONE')],
    [
      'is a link',
      path => unlink(join(path, 'daily.ndb')).then(() => symlink('/etc/hostname', join(path, 'daily.ndb'))),
    ],
  ])('and %s is mended at the next start from what is kept, and the consumer is told', async (_, spoil) => {
    const target = await place()
    const reload = ['/bin/sh', '-c', `echo x >> ${target.path}/../runs`]
    const it = await bench({ ...target, reload })
    await it.install(releaseOf(one, 1))
    await spoil(target.path)
    await it.restart({ ...target, reload })
    expect(await readTree(target.path)).toEqual(expected(one))
    await it.installer.finishReload(signal)
    expect(await readFile(join(target.path, '../runs'), 'utf8')).toBe('x\nx\n')
  })

  test('and was deleted does not count as installed, and is installed again', async () => {
    const target = await place()
    const it = await bench(target)
    await it.install(releaseOf(one, 1))
    await unlink(join(target.path, 'daily.ndb'))
    expect(await it.installer.installed()).toBeUndefined()
    await it.install(releaseOf(one, 1))
    expect(await readTree(target.path)).toEqual(expected(one))
  })
})

test('while releases change, a reader never misses a file that both have, nor sees half of one', async () => {
  const target = await place()
  const it = await bench(target)
  const big = (letter: string) => ({ 'a.ndb': letter.repeat(300_000), 'b.ndb': letter.repeat(300_000) })
  await it.install(releaseOf(big('0'), 1))
  let changing = true
  const reading = (async () => {
    while (changing) {
      const texts = await Promise.all(['a.ndb', 'b.ndb'].map(name => readFile(join(target.path, name), 'utf8')))
      // That the two are of one release is more than is promised.
      for (const text of texts) expect(text).toBe(text[0]!.repeat(300_000))
    }
  })()
  for (let sequence = 2; sequence < 12; sequence++) await it.install(releaseOf(big(String(sequence % 10)), sequence))
  changing = false
  await reading
})
