/** What the consumer's commands say decides: a bad release is not put in force, or does not stay. */
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { ConsumerConfig } from '../../src/install/consumer.ts'
import { bench, directoriesOf, expected, inForce, readRecord } from '../support/install-bench.ts'
import { releaseOf } from '../support/release.ts'
import { readTree, scratchDir } from '../support/scratch.ts'

const one = { 'daily.ndb': 'one', 'rules/a.yar': 'a' }
const two = { 'daily.ndb': 'two, and longer', 'rules/b.yar': 'b' }
const three = { 'main.cvd': 'three' }
const shell = (script: string) => ['/bin/sh', '-c', script]
const signal = new AbortController().signal
const isRoot = process.getuid?.() === 0

describe('the test command', () => {
  test('that refuses a release: nothing is switched, its words are told, and it is not tried again', async () => {
    const it = await bench({ test: shell('echo "LibClamAV Error: malformed" >&2; test ! -e rules/b.yar') })
    await it.install(releaseOf(one, 1))
    const { current: _, ...before } = await readTree(it.path)
    await expect(it.install(releaseOf(two, 2))).rejects.toMatchObject({
      code: 'install_test_failed',
      message: expect.stringMatching(/^release 2 was not put in force: .*exit status 1: LibClamAV Error: malformed$/),
    })
    const { current: __, ...after } = await readTree(it.path)
    expect({ ...after, '.sigmesh/install.json': '' }).toEqual({ ...before, '.sigmesh/install.json': '' })
    expect(await inForce(it.path)).toEqual(expected(one))
    await it.restart()
    const offered = [1, 2, 3].map(sequence => releaseOf(two, sequence).release)
    expect((await it.installer.eligible(offered)).map(release => release.sequence)).toEqual([1, 3])
    await it.installer.retry()
    expect(await it.installer.eligible(offered)).toHaveLength(3)
  })

  test.each<[string, ConsumerConfig, string]>([
    ['takes too long', { test: shell('sleep 300'), test_timeout_s: 0.3 }, 'no end within 300 ms'],
    ['does not exist', { test: ['/nonexistent/program'] }, 'exit status 127'],
    ['may not be run', { test: ['/etc/passwd'] }, 'exit status 126'],
    ['dies', { test: shell('kill -SEGV $$') }, 'killed by SIGSEGV'],
  ])('that %s says nothing about the release: it is not put in force, and tried again', async (_, config, ending) => {
    const it = await bench(config)
    await expect(it.install(releaseOf(one))).rejects.toMatchObject({
      code: 'install_test_failed',
      message: expect.stringContaining(ending),
    })
    expect(await it.installer.installed()).toBeUndefined()
    expect(await directoriesOf(it.path)).toEqual([])
    expect(await it.installer.eligible([releaseOf(one).release])).toHaveLength(1)
  })

  test('sees the new content where it is started, and as {path}, before anybody else does', async () => {
    const dir = await scratchDir()
    await chmod(dir, 0o711) // the test runs as nobody
    const out = join(dir, 'out')
    await writeFile(out, '')
    await chmod(out, 0o666)
    const script = `{ cat "$1/daily.ndb"; echo " $2 $3 $SIGMESH_PATH"; test -e "$SIGMESH_CURRENT" || echo none; } >> ${out}`
    const it = await bench({ test: ['/bin/sh', '-c', script, 'sh', '{path}', '{sequence}', '{unknown}'] })
    await it.install(releaseOf(one, 1))
    expect(await readFile(out, 'utf8')).toMatch(/^one 1 \{unknown\} \.\nnone\n$/)
  })

  test('leaves nothing running behind it', async () => {
    const it = await bench({ test: shell('sleep 300 & echo "pid=$!"; exit 1') })
    const { message } = await it.install(releaseOf(one)).catch(caught => caught)
    const pid = Number(/pid=(\d+)/.exec(message)![1])
    await expect.poll(() => isRunning(pid)).toBe(false)
  })

  test('whose machine failed says so by exit status 75, and the release is tried again', async () => {
    const it = await bench({ test: shell('exit 75') })
    await expect(it.install(releaseOf(one))).rejects.toMatchObject({ code: 'install_test_failed' })
    expect(await it.installer.eligible([releaseOf(one).release])).toHaveLength(1)
  })

  test.runIf(isRoot)('runs as somebody else when the daemon is root, without its groups', async () => {
    const it = await bench({ test: shell('echo "$(id -u) $(id -G)"; touch ./evil; exit 1'), test_user: 'daemon' })
    await expect(it.install(releaseOf(one))).rejects.toThrow(/exit status 1: 1 1 touch: .*Permission denied$/)
  })

  test.runIf(isRoot)('whose user does not exist is not run as root instead', async () => {
    const it = await bench({ test: ['true'], test_user: 'no-such-user' })
    await expect(it.install(releaseOf(one))).rejects.toMatchObject({ code: 'install_failed' })
  })

  test('that wants too much memory does not get it', async () => {
    const greedy =
      'head -c 300000000 /dev/zero | tail -c 200000000 | wc -c; test $(head -c 300000000 /dev/zero | tail -c 200000000 | wc -c) = 200000000'
    const it = await bench({ test: shell(greedy), test_memory_mib: 64 })
    await expect(it.install(releaseOf(one))).rejects.toMatchObject({ code: 'install_test_failed' })
    await it.restart({ test: shell(greedy), test_memory_mib: 2048 })
    await it.installer.retry()
    await it.install(releaseOf(one))
  })
})

