import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { KiB } from '../../src/core/units.ts'
import type { JsonObject } from '../../src/signing/json.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { openOrigin, rawRequest } from '../support/origin-fixture.ts'
import { keyNamed, noon } from '../support/trust-repository.ts'

describe('metadata and torrents', () => {
  test('versioned files may be cached for ever, timestamp.json never', async () => {
    const { get, repository } = await openOrigin()
    const { artifact, metainfo } = await repository.publish(1, 100 * KiB)
    const versioned = await get('/metadata/1.root.json')
    expect(versioned.body).toEqual(Buffer.from(repository.trust.pinned))
    expect(versioned.headers['cache-control']).toBe('public, max-age=31536000, immutable')

    const torrent = await get(`/torrents/${artifact.sha256}.torrent`)
    expect(torrent.body).toEqual(metainfo)
    expect(torrent.headers['cache-control']).toContain('immutable')

    const timestamp = await get('/metadata/timestamp.json')
    expect(timestamp.headers['cache-control']).toBe('no-cache')
    const again = await get('/metadata/timestamp.json', { 'if-none-match': String(timestamp.headers.etag) })
    expect([again.status, again.body.length]).toEqual([304, 0])
  })

  test('metadata goes out compressed to who takes it, plain to everybody else, torrents always plain', async () => {
    const { get, repository } = await openOrigin()
    const { artifact, metainfo } = await repository.publish(1, 100 * KiB)
    const plain = await get('/metadata/1.root.json')
    expect(plain.headers['content-encoding']).toBeUndefined()
    for (const coding of ['gzip', 'br;q=0', 'brotli', 'identity, *;q=0.5'])
      expect((await get('/metadata/1.root.json', { 'accept-encoding': coding })).body).toEqual(plain.body)

    for (const coding of ['br', 'gzip, br']) {
      const answer = await get('/metadata/1.root.json', { 'accept-encoding': coding })
      expect(answer.headers).toMatchObject({ 'content-encoding': 'br', 'content-length': String(answer.body.length) })
      expect(answer.body.length).toBeLessThan(0.7 * plain.body.length)
      expect(brotliDecompressSync(answer.body)).toEqual(plain.body)
      // A cache keeps the two apart, and neither stands for the other.
      expect([answer.headers.vary, plain.headers.vary]).toEqual(['accept-encoding', 'accept-encoding'])
      expect(answer.headers.etag).not.toBe(plain.headers.etag)
      const known = { 'accept-encoding': coding, 'if-none-match': String(answer.headers.etag) }
      expect((await get('/metadata/1.root.json', known)).status).toBe(304)
      const other = { 'accept-encoding': coding, 'if-none-match': String(plain.headers.etag) }
      expect((await get('/metadata/1.root.json', other)).status).toBe(200)
    }
    const torrent = await get(`/torrents/${artifact.sha256}.torrent`, { 'accept-encoding': 'br' })
    expect(torrent.body).toEqual(metainfo)
  })

  test('a file that compression makes no shorter goes out as it is', async () => {
    const { get, repository } = await openOrigin()
    await repository.publish(1, 20 * KiB)
    const noise = randomBytes(2000)
    await writeFile(join(repository.directory, 'metadata', '1.root.json'), noise)
    const answer = await get('/metadata/1.root.json', { 'accept-encoding': 'br' })
    expect(answer.headers['content-encoding']).toBeUndefined()
    expect(answer.body).toEqual(noise)
  })

  test('a publish is seen at once, in metadata and artifacts', async () => {
    const { get, repository } = await openOrigin({ config: { payloads: 'open' } })
    const first = await repository.publish(1, 20 * KiB)
    const { etag } = (await get('/metadata/timestamp.json')).headers
    const second = await repository.publish(2, 30 * KiB)
    expect((await get('/metadata/timestamp.json', { 'if-none-match': String(etag) })).status).toBe(200)
    await expect.poll(async () => (await get(second.path)).status).toBe(200)
    expect((await get(first.path)).status).toBe(404)
  })

  test('a file changes on disk under the same name: what is held in memory is not served any more', async () => {
    const { get, repository } = await openOrigin()
    await repository.publish(1, 20 * KiB)
    const good = (await get('/metadata/1.root.json')).body
    const file = join(repository.directory, 'metadata', '1.root.json')
    await writeFile(file, 'damaged')
    expect((await get('/metadata/1.root.json')).body.toString()).toBe('damaged')
    await writeFile(file, good)
    expect((await get('/metadata/1.root.json')).body).toEqual(good)
  })

  test('the repository is damaged: its bytes are served as they are, the artifacts known before stay', async () => {
    const errors: string[] = []
    const log = { debug() {}, info() {}, warn() {}, error: (_: unknown, text: string) => void errors.push(text) }
    const { get, repository } = await openOrigin({ config: { payloads: 'open' }, log })
    const { path } = await repository.publish(1, 20 * KiB)
    expect((await get(path)).status).toBe(200)
    repository.trust.files.set('timestamp.json', Buffer.from('{"signed":'))
    await repository.writeMetadata()
    await expect.poll(async () => (await get(path)).status === 200 && errors.length).toBe(1)
    expect((await get('/metadata/timestamp.json')).body.toString()).toBe('{"signed":')
  })

  test('a manifest is damaged when it is first read, and mended in place later: the origin finds out by itself', async () => {
    const clock = new ManualClock()
    const { get, repository } = await openOrigin({ config: { payloads: 'open' }, clock })
    const { path } = await repository.publish(1, 20 * KiB)
    const manifest = join(repository.directory, 'metadata', '2.clamav.json')
    const good = await readFile(manifest)
    await writeFile(manifest, 'damaged')
    await clock.advance(100)
    expect((await get(path)).status).toBe(404)
    await writeFile(manifest, good)
    await clock.advance(1000)
    expect((await get(path)).status).toBe(200)
  })

  test('a release that is none, or a manifest that cannot be read, costs only itself', async () => {
    const errors: string[] = []
    const log = { debug() {}, info() {}, warn() {}, error: (_: unknown, text: string) => void errors.push(text) }
    const clock = new ManualClock()
    const { get, repository, origin } = await openOrigin({ config: { payloads: 'open' }, log, clock })
    repository.trust.addChannel('yara')
    const first = await repository.publish(1, 20 * KiB)
    await clock.advance(100)
    expect((await get(first.path)).status).toBe(200)

    const { yara, clamav } = { yara: [keyNamed('yara')], clamav: [repository.trust.keys.clamav] }
    const custom = { sigmesh: { format: 2 } }
    const none = { 'yara/1.full.pack': { length: 5, hashes: { sha256: 'ab'.repeat(32) }, custom } }
    repository.trust.forgeBelowTimestamp('yara', signed => ({ ...signed, targets: none }), yara)
    await repository.writeMetadata()
    const second = await repository.publish(2, 20 * KiB)
    await clock.advance(100)
    expect((await get(second.path)).status).toBe(200)
    expect((await get('/v1/health')).status).toBe(200)
    expect(errors).toEqual(['a release of yara is not offered'])

    // Both at once: another one is added beside it, and the manifest of yara is gone.
    const targets = repository.trust.signed('3.clamav.json').targets as JsonObject
    const both = { 'clamav/9.full.pack': { ...(Object.values(targets)[0] as JsonObject) }, ...targets }
    repository.trust.forgeBelowTimestamp('clamav', signed => ({ ...signed, targets: both }), clamav)
    await rm(join(repository.directory, 'metadata/1.yara.json'))
    repository.trust.files.delete('1.yara.json')
    await repository.writeMetadata()
    await clock.advance(100)
    expect((await get(second.path)).status).toBe(200)
    expect((await get(second.path.replace('.2.full', '.9.full'))).status).toBe(404)
    await clock.advance(2000)
    expect((await get(second.path)).status).toBe(200)
    expect(errors.slice(1).sort()).toEqual([
      'a release of clamav is not offered',
      'the manifest of yara cannot be read; what it offered before stays in force',
    ])
    expect(origin.stats().artifactBytes).toBeGreaterThan(0)
  })

  test('the manifest of one channel cannot be read: what it offered before is served on, and the others have their news', async () => {
    const clock = new ManualClock()
    const { get, repository } = await openOrigin({ config: { payloads: 'open' }, clock })
    repository.trust.addChannel('yara')
    const { path } = await repository.publish(1, 20 * KiB)
    await clock.advance(100)
    expect((await get(path)).status).toBe(200)
    repository.trust.renew(['clamav'], noon)
    repository.trust.files.delete('3.clamav.json')
    await repository.writeMetadata()
    await clock.advance(100)
    expect((await get(path)).status).toBe(200)
  })

  test('there is no repository yet: 503 on health, 404 on files, and it is there as soon as it is', async () => {
    const { get, repository } = await openOrigin()
    expect((await get('/v1/health')).status).toBe(503)
    expect((await get('/metadata/timestamp.json')).status).toBe(404)
    await repository.publish(1, 20 * KiB)
    await expect.poll(async () => (await get('/v1/health')).status).toBe(200)
  })
})

