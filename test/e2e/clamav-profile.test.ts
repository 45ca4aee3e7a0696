/**
 * `profile = "clamav"` with a real clamd: whatever is published, it goes on scanning, and what it should find it finds at every moment.
 */
import { spawnSync } from 'node:child_process'
import { chown, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { canaryPath } from '../../src/core/canary.ts'
import { isRoot } from '../../src/install/account.ts'
import { ndbLine, scan, startClamd } from '../support/clamd.ts'
import { needs } from '../support/needs.ts'
import { runCli } from '../support/run-cli.ts'
import { scratchDir, type Tree, writeTree } from '../support/scratch.ts'
import { channel, openSite, type SiteNode } from '../support/site.ts'
import { haveVectors, readVector, vectorNames } from '../support/vectors.ts'

const words = {
  local: 'sigmesh-local-pattern-31d0',
  first: 'sigmesh-first-pattern-7f3a',
  second: 'sigmesh-second-pattern-91cc',
  third: 'sigmesh-third-pattern-0be2',
}
const found = (name: string) => `stream: ${name}.UNOFFICIAL FOUND`
const line = {
  first: ndbLine('Company.First', words.first),
  second: ndbLine('Company.Second', words.second),
  third: ndbLine('Company.Third', words.third),
}

/** A machine with clamd, whose database directory has a database of the admin's, belongs to clamd's user, and is filled by the node. */
async function machine() {
  const home = await scratchDir()
  const databases = join(home, 'databases')
  const paths = { config: join(home, 'clamd.conf'), socket: join(home, 'clamd.sock') }
  await writeTree(databases, { 'local.ndb': ndbLine('Local.Pattern', words.local) })
  if (isRoot()) await chown(databases, 1, 1)
  const entry = {
    profile: 'clamav',
    path: databases,
    clamd_socket: paths.socket,
    health_timeout_s: 10,
    ...(isRoot() && { owner: 'daemon' }),
  }
  const site = await openSite({ nodes: 2, channel: name => (name === 'node-1' ? entry : {}) })
  let published = 0
  const publish = async (tree: Tree, options = { canary: true }) => {
    const source = await writeTree(join(site.home, `source-${++published}`), tree)
    await site.publish(source, undefined, options)
  }
  const [node, other] = site.nodes as [SiteNode, SiteNode]
  const sigmesh = (...args: string[]) => runCli(['--socket', node.socket, ...args])
  return {
    site,
    node,
    other,
    databases,
    publish,
    sigmesh,
    ...paths,
    start: () => startClamd(paths.config, paths.socket, databases),
  }
}

/** Scan for what every release has, again and again, until the test is over. */
function watch(socket: string) {
  const wrong: string[] = []
  let scans = 0
  let watching = true
  const loop = (async () => {
    while (watching) {
      const answer = await scan(socket, `before ${words.first} after`).catch(error => `${error}`)
      scans++
      if (answer !== found('Company.First')) wrong.push(answer)
      await delay(5) // the others on this machine want to work, too
    }
  })()
  const stop = async () => {
    watching = false
    await loop
    return { scans, wrong }
  }
  onTestFinished(() => void stop())
  return stop
}

test.skipIf(!needs('clamd', 'clamscan'))(
  'clamd scans on with the old set through a malformed release, a failed health check, a roll back and its own end',
  async () => {
    const { node, databases, publish, sigmesh, socket, start } = await machine()
    const clamd = await start()
    const names = async () => (await readdir(databases)).sort()
    const status = async () => JSON.parse((await sigmesh('status', '--json')).stdout).channels[0]
    expect(await scan(socket, words.first)).toBe('stream: OK')

    await publish({ 'company.ndb': line.first })
    expect(await node.update()).toMatchObject({ outcome: 'installed', sequence: 1, error: null })
    // No polling: an update that succeeded is one that clamd works with.
    expect(await scan(socket, words.first)).toBe(found('Company.First'))
    const stopWatching = watch(socket)

    // 2: signed by the rightful publisher, and malformed.
    await publish({ 'company.ndb': line.first, 'extra.ndb': 'Company.Broken:0:*\n' })
    expect(await node.update()).toMatchObject({
      outcome: 'failed',
      sequence: 1,
      error: { code: 'install_test_failed', message: expect.stringContaining('Malformed database') },
    })
    expect(await names()).toEqual(['company.ndb', 'local.ndb', canaryPath])
    expect(await node.update()).toMatchObject({ outcome: 'current', error: { code: 'install_test_failed' } })

    // 3: it loads by itself, but not beside what the admin has just put there.
    await writeFile(join(databases, 'mine.ndb'), 'Local.Broken:0:*\n')
    await publish({ 'company.ndb': line.first + line.third })
    expect(await node.update()).toMatchObject({
      outcome: 'failed',
      sequence: 1,
      error: {
        code: 'install_rolled_back',
        message: expect.stringMatching(/canary.*clamd answers "stream: OK" to the canary.*rolled back to release 1$/),
      },
    })
    expect(await readFile(join(databases, 'company.ndb'), 'utf8')).toBe(line.first)
    expect(await scan(socket, words.third)).toBe('stream: OK')
    expect(await node.update()).toMatchObject({
      outcome: 'current',
      sequence: 1,
      error: { code: 'install_rolled_back' },
    })
    expect((await status()).refused).toMatchObject({ sequence: 3, code: 'install_rolled_back' })
    expect((await node.history()).filter(({ error }) => error?.code === 'install_rolled_back')).toHaveLength(1)

    // The machine is mended, and the admin says so.
    await rm(join(databases, 'mine.ndb'))
    expect(await sigmesh('update', '--retry')).toMatchObject({ code: 0 })
    expect(await scan(socket, words.third)).toBe(found('Company.Third'))
    expect(await status()).toMatchObject({ installed: { sequence: 3 }, refused: null, failure: null })

    // By hand: back to 1, and 3 stays away.
    expect(await sigmesh('rollback', channel)).toMatchObject({ code: 0 })
    expect(await scan(socket, words.third)).toBe('stream: OK')
    expect(await node.update()).toMatchObject({ outcome: 'current', sequence: 1 })
    expect(await readFile(join(databases, 'company.ndb'), 'utf8')).toBe(line.first)

    // 4: while an admin holds, nothing; then it comes.
    await publish({ 'company.ndb': line.first, 'second.ndb': line.second })
    expect(await sigmesh('hold', channel, '--until', '1h')).toMatchObject({ code: 0 })
    expect(await node.update()).toMatchObject({ outcome: 'current', sequence: 1 })
    expect(await sigmesh('hold', channel, '--release')).toMatchObject({ code: 0 })
    expect(await node.update()).toMatchObject({ outcome: 'installed', sequence: 4, error: null })
    expect(await scan(socket, words.second)).toBe(found('Company.Second'))
    expect(await scan(socket, words.local)).toBe(found('Local.Pattern'))
    expect(await names()).toEqual(['company.ndb', 'local.ndb', 'second.ndb', canaryPath])
    if (isRoot()) expect(await stat(join(databases, 'second.ndb'))).toMatchObject({ uid: 1, gid: 1 })

    const { scans, wrong } = await stopWatching()
    expect(wrong).toEqual([])
    expect(scans).toBeGreaterThan(100)
    expect(clamd.exitCode).toBeNull() // the same process all along

    // 5: published while no clamd runs. Nobody can say anything against it, so it stays, and clamd is asked when it is back.
    clamd.kill('SIGKILL')
    await publish({ 'company.ndb': line.first + line.second + line.third })
    expect(await node.update()).toMatchObject({ outcome: 'failed', sequence: 5, error: { code: 'reload_failed' } })
    expect((await status()).installed.sequence).toBe(5)
    await start()
    expect(await node.update()).toMatchObject({ outcome: 'current', sequence: 5, error: null })
    expect(await scan(socket, words.third)).toBe(found('Company.Third'))
  },
  240_000,
)

test.skipIf(!needs('clamd', 'clamscan', 'sigtool') || !haveVectors)(
  "ClamAV's own signed databases arrive byte for byte, and sigtool vouches for them",
  async () => {
    const { site, databases, publish, socket, start } = await machine()
    const clamd = await start()
    const folder = 'clamav-cvd'
    const originals = Object.fromEntries(vectorNames(folder).map(name => [name, readVector(`${folder}/${name}`)]))
    expect(Object.keys(originals).length).toBeGreaterThan(20)
    await publish(originals)
    const results = await Promise.all(site.nodes.map(node => node.update()))
    expect(results).toEqual(
      results.map(() => expect.objectContaining({ outcome: 'installed', sequence: 1, error: null })),
    )
    for (const place of [databases, join(site.nodes[1]!.target, 'current')]) {
      for (const [name, bytes] of Object.entries(originals))
        expect((await readFile(join(place, name))).equals(bytes), name).toBe(true)
      for (const name of Object.keys(originals).filter(each => each.endsWith('.cvd'))) {
        const { status, stdout } = spawnSync('sigtool', ['--info', join(place, name)], { encoding: 'utf8' })
        expect({ name, status, stdout }).toMatchObject({
          status: 0,
          stdout: expect.stringContaining('Verification OK'),
        })
      }
    }
    expect(await scan(socket, words.local)).toBe(found('Local.Pattern'))
    expect(clamd.exitCode).toBeNull()
  },
  120_000,
)
