import { execFileSync } from 'node:child_process'
import {
  appendFile,
  chmod,
  mkdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  truncate,
  unlink,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { MiB } from '../../src/core/units.ts'
import { openInstaller } from '../../src/install/installer.ts'
import { bench, directoriesOf, expected, inForce, readRecord } from '../support/install-bench.ts'
import { entry, releaseOf, signedPack } from '../support/release.ts'
import { readTree, scratchDir, writeTree } from '../support/scratch.ts'
import { canMount, smallDisk } from '../support/small-disk.ts'

const one = { 'daily.ndb': 'one', 'rules/a.yar': 'a' }
const two = { 'daily.ndb': 'two, and longer', 'rules/b.yar': 'b' }
const three = { 'main.cvd': 'three' }

describe('a release', () => {
  test('is in force, whole, readable by others, and recorded', async () => {
    const umask = process.umask(0o077)
    onTestFinished(() => void process.umask(umask))
    const { path, installer, install } = await bench({ path: join(await scratchDir(), 'a/b/clamav') })
    await install(releaseOf(one, 41, { label: 'daily 27810' }))
    expect(await inForce(path)).toEqual(expected(one))
    const target = await readlink(join(path, 'current'))
    expect(target).toMatch(/^releases\/41-[0-9a-f]{16}$/)
    for (const place of ['..', '.', 'releases', target]) expect(modeOf(await stat(join(path, place)))).toBe('755')
    expect(modeOf(await stat(join(path, '.sigmesh')))).toBe('700')
    const { release } = releaseOf(one, 41)
    const since = expect.any(Number)
    expect(await installer.installed()).toEqual({ sequence: 41, label: 'daily 27810', content: release.content, since })
  })

  test('is still there after a restart', async () => {
    const it = await bench()
    await it.install(releaseOf(one, 41))
    const before = await it.installer.installed()
    await it.restart()
    expect(await it.installer.installed()).toEqual(before)
    expect(it.warnings).toEqual([])
  })

  test('replaces the one before, which stays beside it; older ones go', async () => {
    const it = await bench()
    for (const [at, tree] of [one, two, three].entries()) await it.install(releaseOf(tree, at + 1))
    expect(await inForce(it.path)).toEqual(expected(three))
    const { installed, previous } = await readRecord(it.path)
    expect([installed.sequence, previous.sequence]).toEqual([3, 2])
    expect(await directoriesOf(it.path)).toEqual([`${previous.directory}/`, `${installed.directory}/`])
    expect(await readTree(join(it.path, 'releases', previous.directory))).toEqual(expected(two))
  })

  test('with the content of the one before, and a higher number, is installed too', async () => {
    const it = await bench()
    await it.install(releaseOf(one, 1))
    await it.install(releaseOf(one, 2))
    expect(await it.installer.installed()).toMatchObject({ sequence: 2 })
  })

  test('that is older is refused, also after a restart', async () => {
    const it = await bench()
    await it.install(releaseOf(two, 2))
    await it.restart()
    const before = await readTree(it.path)
    await expect(it.install(releaseOf(one, 1))).rejects.toMatchObject({ code: 'install_failed' })
    expect(await readTree(it.path)).toEqual(before)
  })

  test('of the same number with other content is refused', async () => {
    const it = await bench()
    await it.install(releaseOf(two, 2))
    await expect(it.install(releaseOf(one, 2))).rejects.toMatchObject({ code: 'install_failed' })
    expect(await inForce(it.path)).toEqual(expected(two))
  })

  test('that is in force already is not written again', async () => {
    const it = await bench()
    await it.install(releaseOf(one, 1))
    const before = await stat(join(it.path, 'current/daily.ndb'))
    await it.install(releaseOf(one, 1))
    expect((await stat(join(it.path, 'current/daily.ndb'))).ino).toBe(before.ino)
  })

  test('that is evil leaves the one before in force, and nothing else', async () => {
    const it = await bench()
    await it.install(releaseOf(one, 1))
    const { current: _, ...before } = await readTree(it.path)
    for (const [bad, code] of [
      [entry('../evil'), 'pack_path'],
      [entry('a', 'long content', { length: 2 }), 'pack_malformed'],
      [entry('a', 'a', { sha256: '0'.repeat(64) }), 'content_mismatch'],
    ] as const) {
      await expect(it.install(signedPack([bad], { sequence: 2 }))).rejects.toMatchObject({ code })
      expect(await inForce(it.path)).toEqual(expected(one))
      const { current: __, ...after } = await readTree(it.path)
      expect(after).toEqual(before)
    }
    expect(await it.installer.installed()).toMatchObject({ sequence: 1 })
  })

  test.skipIf(!canMount)('that does not fit is refused with the numbers, before its first byte', async () => {
    const it = await bench({ path: join(await smallDisk(16 * MiB), 'clamav') })
    const huge = 100 * MiB
    const fixture = signedPack([entry('a', 'a', { length: huge })], { sequence: 2, unpacked: huge })
    await expect(it.install(fixture)).rejects.toMatchObject({
      code: 'disk_full',
      facts: { neededBytes: expect.any(Number), freeBytes: expect.any(Number) },
      message: expect.stringMatching(/needs 1\d\d(\.\d+)? MiB, but has \d+(\.\d+)? [KM]iB free/),
    })
  })

  test('is not installed when the daemon stops in the middle', async () => {
    const it = await bench()
    await it.install(releaseOf(one, 1))
    const reason = new Error('stopping')
    await expect(it.install(releaseOf(two, 2), AbortSignal.abort(reason))).rejects.toBe(reason)
    expect(await inForce(it.path)).toEqual(expected(one))
    expect(await directoriesOf(it.path)).toHaveLength(1)
  })
})

describe('an installed tree', () => {
  test.each<[string, (path: string) => Promise<unknown>]>([
    ['was deleted', path => rm(join(path, 'releases'), { recursive: true })],
    ['lacks a file', path => unlink(join(path, 'current/rules/a.yar'))],
    ['has a file that grew', path => appendFile(join(path, 'current/daily.ndb'), 'x')],
    ['has a file that was truncated', path => truncate(join(path, 'current/daily.ndb'))],
    ['has a file with another mode', path => chmod(join(path, 'current/daily.ndb'), 0o600)],
    [
      'has a link for a file',
      path =>
        unlink(join(path, 'current/daily.ndb')).then(() => symlink('/etc/hostname', join(path, 'current/daily.ndb'))),
    ],
    [
      'has a file for a directory',
      path =>
        rm(join(path, 'current/rules'), { recursive: true }).then(() => writeFile(join(path, 'current/rules'), '')),
    ],
    ['is no longer what the link points at', path => unlink(join(path, 'current'))],
    [
      'is hidden behind a foreign link',
      path => unlink(join(path, 'current')).then(() => symlink('/etc', join(path, 'current'))),
    ],
    [
      'lost its index',
      async path => rm(join(path, '.sigmesh', `${(await readRecord(path)).installed.directory}.files`)),
    ],
    ['lost its record', path => rm(join(path, '.sigmesh/install.json'))],
    ['has a torn record', path => truncate(join(path, '.sigmesh/install.json'), 40)],
  ])('that %s does not count as installed, and is installed again', async (_, spoil) => {
    const it = await bench()
    await it.install(releaseOf(three, 1))
    await it.install(releaseOf(one, 2))
    await spoil(it.path)
    expect(await it.installer.installed()).toBeUndefined()
    if (_ !== 'was deleted') {
      await it.install(releaseOf(one, 2))
      expect(await inForce(it.path)).toEqual(expected(one))
    }
    await it.restart()
    await it.install(releaseOf(one, 2))
    expect(await inForce(it.path)).toEqual(expected(one))
    expect(await it.installer.installed()).toMatchObject({ sequence: 2 })
  })

  test('whose bytes changed at the same size is noticed at the next start, and once repaired, stays so', async () => {
    const it = await bench()
    await it.install(releaseOf(one, 1))
    for (let round = 0; round < 3; round++) {
      await writeFile(join(it.path, 'current/daily.ndb'), 'ONE')
      expect(await it.installer.installed()).toBeDefined()
      await it.restart()
      expect(await it.installer.installed()).toBeUndefined()
      await it.install(releaseOf(one, 1))
      expect(await inForce(it.path)).toEqual(expected(one))
      expect(await it.installer.installed()).toMatchObject({ sequence: 1 })
      expect(await directoriesOf(it.path)).toHaveLength(1)
    }
  })

  test('that was repaired has the good release before it still beside it', async () => {
    const it = await bench()
    await it.install(releaseOf(one, 1))
    await it.install(releaseOf(two, 2))
    await unlink(join(it.path, 'current/daily.ndb'))
    await it.install(releaseOf(two, 2))
    const { installed, previous } = await readRecord(it.path)
    expect([installed.sequence, previous.sequence]).toEqual([2, 1])
    expect(await directoriesOf(it.path)).toHaveLength(2)
  })
})

describe('what stands in the way', () => {
  test.each<[string, (path: string) => Promise<unknown>]>([
    ['a directory named current', path => mkdir(join(path, 'current'), { recursive: true })],
    ['a file named current', path => writeTree(path, { current: 'x' })],
  ])('%s: install_failed, and it is left alone', async (_, put) => {
    const path = join(await scratchDir(), 'clamav')
    await put(path)
    const { current } = { current: '', ...(await readTree(path)) }
    const it = await bench({ path })
    await expect(it.install(releaseOf(one))).rejects.toMatchObject({ code: 'install_failed' })
    expect({ current: '', ...(await readTree(path)) }.current).toBe(current)
  })

  test.each(['releases', '.sigmesh'])(
    '%s is a link that somebody put there: nothing is written through it',
    async name => {
      const elsewhere = await writeTree(await scratchDir(), { staging: 'precious' })
      const path = await scratchDir()
      await symlink(elsewhere, join(path, name))
      await expect(bench({ path })).rejects.toMatchObject({ code: 'install_failed' })
      expect(await readTree(elsewhere)).toEqual({ staging: '600 precious'.replace('600', '644') })
    },
  )

  test('a link waits at the staging directory: it is removed, not followed', async () => {
    const elsewhere = await writeTree(await scratchDir(), { 'daily.ndb': 'precious' })
    const it = await bench()
    await symlink(elsewhere, join(it.path, '.sigmesh/staging'))
    await it.install(releaseOf(one))
    expect(await readTree(elsewhere)).toEqual({ 'daily.ndb': '644 precious' })
    expect(await inForce(it.path)).toEqual(expected(one))
  })

  test('another installer at the same path: state_busy', async () => {
    const it = await bench()
    await expect(bench({ path: it.path })).rejects.toMatchObject({ code: 'state_busy' })
  })

  test('the path holds another channel: install_failed, and nothing is touched', async () => {
    const it = await bench()
    await it.install(releaseOf(one))
    await it.installer.stop()
    const parts = { clock: { now: () => 0 }, log: silentLog }
    const other = await openInstaller('yara', { path: it.path, reload_timeout_s: 1 }, parts)
    onTestFinished(() => other.stop())
    await expect(other.recover()).rejects.toMatchObject({
      code: 'install_failed',
      message: expect.stringContaining('clamav'),
    })
    expect(await inForce(it.path)).toEqual(expected(one))
  })

  test("an admin's own files in the directory are left alone", async () => {
    const it = await bench()
    await writeTree(it.path, { README: 'mine', 'releases/notes/x': 'mine', 'releases/42-local': 'mine' })
    await it.install(releaseOf(one, 1))
    await it.install(releaseOf(two, 2))
    await it.restart()
    expect(await readTree(it.path)).toMatchObject({
      README: '644 mine',
      'releases/notes/x': '644 mine',
      'releases/42-local': '644 mine',
    })
  })
})

describe('the reload command', () => {
  const shell = (script: string) => ['/bin/sh', '-c', script]

  test('is told what is in force, by a fixed set of variables, and runs after the switch', async () => {
    process.env.SIGMESH_TEST_SECRET = 'from the daemon'
    onTestFinished(() => void delete process.env.SIGMESH_TEST_SECRET)
    const out = join(await scratchDir(), 'out')
    const it = await bench({ reload: shell(`env | sort > ${out}; cat "$SIGMESH_CURRENT/daily.ndb" >> ${out}`) })
    await it.install(releaseOf(one, 1, { label: '() { :; }; touch /tmp/sigmesh-shellshock' }))
    const previous = await readRecord(it.path)
    await it.install(releaseOf(two, 2))
    const { installed } = await readRecord(it.path)
    const lines = (await readFile(out, 'utf8')).split('\n').filter(line => !/^(_|PWD|OLDPWD|SHLVL)=/.test(line))
    expect(lines).toEqual([
      'LANG=C.UTF-8',
      expect.stringMatching(/^PATH=/),
      'SIGMESH_CHANNEL=clamav',
      `SIGMESH_CONTENT=${installed.content}`,
      `SIGMESH_CURRENT=${it.path}/current`,
      `SIGMESH_PATH=${it.path}/releases/${installed.directory}`,
      `SIGMESH_PREVIOUS=${it.path}/releases/${previous.installed.directory}`,
      'SIGMESH_SEQUENCE=2',
      'two, and longer',
    ])
  })

  test('that fails leaves the release in force, and is run again until it succeeds, also after a restart', async () => {
    const dir = await scratchDir()
    const script = `echo run >> ${dir}/runs; test -e ${dir}/ok || { echo "no socket" >&2; exit 7; }`
    const it = await bench({ reload: shell(script) })
    const runs = async () => (await readFile(join(dir, 'runs'), 'utf8')).split('\n').length - 1
    const signal = new AbortController().signal
    const failure = {
      code: 'reload_failed',
      message: expect.stringMatching(/\["\/bin\/sh",.* exit status 7: no socket$/),
    }
    await expect(it.install(releaseOf(one, 1))).rejects.toMatchObject(failure)
    expect(await inForce(it.path)).toEqual(expected(one))
    expect(await it.installer.installed()).toMatchObject({ sequence: 1 })
    await expect(it.installer.finishReload(signal)).rejects.toMatchObject(failure)
    await it.restart()
    await expect(it.install(releaseOf(one, 1))).rejects.toMatchObject(failure)
    expect(await runs()).toBe(3)
    await writeFile(join(dir, 'ok'), '')
    await it.installer.finishReload(signal)
    await it.installer.finishReload(signal)
    expect(await runs()).toBe(4)
  })

  test('is killed with all it started when it takes too long', async () => {
    const dir = await scratchDir()
    const script = `trap '' TERM; (trap '' TERM; sleep 300) & echo $! > ${dir}/pid; wait; sleep 300`
    const it = await bench({ reload: shell(script), reload_timeout_s: 0.3 })
    await expect(it.install(releaseOf(one))).rejects.toMatchObject({
      code: 'reload_failed',
      message: expect.stringContaining('no end within 300 ms'),
    })
    expect(await isRunning(Number(await readFile(join(dir, 'pid'), 'utf8')))).toBe(false)
  })

  test('that leaves a daemon behind with our pipes is not waited for', async () => {
    const dir = await scratchDir()
    const it = await bench({ reload: shell(`setsid sleep 300 & echo $! > ${dir}/pid; exit 0`), reload_timeout_s: 20 })
    await it.install(releaseOf(one))
    const pid = Number(await readFile(join(dir, 'pid'), 'utf8'))
    expect(await isRunning(pid)).toBe(true)
    process.kill(pid, 'SIGKILL')
  })

  test('with endless output costs no memory and gives the end of it', async () => {
    const it = await bench({ reload: shell('yes 0123456789 | head -c 50000000; printf "\\033[2Jlast words"; exit 1') })
    const error = await it.install(releaseOf(one)).catch(caught => caught)
    expect(error.code).toBe('reload_failed')
    expect(error.message).toMatch(/ \[2Jlast words$/)
    expect(error.message.length).toBeLessThan(1000)
  })

  test.each([
    [['/nonexistent/program'], 'cannot be started: ENOENT'],
    [['/etc/passwd'], 'cannot be started: EACCES'],
    [['/bin/true', 'x'.repeat(3_000_000)], 'cannot be started: E2BIG'],
    [['/bin/sh', '-c', 'kill -SEGV $$'], 'killed by SIGSEGV'],
  ])('$1: reload_failed', async (reload, ending) => {
    const it = await bench({ reload })
    const failure = { code: 'reload_failed', message: expect.stringContaining(ending) }
    await expect(it.install(releaseOf(one))).rejects.toMatchObject(failure)
    expect(await inForce(it.path)).toEqual(expected(one))
  })

  test('is no shell: what looks like one is an argument', async () => {
    const dir = await scratchDir()
    const it = await bench({ reload: ['touch', join(dir, 'a;b $(c)')] })
    await it.install(releaseOf(one))
    expect(await readTree(dir)).toEqual({ 'a;b $(c)': '644 ' })
  })

  test('that is cut off by the end of the daemon is run again after it', async () => {
    const dir = await scratchDir()
    const it = await bench({ reload: shell(`echo run >> ${dir}/runs; test -e ${dir}/ok || sleep 300`) })
    const abort = new AbortController()
    const reason = new Error('stopping')
    const installing = it.install(releaseOf(one), abort.signal).catch(caught => caught)
    while (!(await readFile(join(dir, 'runs'), 'utf8').catch(() => ''))) await new Promise(setImmediate)
    abort.abort(reason)
    expect(await installing).toBe(reason)
    await writeFile(join(dir, 'ok'), '')
    await it.restart()
    await it.installer.finishReload(new AbortController().signal)
    expect(await readFile(join(dir, 'runs'), 'utf8')).toBe('run\nrun\n')
  })
})

const modeOf = ({ mode }: { mode: number }) => (mode & 0o7777).toString(8)

/** A zombie is not running. */
async function isRunning(pid: number): Promise<boolean> {
  try {
    return !/^Z/.test(execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }))
  } catch {
    return false
  }
}
