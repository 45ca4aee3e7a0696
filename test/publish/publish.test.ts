import { chmod, link, mkdir, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { decodeIndex, packHeaderBytes, readIndexLength } from '../../src/core/pack-format.ts'
import { artifactUrlPath } from '../../src/core/release.ts'
import { day, hour, MiB } from '../../src/core/units.ts'
import { originConfig } from '../../src/origin/config.ts'
import { initRepository } from '../../src/publish/init.ts'
import { type PublishOptions, publish } from '../../src/publish/publish.ts'
import { refreshMetadata } from '../../src/publish/refresh.ts'
import { loadConfig } from '../../src/store/config-file.ts'
import { lockDirectory } from '../../src/store/directory-lock.ts'
import { randomBytes } from '../support/artifact.ts'
import { DiskReader } from '../support/disk-reader.ts'
import { readTree, scratchDir, writeTree } from '../support/scratch.ts'

const noon = Date.parse('2026-11-22T12:00:00Z')

/** A repository, and a payload that each call to `release` changes. */
async function operator(channels = ['clamav']) {
  const directory = join(await scratchDir(), 'operator')
  await initRepository(directory, { channels, now: noon })
  const source = await scratchDir()
  let made = 0
  return {
    directory,
    source,
    reader: new DiskReader(directory),
    served: (path = '') => join(directory, 'repository', path),
    async write(text: string) {
      await writeTree(source, { 'daily.ndb': text, 'rules/a.yar': 'rule' })
    },
    async release(options: Partial<PublishOptions> & { channel?: string } = {}) {
      await this.write(`payload ${++made}`)
      return this.again(options)
    },
    again: ({ channel = 'clamav', ...options }: Partial<PublishOptions> & { channel?: string } = {}) =>
      publish(directory, channel, source, { now: noon + made * 1000, ...options }),
  }
}

describe('a new repository', () => {
  test('has keys for their owner only, and the rest for everybody, whatever the umask', async () => {
    const umask = process.umask(0o077)
    onTestFinished(() => void process.umask(umask))
    const it = await operator()
    await it.release()
    const tree = await readTree(it.directory)
    for (const [path, value] of Object.entries(tree)) {
      const mode = value.slice(0, 3)
      if (path === 'keys/' || path === 'keys/online/') expect(mode).toBe('700')
      else if (path.startsWith('keys/') || path === 'lock') expect([path, mode]).toEqual([path, '600'])
      else expect([path, mode]).toEqual([path, path.endsWith('/') ? '755' : '644'])
    }
    const keys = Object.keys(tree).filter(path => path.startsWith('keys/'))
    expect(keys).toEqual([
      'keys/',
      'keys/clamav.json',
      'keys/online/',
      'keys/online/snapshot.json',
      'keys/online/timestamp.json',
      'keys/root.json',
      'keys/targets.json',
    ])
  })

  test('is served without a byte of a key', async () => {
    const it = await operator()
    await it.release()
    const secrets = Object.values(await readTree(join(it.directory, 'keys'))).flatMap(
      text => /"private": "(\w+)"/.exec(text)?.[1] ?? [],
    )
    const served = Object.values(await readTree(it.served())).join('\n')
    expect(secrets).toHaveLength(5)
    for (const secret of secrets) expect(served).not.toContain(secret)
  })

  test.each(['plain', 'with "quotes" and \\ and ü'])('has an origin.toml that the origin takes: %s', async name => {
    const { originFile, directory } = await initRepository(join(await scratchDir(), name), { channels: [], now: noon })
    const config = await loadConfig(originConfig, { file: originFile, env: {} })
    expect(config).toMatchObject({
      repository: join(directory, 'repository'),
      listen: { port: 8400 },
      seats_per_site: 5,
    })
    const text = await readFile(originFile, 'utf8')
    await writeFile(originFile, text.replace(/^# (\w+ = )/gm, '$1'))
    expect(await loadConfig(originConfig, { file: originFile, env: {} })).toEqual(config)
  })

  test.each<[string, (directory: string) => Promise<unknown>]>([
    ['is a repository', directory => initRepository(directory, { channels: [], now: noon })],
    ['has other files in it', directory => writeTree(directory, { 'thesis.tex': 'x' })],
  ])('is not made where one %s: repository_exists, and all is left alone', async (_, put) => {
    const directory = join(await scratchDir(), 'operator')
    await put(directory)
    const before = await readTree(directory)
    const again = initRepository(directory, { channels: ['clamav'], now: noon })
    await expect(again).rejects.toMatchObject({ code: 'repository_exists' })
    expect(await readTree(directory)).toEqual(before)
  })

  test.each(['../../evil', 'Clam', 'root', 'a/b', ''])(
    'has no channel called %j: config_invalid, nothing is written',
    async name => {
      const directory = join(await scratchDir(), 'operator')
      await expect(initRepository(directory, { channels: [name], now: noon })).rejects.toMatchObject({
        code: 'config_invalid',
      })
      await expect(stat(directory)).rejects.toMatchObject({ code: 'ENOENT' })
    },
  )
})

describe('a release', () => {
  test('is what the client of a node sees, down to the bytes', async () => {
    const it = await operator()
    const { outcome, release } = await it.release({ label: 'daily 27810' })
    expect(outcome).toBe('published')
    expect(it.reader.wholeReleases(noon)).toEqual([1])
    expect(it.reader.releases(noon)).toEqual([release])
    expect(release).toMatchObject({ channel: 'clamav', sequence: 1, label: 'daily 27810', files: 2, unpacked: 13 })
    const pack = await readFile(it.served(artifactUrlPath(release)))
    const head = packHeaderBytes + readIndexLength(pack.subarray(0, packHeaderBytes))
    const files = decodeIndex(pack.subarray(packHeaderBytes, head), pack.length - head, { files: 9, bytes: 99 })
    expect(files.map(({ path }) => path)).toEqual(['daily.ndb', 'rules/a.yar'])
    expect(await readdir(it.directory)).not.toContain('work')
  })

  test('after the other has the next number; three stay in the manifest', async () => {
    const it = await operator()
    for (let n = 0; n < 5; n++) await it.release()
    expect(it.reader.wholeReleases(noon)).toEqual([3, 4, 5])
  })

  test('that leaves the manifest is on the disk for one publish longer', async () => {
    const it = await operator()
    for (let n = 0; n < 5; n++) await it.release({ keepReleases: 2 })
    expect((await readdir(it.served('targets/clamav'))).map(name => name.split('.')[1]).sort()).toEqual(['3', '4', '5'])
    expect(await readdir(it.served('torrents'))).toHaveLength(3)
  })

  test('leaves all roots and the last versions of the other metadata', async () => {
    const it = await operator()
    for (let n = 0; n < 12; n++) await it.release({ keepReleases: 1 })
    const names = await readdir(it.served('metadata'))
    expect(names).toContain('1.root.json')
    expect(names.filter(name => name.endsWith('.clamav.json'))).toHaveLength(10)
    expect(names).toContain('13.clamav.json')
    expect(names).not.toContain('3.clamav.json')
  })

  test('with the content of the newest one: unchanged, and nothing is written', async () => {
    const it = await operator()
    const { release } = await it.release()
    const before = await readTree(it.directory)
    expect(await it.again()).toEqual({ outcome: 'unchanged', release })
    expect(await readTree(it.directory)).toEqual(before)
  })

  test('with the content of the newest one, forced: a new number, the same artifact, and both are whole', async () => {
    const it = await operator()
    const { release } = await it.release()
    const again = await it.again({ force: true })
    expect(again).toMatchObject({ outcome: 'published', release: { sequence: 2, full: release.full } })
    expect(it.reader.wholeReleases(noon)).toEqual([1, 2])
  })

  test('of an older content, to take back a bad one: all releases are whole', async () => {
    const it = await operator()
    await it.release()
    await it.release()
    await it.write('payload 1')
    await it.again()
    expect(it.reader.wholeReleases(noon)).toEqual([1, 2, 3])
    expect(it.reader.releases(noon)[2]!.content).toBe(it.reader.releases(noon)[0]!.content)
  })

  test('of the same content in two channels is whole in both', async () => {
    const it = await operator(['clamav', 'yara'])
    await it.release()
    await it.again({ channel: 'yara' })
    expect([it.reader.wholeReleases(noon), it.reader.wholeReleases(noon, 'yara')]).toEqual([[1], [1]])
  })

  test('to a channel that is not there: channel_missing, and no channel is made', async () => {
    const it = await operator()
    const refusal = { code: 'channel_missing', message: expect.stringContaining('clamav') }
    const before = await readTree(it.directory)
    await expect(it.again({ channel: 'clamva' })).rejects.toMatchObject(refusal)
    expect(await readTree(it.directory)).toEqual(before)
  })

  test('to a channel that is to be made: it gets its own key, and nodes see it', async () => {
    const it = await operator()
    await it.release()
    await it.release({ channel: 'yara', createChannel: true })
    expect([it.reader.wholeReleases(noon), it.reader.wholeReleases(noon, 'yara')]).toEqual([[1], [1]])
    expect(await readdir(join(it.directory, 'keys'))).toContain('yara.json')
  })
})

describe('nothing is published, and readers keep what they have', () => {
  test.each<[string, string, (it: Awaited<ReturnType<typeof operator>>) => Promise<unknown>]>([
    ['the source is missing', 'source_unreadable', it => rm(it.source, { recursive: true })],
    ['the source has a link', 'source_unreadable', it => symlink('/etc/passwd', join(it.source, 'x'))],
    ['the source has a bad name', 'pack_path', it => writeFile(join(it.source, 'aux'), '')],
    ['a key may be read by others', 'key_unusable', it => chmod(join(it.directory, 'keys/root.json'), 0o640)],
    ['a key is damaged', 'key_unusable', it => truncate(join(it.directory, 'keys/online/snapshot.json'), 100)],
    ['the key of the channel is gone', 'key_unusable', it => rm(join(it.directory, 'keys/clamav.json'))],
    [
      'the key is a link',
      'key_unusable',
      async it => {
        const key = join(it.directory, 'keys/clamav.json')
        await link(key, join(it.directory, 'elsewhere'))
        await rm(key)
        await symlink('../elsewhere', key)
      },
    ],
    ['the manifest is damaged', 'repository_damaged', it => truncate(it.served('metadata/2.clamav.json'), 100)],
    ['the timestamp is gone', 'repository_damaged', it => rm(it.served('metadata/timestamp.json'))],
    ['all metadata is gone', 'repository_missing', it => rm(it.served('metadata'), { recursive: true })],
    ['the first root is gone', 'repository_missing', it => rm(it.served('metadata/1.root.json'))],
    [
      'another one publishes',
      'state_busy',
      async it => {
        const lock = await lockDirectory(it.directory)
        onTestFinished(() => lock.stop())
      },
    ],
  ])('%s: %s', async (_, code, spoil) => {
    const it = await operator()
    await it.release()
    await it.write('something new')
    await spoil(it)
    const before = await readTree(it.served())
    await expect(it.again()).rejects.toMatchObject({ code })
    expect(await readTree(it.served())).toEqual(before)
  })

  test.each<[string, (directory: string) => string]>([
    ['is the directory with the keys in it', directory => directory],
    ['is above it', directory => join(directory, '..')],
    ['is the keys', directory => join(directory, 'keys')],
    ['is one key', directory => join(directory, 'keys/root.json')],
  ])('the source %s: source_unreadable', async (_, source) => {
    const it = await operator()
    const tried = publish(it.directory, 'clamav', source(it.directory), { now: noon })
    await expect(tried).rejects.toMatchObject({
      code: 'source_unreadable',
      message: expect.stringContaining('private keys'),
    })
  })

  test('the operator gives up in the middle', async () => {
    const it = await operator()
    await it.release()
    await writeTree(it.source, { big: randomBytes(4 * MiB, 1) })
    const abort = new AbortController()
    const reason = new Error('^C')
    const before = await readTree(it.directory)
    await expect(it.again({ signal: abort.signal, onProgress: () => abort.abort(reason) })).rejects.toBe(reason)
    expect(await readTree(it.directory)).toEqual(before)
  })

  test("a stranger's files in the repository are left alone", async () => {
    const it = await operator()
    await writeTree(it.served(), {
      'robots.txt': 'x',
      'metadata/notes': 'x',
      'targets/other/file': 'x',
      'torrents/x.torrent': 'x',
    })
    await mkdir(it.served('targets/clamav'), { recursive: true })
    await it.release()
    await it.release()
    expect(await readTree(it.served())).toMatchObject({
      'robots.txt': '644 x',
      'metadata/notes': '644 x',
      'targets/other/file': '644 x',
      'torrents/x.torrent': '644 x',
    })
  })
})

describe('signing again', () => {
  test('nothing is due: nothing is written', async () => {
    const it = await operator()
    const before = await readTree(it.served())
    expect(await refreshMetadata(it.directory, noon + hour)).toEqual({ renewed: [], keysMissing: [] })
    expect(await readTree(it.served())).toEqual(before)
  })

  test('what is due is signed, readers follow, and the releases stay', async () => {
    const it = await operator()
    await it.release()
    expect(() => it.reader.releases(noon + 2 * day)).toThrow(expect.objectContaining({ code: 'metadata_expired' }))
    const { renewed } = await refreshMetadata(it.directory, noon + 2 * day)
    expect(renewed).toEqual(['timestamp'])
    expect(it.reader.wholeReleases(noon + 2 * day)).toEqual([1])
    expect((await refreshMetadata(it.directory, noon + 60 * day)).renewed).toEqual([
      'clamav',
      'targets',
      'snapshot',
      'timestamp',
    ])
    expect(it.reader.wholeReleases(noon + 60 * day)).toEqual([1])
  })

  test('with the online keys alone: the rest is told, not signed', async () => {
    const it = await operator()
    await it.release()
    for (const role of ['root', 'targets', 'clamav']) await rm(join(it.directory, `keys/${role}.json`))
    expect(await refreshMetadata(it.directory, noon + 60 * day)).toEqual({
      renewed: ['snapshot', 'timestamp'],
      keysMissing: ['clamav', 'targets'],
    })
    expect(it.reader.wholeReleases(noon + 60 * day)).toEqual([1])
  })

  test('where there is no repository: repository_missing, and no lock is left there', async () => {
    const directory = await scratchDir()
    await expect(refreshMetadata(directory, noon)).rejects.toMatchObject({ code: 'repository_missing' })
    expect(await readdir(directory)).toEqual([])
  })
})
