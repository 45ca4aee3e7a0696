/**
 * The executable for the public conformance suite: the whole recording against it over real HTTP with a real folder, and its command line
 * as processes. It has no floor beside the files, so this is also the rules without one.
 */
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { sha256 } from '../../src/core/digest.ts'
import { artifactUrlPath } from '../../src/core/release.ts'
import { signReleases } from '../../src/signing/publish-operations.ts'
import { FileServer } from '../support/file-server.ts'
import { scratchDir, writeTree } from '../support/scratch.ts'
import { makeRelease, TrustRepository } from '../support/trust-repository.ts'
import {
  blob,
  type CassetteStep,
  hasRequests,
  recordedAnswer,
  replayedTests,
  stepsOf,
} from '../support/tuf-cassette.ts'
import { main } from '../support/tuf-client.ts'
import { haveVectors } from '../support/vectors.ts'

describe.skipIf(!haveVectors)('the recorded conformance suite over HTTP', () => {
  const server = new FileServer()
  beforeAll(() => server.start())
  afterAll(() => server.stop())

  test.each(replayedTests)('%s', async name => {
    const home = await scratchDir()
    const [metadata, targets] = [join(home, 'metadata'), join(home, 'targets')]
    for (const step of stepsOf(name)) {
      server.requests = []
      server.answer = path => recordedAnswer(step, path)
      const rc = await main(await argumentsOf(step, home), { now: Date.parse(step.now), complain: () => {} })
      expect({
        rc,
        trusted: await hashesIn(metadata),
        artifacts: Object.values(await hashesIn(targets)).sort(),
      }).toEqual({
        rc: step.rc,
        trusted: Object.fromEntries(Object.entries(step.trusted).map(([file, [, name]]) => [file, name])),
        artifacts: [...step.artifacts].sort(),
      })
      if (hasRequests(name)) expect(server.requests).toEqual(step.requests.map(([path]) => path))
    }
  })

  async function argumentsOf(step: CassetteStep, home: string): Promise<string[]> {
    const folder = ['--metadata-dir', join(home, 'metadata')]
    if (step.cmd === 'init') {
      await writeTree(home, { 'root.json': blob(step.root!) })
      return [...folder, 'init', join(home, 'root.json')]
    }
    const names = step.targets_names.flatMap(target => ['--target-name', target])
    const places = ['--target-base-url', `${server.url}/targets/`, '--target-dir', join(home, 'targets')]
    const download = step.cmd === 'download' ? [...names, ...places] : []
    return [...folder, '--metadata-url', `${server.url}/metadata/`, ...download, step.cmd]
  }
})

describe('the executable', () => {
  test('as a process: init asks nobody, refresh trusts, download brings targets and fetches none twice', async () => {
    const { server, run, home } = await published()
    expect(await run('init', join(home, 'first-root.json'))).toBe(0)
    expect([server.requests, await readdir(join(home, 'metadata'))]).toEqual([[], ['root.json']])

    expect(await run('--metadata-url', `${server.url}/metadata`, 'refresh')).toBe(0)
    expect(await readFile(join(home, 'metadata/timestamp.json'))).toEqual(server.answer('metadata/timestamp.json'))
    expect(await readdir(join(home, 'metadata'))).toEqual([
      'root.json',
      'snapshot.json',
      'targets.json',
      'timestamp.json',
    ])

    const targets = ['--target-base-url', `${server.url}/targets`, '--target-dir', join(home, 'targets')]
    const download = (...names: string[]) =>
      run(
        '--metadata-url',
        `${server.url}/metadata`,
        ...names.flatMap(name => ['--target-name', name]),
        ...targets,
        'download',
      )
    server.requests = []
    expect(await download('clamav/1.full.pack', 'clamav/2.full.pack')).toBe(0)
    expect(server.requests.filter(path => path.endsWith('timestamp.json'))).toHaveLength(1)
    expect(server.requests.filter(path => path.startsWith('targets/'))).toHaveLength(2)
    expect(await readFile(join(home, 'targets/clamav%2F2.full.pack'), 'utf8')).toBe('release 2')

    server.requests = []
    expect(await download('clamav/1.full.pack', 'clamav/3.full.pack')).toBe(1)
    expect(server.requests.filter(path => path.startsWith('targets/'))).toEqual([])
  })

  test.each<[string, string[]]>([
    ['no command', []],
    ['a command that is not there', ['update']],
    ['no root', ['init']],
    ['a root that is not there', ['init', '/nonexistent']],
    ['no URL', ['refresh']],
    ['a server that does not answer', ['--metadata-url', 'http://127.0.0.1:1/', 'refresh']],
    ['an option that is not there', ['--force', 'refresh']],
  ])('%s: exit 1', async (_, args) => {
    const home = await scratchDir()
    const complaints: string[] = []
    const surroundings = { now: 0, complain: (line: string) => void complaints.push(line) }
    expect(await main(['--metadata-dir', home, ...args], surroundings)).toBe(1)
    expect(complaints).toHaveLength(1)
    expect(await readdir(home)).toEqual([])
  })
})

/** A repository of ours with two releases, signed now, on a server; and the client as a process. */
async function published() {
  const now = Date.now()
  const repository = new TrustRepository(now)
  const contents = [1, 2].map(sequence => Buffer.from(`release ${sequence}`))
  const releases = contents.map((content, at) => {
    const release = makeRelease('clamav', at + 1)
    return { ...release, full: { ...release.full, sha256: sha256(content), length: content.length } }
  })
  repository.write(signReleases(repository.read(), 'clamav', releases, repository.signing(now)))
  const server = await new FileServer().start()
  onTestFinished(() => server.stop())
  const artifacts = new Map(releases.map((release, at) => [artifactUrlPath(release).slice(1), contents[at]!]))
  server.answer = path => artifacts.get(path) ?? repository.files.get(path.replace('metadata/', ''))
  const home = await writeTree(await scratchDir(), { 'first-root.json': repository.pinned })
  const client = join(import.meta.dirname, '../support/tuf-client')
  const run = (...args: string[]) =>
    new Promise<number>(resolve => {
      const child = execFile(client, ['--metadata-dir', join(home, 'metadata'), ...args], {
        env: { PATH: '/usr/bin:/bin' },
      })
      child.on('close', code => resolve(code ?? -1))
    })
  return { server, home, run }
}

/** File name -> SHA-256; none where there is no such directory. */
async function hashesIn(directory: string): Promise<Record<string, string>> {
  const names = await readdir(directory).catch((): string[] => [])
  return Object.fromEntries(
    await Promise.all(names.map(async name => [name, sha256(await readFile(join(directory, name)))] as const)),
  )
}