describe.each(['reload', 'health'] as const)('a %s command that fails', name => {
  const failing = (script: string): ConsumerConfig => ({ [name]: shell(script), health_timeout_s: 0.3 })

  test('brings the release before back, loaded and recorded, and the new one is not tried again', async () => {
    const dir = await scratchDir()
    const script = `echo "$SIGMESH_SEQUENCE" >> ${dir}/runs; test "$SIGMESH_SEQUENCE" = 1 || { echo "no canary"; exit 3; }`
    const it = await bench(failing(script))
    await it.install(releaseOf(one, 1))
    await expect(it.install(releaseOf(two, 2))).rejects.toMatchObject({
      code: 'install_rolled_back',
      message: expect.stringMatching(
        /^release 2 is in place, but .* exit status 3: no canary; rolled back to release 1$/,
      ),
    })
    expect(await inForce(it.path)).toEqual(expected(one))
    expect(await it.installer.installed()).toMatchObject({ sequence: 1 })
    expect((await readFile(join(dir, 'runs'), 'utf8')).replaceAll(/(2\n)+/g, '2\n')).toBe('1\n2\n1\n')
    expect(await readRecord(it.path)).toMatchObject({ reloadPending: false, next: null, refused: { sequence: 2 } })
    expect(await directoriesOf(it.path)).toHaveLength(1)
    await it.restart()
    await it.installer.finishReload(signal)
    const offered = [1, 2, 3].map(sequence => releaseOf(two, sequence).release)
    expect((await it.installer.eligible(offered)).map(release => release.sequence)).toEqual([1, 3])
  })

  test('also on the release before: that one stays, and the commands are run until they succeed', async () => {
    const dir = await scratchDir()
    const it = await bench(failing(`test ! -e ${dir}/broken || { echo $SIGMESH_SEQUENCE; exit 1; }`))
    await it.install(releaseOf(one, 1))
    await writeFile(join(dir, 'broken'), '')
    await expect(it.install(releaseOf(two, 2))).rejects.toMatchObject({
      code: 'install_rolled_back',
      message: expect.stringMatching(/rolled back to release 1, which then failed too: .*exit status 1: 1$/),
    })
    await expect(it.installer.finishReload(signal)).rejects.toMatchObject({ code: `${name}_failed` })
    expect(await inForce(it.path)).toEqual(expected(one))
    await it.restart(failing('true'))
    await it.installer.finishReload(signal)
    expect(await readRecord(it.path)).toMatchObject({ reloadPending: false, installed: { sequence: 1 } })
  })

  test('where the release before has rotted: better a release that may not work than one that cannot', async () => {
    const it = await bench(failing('test "$SIGMESH_SEQUENCE" = 1'))
    await it.install(releaseOf(one, 1))
    await writeFile(join(it.path, 'current/daily.ndb'), 'ONE')
    await expect(it.install(releaseOf(two, 2))).rejects.toMatchObject({ code: `${name}_failed` })
    expect(await inForce(it.path)).toEqual(expected(two))
  })

  test('is no reason to keep the next release out, and that one takes the refusal away', async () => {
    const it = await bench(failing('test "$SIGMESH_SEQUENCE" != 2'))
    await it.install(releaseOf(one, 1))
    await expect(it.install(releaseOf(two, 2))).rejects.toMatchObject({ code: 'install_rolled_back' })
    await it.install(releaseOf(three, 3))
    expect(await readRecord(it.path)).toMatchObject({
      installed: { sequence: 3 },
      previous: { sequence: 1 },
      refused: null,
    })
  })

  test('is no reason to refuse a release when an admin wants it tried again', async () => {
    const dir = await scratchDir()
    const it = await bench(failing(`test "$SIGMESH_SEQUENCE" = 1 -o -e ${dir}/mended`))
    await it.install(releaseOf(one, 1))
    await expect(it.install(releaseOf(two, 2))).rejects.toMatchObject({ code: 'install_rolled_back' })
    await writeFile(join(dir, 'mended'), '')
    await it.installer.retry()
    expect(await it.installer.eligible([releaseOf(two, 2).release])).toHaveLength(1)
    await it.install(releaseOf(two, 2))
    expect(await it.installer.installed()).toMatchObject({ sequence: 2 })
  })
})

