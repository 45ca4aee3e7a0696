/** A root daemon among others: users who own a directory on the way, or the very directory that it fills, try to lead it elsewhere. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, lchown, mkdir, readdir, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { sha256 } from '../../src/core/digest.ts'
import { SigmeshError } from '../../src/core/errors.ts'
import { hashOf } from '../../src/install/installed-tree.ts'
import { refuseLedPath } from '../../src/install/led-path.ts'
import { inodes } from '../support/inodes.ts'
import { bench } from '../support/install-bench.ts'
import { releaseOf } from '../support/release.ts'
import { contents, readTree, scratchDir, writeTree } from '../support/scratch.ts'

/** The user `daemon` of every Debian. */
const other = 1

describe.skipIf(process.getuid?.() !== 0)('root is not led', () => {
  test.each<[string, (home: string) => Promise<string>]>([
    [
      "through somebody's directory",
      async home => {
        await mkdir(join(home, 'theirs/clamav'), { recursive: true })
        await chown(join(home, 'theirs'), other, other)
        return join(home, 'theirs/clamav')
      },
    ],
    [
      "through a link in somebody's directory",
      async home => {
        await mkdir(join(home, 'ours'))
        await mkdir(join(home, 'theirs'))
        await symlink('../ours', join(home, 'theirs/link'))
        await chown(join(home, 'theirs'), other, other)
        return join(home, 'theirs/link/clamav')
      },
    ],
    [
      "through a link that leads by somebody's directory",
      async home => {
        await mkdir(join(home, 'theirs/place'), { recursive: true })
        await chown(join(home, 'theirs'), other, other)
        await symlink(join(home, 'theirs/place'), join(home, 'link'))
        return join(home, 'link/clamav')
      },
    ],
    [
      'through a directory that a group may write',
      async home => {
        await mkdir(join(home, 'shared'))
        await chmod(join(home, 'shared'), 0o775)
        return join(home, 'shared/clamav')
      },
    ],
    [
      "by somebody's link in a sticky directory",
      async home => {
        await mkdir(join(home, 'tmp'))
        await chmod(join(home, 'tmp'), 0o1777)
        await symlink('/etc', join(home, 'tmp/link'))
        await lchown(join(home, 'tmp/link'), other, other)
        return join(home, 'tmp/link')
      },
    ],
    [
      "to somebody's directory in a sticky one",
      async home => {
        await mkdir(join(home, 'tmp/clamav'), { recursive: true })
        await chmod(join(home, 'tmp'), 0o1777)
        await chown(join(home, 'tmp/clamav'), other, other)
        return join(home, 'tmp/clamav')
      },
    ],
    [
      'round and round',
      async home => {
        await symlink('b', join(home, 'a'))
        await symlink('a', join(home, 'b'))
        return join(home, 'a')
      },
    ],
  ])('%s: install_failed, by either action, and nothing is made', async (_, prepare) => {
    const home = await scratchDir()
    const path = await prepare(home)
    const before = await inodes(home)
    await expect(bench({ path })).rejects.toMatchObject({ code: 'install_failed' })
    const releases = join(home, 'releases')
    await expect(bench({ path, action: 'files', releases })).rejects.toMatchObject({ code: 'install_failed' })
    expect(await inodes(home)).toEqual(before)
  })

  test('and "directory" wants its own directory to be root\'s; "files" does not, but for where it keeps the releases', async () => {
    const home = await scratchDir()
    const path = join(home, 'clamav')
    await mkdir(path)
    await chown(path, other, other)
    await expect(bench({ path })).rejects.toMatchObject({ code: 'install_failed' })
    await expect(bench({ action: 'files', path, releases: join(path, 'kept') })).rejects.toMatchObject({
      code: 'install_failed',
    })
    await bench({ action: 'files', path, releases: join(home, 'kept') })
  })

  test('links of root are the way of an admin', async () => {
    const home = await scratchDir()
    await mkdir(join(home, 'data/clamav'), { recursive: true })
    await symlink('data', join(home, 'srv'))
    await refuseLedPath(join(home, 'srv/clamav/not/yet/there'), 'root')
    const it = await bench({ path: join(home, 'srv/clamav') })
    await it.install(releaseOf({ a: 'a' }))
    expect(contents(await readTree(`${join(home, 'data/clamav/current')}/`))).toEqual({ a: 'a' })
  })

  test('a pipe, a link or another length where a file was is no file, and nobody waits for it', async () => {
    const home = await writeTree(await scratchDir(), { file: 'content' })
    expect(spawnSync('mkfifo', [join(home, 'pipe')]).status).toBe(0)
    expect(await hashOf(join(home, 'file'), 7)).toBe(sha256(Buffer.from('content')))
    expect(await hashOf(join(home, 'file'), 6)).toBeUndefined()
    expect(await hashOf(join(home, 'pipe'), 0)).toBeUndefined()
    await symlink('file', join(home, 'link'))
    await expect(hashOf(join(home, 'link'), 7)).rejects.toMatchObject({ code: 'ELOOP' })
  })

  /** Puts links, pipes and directories where files are about to be read, written, renamed and removed. */
  const squatter = `
    while :; do
      for name in daily.ndb main.cvd old.hdb; do
        rm -rf $name; ln -s "$1/precious" $name
        rm -rf $name; mkfifo $name
        rm -rf $name; mkdir $name
        rm -rf $name; ln -s "$1" $name
        for copy in .sigmesh-*.tmp; do mv $copy gone && ln -s "$1/precious" $copy; rm -rf gone; done
        ln -s "$1" .sigmesh-0123456789ab.tmp
        ln -s "$1/daily.ndb" .sigmesh-0123456789ac.tmp
        rm -rf $name
      done
    done 2>/dev/null`

  test('whatever the owner of the directory puts into it while releases are installed: nothing elsewhere is touched, nothing hangs', async () => {
    const home = await scratchDir()
    const elsewhere = await writeTree(await scratchDir(), { precious: 'x', 'daily.ndb': 'y', 'sub/main.cvd': 'z' })
    const path = join(home, 'clamav')
    await mkdir(path)
    await chown(path, other, other)
    const target = { action: 'files', path, releases: join(home, 'kept'), owner: 'daemon' } as const
    const it = await bench(target)
    const trees = [
      { 'daily.ndb': 'one', 'main.cvd': 'm', 'old.hdb': 'old' },
      { 'daily.ndb': 'two', 'main.cvd': 'n' },
    ]
    const before = await inodes(elsewhere)
    const theirs = spawn('/bin/sh', ['-c', squatter, 'sh', elsewhere], {
      cwd: path,
      uid: other,
      gid: other,
      detached: true,
      stdio: 'ignore',
    })
    const ended = once(theirs, 'exit')
    onTestFinished(() => void (theirs.exitCode ?? theirs.signalCode ?? process.kill(-theirs.pid!, 'SIGKILL')))
    const outcomes = new Set<string>()
    for (let sequence = 1; sequence <= 60; sequence++) {
      const error = await it.install(releaseOf(trees[sequence % 2]!, sequence)).catch(caught => caught)
      if (error !== undefined) expect(error).toBeInstanceOf(SigmeshError)
      outcomes.add(error?.code ?? 'installed')
    }
    process.kill(-theirs.pid!, 'SIGKILL')
    await ended
    expect(await inodes(elsewhere)).toEqual(before)
    expect([...outcomes].filter(code => !['installed', 'install_failed', 'disk_failed'].includes(code))).toEqual([])
    // Once they leave it alone, all is well. What they leave is not read: it may be a pipe.
    const clear = async () => {
      for (const name of await readdir(path)) await rm(join(path, name), { recursive: true, force: true })
      return readdir(path)
    }
    await expect.poll(clear).toEqual([])
    await it.restart(target)
    await it.install(releaseOf(trees[0]!, 100))
    expect(contents(await readTree(path))).toEqual(trees[0])
  })
})