describe('names that try to be paths', () => {
  const names = [
    '/metadata/../state/reports.sqlite',
    '/metadata/..%2fstate%2freports.sqlite',
    '/metadata/%2e%2e%2fsecret.json',
    '/metadata/..%5csecret.json',
    '/metadata/secret.json',
    '/metadata/1.root.json/',
    '/metadata//1.root.json',
    '/metadata/1.root.json%00',
    '/metadata/01.root.json',
    '/metadata/1.ROOT.json',
    '/metadata/1.constructor.prototype.json',
    '/metadata/.json',
    '/metadata/',
    '/targets/clamav/../clamav/secret',
    '/targets/clamav/secret',
    '/targets/../../state/reports.sqlite',
    '/torrents/secret.torrent',
    '/torrents/..%2fmetadata%2f1.root.json',
    `/torrents/${'0'.repeat(64)}.torrent`,
    '/targets/__proto__/constructor',
    '//etc/passwd',
    '/%',
    '/metadata/%ff.json',
    `/metadata/${'9'.repeat(300)}.root.json`,
  ]

  test('404, empty', async () => {
    const { origin, repository } = await openOrigin()
    await repository.publish(1, 20 * KiB)
    await writeFile(join(repository.directory, 'metadata', 'secret.json'), 'secret')
    await writeFile(join(repository.directory, 'secret.json'), 'secret')
    await writeFile(join(repository.directory, 'targets', 'clamav', 'secret'), 'secret')
    await writeFile(join(repository.directory, 'torrents', 'secret.torrent'), 'secret')
    for (const path of names) {
      const { status, body } = await rawRequest(origin.port, path)
      expect.soft([path, status, body.toString()]).toEqual([path, 404, ''])
    }
  })

  test('a link, a directory or a pipe stands where a file should: 404, and no waiting', async () => {
    const { get, repository } = await openOrigin()
    await repository.publish(1, 20 * KiB)
    const metadata = join(repository.directory, 'metadata')
    await symlink('/etc/passwd', join(metadata, '7.clamav.json'))
    await mkdir(join(metadata, '8.clamav.json'))
    expect((await get('/metadata/7.clamav.json')).status).toBe(404)
    expect((await get('/metadata/8.clamav.json')).status).toBe(404)
  })
})