test('a reload that says by exit status 75 that no consumer runs: the release stays, and is loaded and judged when one does', async () => {
  const dir = await scratchDir()
  const it = await bench({
    reload: shell(`test -e ${dir}/runs || exit 75`),
    health: shell(`test "$SIGMESH_SEQUENCE" = 2 -o ! -e ${dir}/runs`),
    health_timeout_s: 0.2,
  })
  await expect(it.install(releaseOf(one, 1))).rejects.toMatchObject({ code: 'reload_failed' })
  await expect(it.install(releaseOf(two, 2))).rejects.toMatchObject({ code: 'reload_failed' })
  expect(await it.installer.installed()).toMatchObject({ sequence: 2 })
  await expect(it.installer.finishReload(signal)).rejects.toMatchObject({ code: 'reload_failed' })
  expect(await readRecord(it.path)).toMatchObject({ reloadPending: true, refused: null })
  await writeFile(join(dir, 'runs'), '')
  await it.installer.finishReload(signal)
  expect(await readRecord(it.path)).toMatchObject({ reloadPending: false, installed: { sequence: 2 } })
  // A consumer that runs, and does not work with what comes next, is the judge again.
  await expect(it.install(releaseOf(three, 3))).rejects.toMatchObject({ code: 'install_rolled_back' })
  expect(await inForce(it.path)).toEqual(expected(two))
})

describe('the health command', () => {
  test('is tried again until its deadline: a consumer takes its time to load', async () => {
    const dir = await scratchDir()
    const it = await bench({
      health: shell(`echo x >> ${dir}/tries; test $(wc -l < ${dir}/tries) -ge 3`),
      health_timeout_s: 30,
    })
    await it.install(releaseOf(one, 1))
    expect(await readFile(join(dir, 'tries'), 'utf8')).toBe('x\nx\nx\n')
  })

  test('that never ends: what an earlier try said is told', async () => {
    const dir = await scratchDir()
    const script = `test -e ${dir}/tried && sleep 300; touch ${dir}/tried; echo "not FOUND"; exit 1`
    const it = await bench({ health: shell(script), health_timeout_s: 1.5 })
    await expect(it.install(releaseOf(one, 1))).rejects.toMatchObject({
      code: 'health_failed',
      message: expect.stringMatching(/exit status 1: not FOUND$/),
    })
  })
})

describe('an admin', () => {
  test('rolls back: the release before is in force and loaded, the newer one not tried again by itself', async () => {
    const dir = await scratchDir()
    const it = await bench({ reload: shell(`echo $SIGMESH_SEQUENCE >> ${dir}/runs`) })
    await it.install(releaseOf(one, 1))
    await it.install(releaseOf(two, 2))
    await it.installer.rollBack(signal)
    expect(await inForce(it.path)).toEqual(expected(one))
    expect(await readFile(join(dir, 'runs'), 'utf8')).toBe('1\n2\n1\n')
    expect(await it.installer.eligible([releaseOf(two, 2).release])).toEqual([])
    expect((await it.installer.standing()).refused).toMatchObject({ sequence: 2, code: null })
    await expect(it.installer.rollBack(signal)).rejects.toMatchObject({ code: 'rollback_unavailable' })
    await it.install(releaseOf(three, 3))
    expect(await it.installer.installed()).toMatchObject({ sequence: 3 })
  })

  test('has nothing to roll back to: rollback_unavailable, and nothing is changed', async () => {
    const it = await bench()
    await expect(it.installer.rollBack(signal)).rejects.toMatchObject({ code: 'rollback_unavailable' })
    await it.install(releaseOf(one, 1))
    const before = await readTree(it.path)
    await expect(it.installer.rollBack(signal)).rejects.toMatchObject({ code: 'rollback_unavailable' })
    expect(await readTree(it.path)).toEqual(before)
  })

  test('holds: nothing new is eligible but a repair, until the time is over or it is released', async () => {
    const it = await bench()
    await it.install(releaseOf(one, 1))
    const offered = [releaseOf(one, 1).release, releaseOf(two, 2).release]
    const eligible = async () => (await it.installer.eligible(offered)).map(release => release.sequence)
    await it.installer.hold(null)
    await it.restart()
    expect(await eligible()).toEqual([1])
    await it.installer.hold(undefined)
    expect(await eligible()).toEqual([1, 2])
    await it.installer.hold(1_795_000_001_000)
    expect(await eligible()).toEqual([1])
    await it.installer.hold(1_795_000_000_000)
    expect(await eligible()).toEqual([1, 2])
  })
})

/** A dead process that nobody has asked after yet (`Z`) is none. */
async function isRunning(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => 'State:\tZ')
  return !/^State:\tZ/m.test(status)
}