describe('artifacts', () => {
  const open = { config: { payloads: 'open' } }

  const satisfiable: [string, string | undefined, number, [number, number]][] = [
    ['no range', undefined, 200, [0, 50_000]],
    ['the first byte', 'bytes=0-0', 206, [0, 1]],
    ['a part', 'bytes=100-199', 206, [100, 200]],
    ['from somewhere on', 'bytes=40000-', 206, [40_000, 50_000]],
    ['the last bytes', 'bytes=-7', 206, [49_993, 50_000]],
    ['more than all of the last bytes', 'bytes=-99999', 206, [0, 50_000]],
    ['past the end', 'bytes=49999-60000', 206, [49_999, 50_000]],
  ]

  test('one range, in each of its forms', async () => {
    const { get, repository } = await openOrigin(open)
    const { path, content } = await repository.publish(1, 50_000)
    for (const [name, range, status, [start, end]] of satisfiable) {
      const answer = await get(path, range === undefined ? {} : { range })
      expect.soft(answer.status, name).toBe(status)
      expect.soft(answer.body.equals(content.subarray(start, end)), name).toBe(true)
      expect.soft(answer.headers['content-length'], name).toBe(String(end - start))
      const contentRange = status === 206 ? `bytes ${start}-${end - 1}/50000` : undefined
      expect.soft(answer.headers['content-range'], name).toBe(contentRange)
      expect.soft(answer.headers['cache-control'], name).toContain('immutable')
    }
  })

  const unsatisfiable = [
    'bytes=50000-',
    'bytes=50000-50001',
    'bytes=5-4',
    'bytes=-0',
    'bytes=-',
    'bytes=0-1,5-6',
    'bytes=0x10-20',
    'bytes=-1-2',
    'bytes=1e3-',
    'items=0-5',
    `bytes=0-${'9'.repeat(400)}`,
  ]

  test('no range that can be served: 416', async () => {
    const { get, repository } = await openOrigin(open)
    const { path } = await repository.publish(1, 50_000)
    for (const range of unsatisfiable) {
      const { status, headers } = await get(path, { range })
      expect.soft([range, status, headers['content-range']]).toEqual([range, 416, 'bytes */50000'])
    }
  })

  test('HEAD tells the size, sends nothing and needs no seat', async () => {
    const { origin, repository } = await openOrigin()
    const { path } = await repository.publish(1, 50_000)
    const answer = await rawRequest(origin.port, path, { method: 'HEAD' })
    expect([answer.status, answer.headers['content-length'], answer.body.length]).toEqual([200, '50000', 0])
    expect(origin.stats().artifactBytes).toBe(0)
  })

  test('the artifact on disk is gone, a link, or of another length: 500, the reason only in the log', async () => {
    const errors: unknown[] = []
    const log = { debug() {}, info() {}, warn() {}, error: (fields: unknown) => void errors.push(fields) }
    const { get, repository } = await openOrigin({ ...open, log })
    const { path } = await repository.publish(1, 50_000)
    const file = join(repository.directory, path)
    await truncate(file, 40_000)
    const short = await get(path)
    expect([short.status, short.body.toString()]).toEqual([500, '{"error":{"code":"internal"}}'])
    await rename(file, `${file}.moved`)
    expect((await get(path)).status).toBe(500)
    await symlink(`${file}.moved`, file)
    expect((await get(path)).status).toBe(500)
    await rm(file)
    expect(errors.length).toBe(3)
  })
})
