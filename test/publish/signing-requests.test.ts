/** Signing in two places: what is asked for, who has to sign it, and what is never published. Tests carry the numbers of the attack list. */
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { day } from '../../src/core/units.ts'
import { generateKey, readKey } from '../../src/publish/key-files.ts'
import { finishRequest, preparePublish } from '../../src/publish/prepare.ts'
import { publish } from '../../src/publish/publish.ts'
import { refreshMetadata } from '../../src/publish/refresh.ts'
import {
  beginRequest,
  changeRequest,
  type KeyFilesChange,
  publishTrust,
  signOnDisk,
} from '../../src/publish/trust-request.ts'
import { describeRequest } from '../../src/signing/describe-request.ts'
import { readRequest } from '../../src/signing/signing-request.ts'
import { DiskReader } from '../support/disk-reader.ts'
import { readTree, scratchDir, writeTree } from '../support/scratch.ts'

const noon = Date.parse('2026-11-22T12:00:00Z')
const dates = { now: noon }
const nobody = () => Promise.reject(new Error('no key of this test has a passphrase'))

/** A repository whose keys of root (2 of 3), targets and channel are elsewhere; and their owners. */
async function places() {
  const home = await scratchDir()
  const at = (name: string) => join(home, name)
  const repository = at('origin')
  await writeTree(at('signatures'), { 'a.ndb': 'one' })
  await mkdir(at('origin/keys/online'), { recursive: true, mode: 0o700 })
  await chmod(at('origin/keys'), 0o700)
  const names = ['alice', 'bob', 'carol', 'dave', 'targets', 'clamav', 'clamav-2', 'targets-2']
  for (const name of names) await generateKey(at(`${name}.json`))
  for (const name of ['snapshot', 'timestamp', 'snapshot-2', 'timestamp-2'])
    await generateKey(at(name.endsWith('-2') ? `${name}.json` : `origin/keys/online/${name}.json`))
  const pub = (name: string) =>
    at(['snapshot', 'timestamp'].includes(name) ? `origin/keys/online/${name}.json.pub` : `${name}.json.pub`)
  const begin = async (request: string, renew: readonly string[] = []) =>
    void (await beginRequest(at(request), repository, renew, dates))
  const change = async (request: string, role: string, { add = [], remove = [], threshold }: KeyFilesChange) => {
    const files = { add: add.map(pub), remove: remove.map(pub), threshold }
    return changeRequest(at(request), role, files, dates)
  }
  const sign = async (request: string, ...owners: string[]) => {
    const parts = { confirm: async () => true, ask: nobody }
    for (const owner of owners) await signOnDisk(at(request), at(`${owner}.json`), parts)
  }
  const put = (...requests: string[]) => publishTrust(repository, requests.map(at), { now: noon })
  const prepare = (request: string) => preparePublish(repository, 'clamav', at('signatures'), at(request), dates)
  const finish = (...requests: string[]) => finishRequest(repository, requests.map(at), { now: noon })

  await beginRequest(at('first'), undefined, ['clamav'], dates)
  await change('first', 'root', { add: ['alice', 'bob', 'carol'], threshold: 2 })
  for (const role of ['targets', 'clamav', 'snapshot', 'timestamp']) await change('first', role, { add: [role] })
  return { at, repository, begin, change, sign, put, prepare, finish }
}

async function published() {
  const it = await places()
  await it.sign('first', 'alice', 'carol', 'targets', 'clamav')
  await it.put('first')
  return { ...it, reader: new DiskReader(it.repository), served: () => readTree(join(it.repository, 'repository')) }
}

describe('a new repository', () => {
  test('of keys that were never on the origin: nodes take it, and no secret of theirs is on its disk', async () => {
    const { repository, reader, at } = await published()
    expect(reader.releases(noon)).toEqual([])
    const disk = Object.values(await readTree(repository)).join('\n')
    for (const name of ['alice', 'bob', 'carol', 'targets', 'clamav']) {
      const { private: secret } = JSON.parse(await readFile(at(`${name}.json`), 'utf8'))
      expect(secret).toMatch(/^[0-9a-f]{64}$/)
      expect(disk).not.toContain(secret)
    }
  })

  test.each([
    ['one owner of the root of two', ['alice', 'targets', 'clamav']],
    ['one owner twice', ['alice', 'alice', 'targets', 'clamav']],
    ['nobody for the channel', ['alice', 'bob', 'targets']],
    ['nobody for the list of channels', ['alice', 'bob', 'clamav']],
  ])('27: signed by %s: signatures_missing, and no repository is made', async (_, owners) => {
    const { sign, put, repository } = await places()
    await sign('first', ...owners)
    await expect(put('first')).rejects.toMatchObject({ code: 'signatures_missing' })
    expect(await readdir(join(repository, 'repository/metadata'))).toEqual([])
    expect(await readdir(repository)).not.toContain('root.json')
  })

  test('over one that is there: repository_exists', async () => {
    const { put, served } = await published()
    const before = await served()
    await expect(put('first')).rejects.toMatchObject({ code: 'repository_exists' })
    expect(await served()).toEqual(before)
  })
})

describe('a release', () => {
  test('prepared, signed elsewhere and finished is what nodes see; nothing of it is left over', async () => {
    const { prepare, sign, finish, reader, repository } = await published()
    await prepare('daily')
    expect(reader.releases(noon)).toEqual([])
    await sign('daily', 'clamav')
    expect(await finish('daily')).toMatchObject({ roles: ['clamav'], releases: [{ sequence: 1 }] })
    expect(reader.wholeReleases(noon)).toEqual([1])
    expect(await readdir(join(repository, 'prepared'))).toEqual([])
  })

  test('finished again after a kill at any point in between is the same release', async () => {
    const { prepare, sign, finish, reader, repository } = await published()
    const made = await prepare('daily')
    await sign('daily', 'clamav')
    // As a kill leaves it that came after the pack was moved.
    const { sha256 } = made.full
    await mkdir(join(repository, 'repository/targets/clamav'), { recursive: true })
    const target = join(repository, `repository/targets/clamav/${sha256}.1.full.pack`)
    await writeFile(target, await readFile(join(repository, `prepared/${sha256}.pack`)))
    await rm(join(repository, `prepared/${sha256}.pack`))
    await finish('daily')
    expect(reader.wholeReleases(noon)).toEqual([1])
  })

  test.each<[string, string, (it: Awaited<ReturnType<typeof published>>) => Promise<unknown>]>([
    ['nobody has signed', 'signatures_missing', async () => {}],
    [
      'its signature is of something else',
      'signatures_missing',
      async ({ at, sign }) => {
        await sign('daily', 'clamav')
        const text = await readFile(at('daily'), 'utf8')
        await writeFile(at('daily'), text.replace(/"expires": "2027-02-20T/g, '"expires": "2027-02-21T'))
      },
    ],
    [
      'another one was published meanwhile',
      'request_unusable',
      async ({ prepare, sign, finish }) => {
        await sign('daily', 'clamav')
        await prepare('faster')
        await sign('faster', 'clamav')
        await finish('faster')
      },
    ],
    [
      'its pack is gone',
      'source_unreadable',
      async ({ repository, sign }) => {
        await sign('daily', 'clamav')
        await rm(join(repository, 'prepared'), { recursive: true })
      },
    ],
    [
      'its pack is another one by now',
      'source_unreadable',
      async ({ repository, sign }) => {
        await sign('daily', 'clamav')
        const [pack] = (await readdir(join(repository, 'prepared'))).filter(name => name.endsWith('.pack'))
        await writeFile(join(repository, 'prepared', pack!), 'evil')
      },
    ],
    [
      'its torrent is another one by now',
      'source_unreadable',
      async ({ repository, sign }) => {
        await sign('daily', 'clamav')
        const [torrent] = (await readdir(join(repository, 'prepared'))).filter(name => name.endsWith('.torrent'))
        await writeFile(join(repository, 'prepared', torrent!), 'd4:evile')
      },
    ],
    [
      'the online keys are gone',
      'key_unusable',
      async ({ repository, sign }) => {
        await sign('daily', 'clamav')
        await rm(join(repository, 'keys/online/snapshot.json'))
      },
    ],
    ['the request is cut', 'request_unusable', async ({ at }) => writeFile(at('daily'), '{"format":')],
    ['the request is another file', 'request_unusable', async ({ at }) => writeFile(at('daily'), '{"format":"x"}')],
    ['the request is gone', 'request_unusable', async ({ at }) => rm(at('daily'))],
  ])('is not published when %s: %s', async (_, code, spoil) => {
    const it = await published()
    await it.prepare('daily')
    await spoil(it)
    const before = await it.served()
    await expect(it.finish('daily')).rejects.toMatchObject({ code })
    expect(await it.served()).toEqual(before)
  })

  test('27: whose keys count says the repository, not the request: a stranger who lists himself in it is signatures_missing', async () => {
    const { prepare, begin, change, sign, finish, at, served } = await published()
    await prepare('daily')
    await begin('next')
    await change('next', 'clamav', { add: ['dave'] })
    const [daily, next] = await Promise.all(
      ['daily', 'next'].map(async name => JSON.parse(await readFile(at(name), 'utf8'))),
    )
    await writeFile(
      at('daily'),
      JSON.stringify({ ...daily, published: { ...daily.published, targets: next.next.targets } }),
    )
    await sign('daily', 'dave')
    const before = await served()
    await expect(finish('daily')).rejects.toMatchObject({ code: 'signatures_missing' })
    expect(await served()).toEqual(before)
  })

  test('is asked for once: a request that is half signed is not overwritten', async () => {
    const { prepare, at } = await published()
    await prepare('daily')
    const before = await readFile(at('daily'))
    await expect(prepare('daily')).rejects.toMatchObject({ code: 'request_unusable' })
    expect(await readFile(at('daily'))).toEqual(before)
  })

  test('needs no passphrase of keys that have no vote on it, and says which key is under one that was not given', async () => {
    const { repository, at, begin, change, sign, put, reader } = await published()
    await generateKey(join(repository, 'keys/unrelated.json'), 'a passphrase')
    await generateKey(join(repository, 'keys/clamav-3.json'), 'a passphrase')
    await writeFile(at('clamav-3.json.pub'), await readFile(join(repository, 'keys/clamav-3.json.pub')))
    await begin('next')
    await change('next', 'clamav', { add: ['clamav-3'] })
    await sign('next', 'targets')
    await put('next')
    const asked: string[] = []
    const ask = async (file: string) => {
      asked.push(file)
      return 'a passphrase'
    }
    await expect(publish(repository, 'clamav', at('signatures'), dates)).rejects.toMatchObject({ code: 'key_unusable' })
    await publish(repository, 'clamav', at('signatures'), { ...dates, ask })
    expect(asked).toEqual([join(repository, 'keys/clamav-3.json')])
    expect(reader.wholeReleases(noon)).toEqual([1])
    const wrong = async () => 'another one'
    await writeTree(at('signatures'), { 'a.ndb': 'two' })
    const tried = publish(repository, 'clamav', at('signatures'), { ...dates, ask: wrong })
    await expect(tried).rejects.toMatchObject({ code: 'key_locked' })
  })
})

describe('every key can be replaced, nodes follow, and the old one is worth nothing', () => {
  test.each<[role: string, old: string, fresh: string, signers: string[]]>([
    ['root', 'carol', 'dave', ['alice', 'bob']],
    ['targets', 'targets', 'targets-2', ['alice', 'bob', 'targets-2']],
    ['clamav', 'clamav', 'clamav-2', ['targets', 'clamav-2']],
    ['snapshot', 'snapshot', 'snapshot-2', ['alice', 'bob']],
    ['timestamp', 'timestamp', 'timestamp-2', ['alice', 'bob']],
  ])('27: %s', async (role, old, fresh, signers) => {
    const it = await published()
    it.reader.releases(noon)
    await it.begin('next')
    await it.change('next', role, { add: [fresh] })
    await it.change('next', role, { remove: [old] })
    const online = ['snapshot', 'timestamp'].includes(role)
    if (online)
      await writeFile(join(it.repository, `keys/${fresh}.json`), await readFile(it.at(`${fresh}.json`)), {
        mode: 0o600,
      })
    for (const missing of signers) {
      await expect(it.put('next')).rejects.toMatchObject({ code: 'signatures_missing' })
      await it.sign('next', missing)
    }
    await it.put('next')
    await it.prepare('daily')
    await it.sign('daily', role === 'clamav' ? fresh : 'clamav')
    await it.finish('daily')
    expect(it.reader.wholeReleases(noon)).toEqual([1])

    await it.begin('again', ['root', 'targets', 'clamav'])
    if (online) {
      await rm(join(it.repository, `keys/${fresh}.json`))
      await it.sign('again', 'alice', 'bob', 'targets', 'clamav')
      await expect(it.put('again')).rejects.toMatchObject({ code: 'key_unusable' })
    } else {
      await expect(it.sign('again', old)).rejects.toMatchObject({ code: 'key_unusable' })
    }
  })

  test('a publish that was killed between the new root and the timestamp is gone on with', async () => {
    const { begin, change, sign, put, at, repository, reader } = await published()
    await begin('next')
    await change('next', 'timestamp', { add: ['timestamp-2'] })
    await change('next', 'timestamp', { remove: ['timestamp'] })
    await sign('next', 'alice', 'bob')
    await writeFile(join(repository, 'keys/timestamp-2.json'), await readFile(at('timestamp-2.json')), { mode: 0o600 })
    const timestamp = join(repository, 'repository/metadata/timestamp.json')
    const before = await readFile(timestamp)
    await put('next')
    await writeFile(timestamp, before)
    expect(() => reader.releases(noon)).toThrow(expect.objectContaining({ code: 'metadata_unsigned' }))
    await put('next')
    expect(reader.releases(noon)).toEqual([])
  })

  test('a channel is made by listing a key for it', async () => {
    const { begin, change, sign, put, repository } = await published()
    await begin('next')
    await change('next', 'yara', { add: ['clamav-2'] })
    await sign('next', 'targets', 'clamav-2')
    await put('next')
    expect(new DiskReader(repository).releases(noon, 'yara')).toEqual([])
  })
})

describe('what cannot be is not even asked for', () => {
  test.each<[string, string, string, KeyFilesChange]>([
    ['more votes than keys', 'request_unusable', 'root', { threshold: 4 }],
    ['no key left', 'request_unusable', 'clamav', { remove: ['clamav'] }],
    ['a key that the role does not have', 'request_unusable', 'clamav', { remove: ['targets'] }],
    ['a channel that cannot be called so', 'request_unusable', '../evil', { add: ['dave'] }],
    ['a key that is none', 'key_unusable', 'root', { add: ['nobody'] }],
  ])('%s: %s, and the request stays as it was', async (_, code, role, wanted) => {
    const { begin, change, at } = await published()
    await begin('next')
    const before = await readFile(at('next'))
    await expect(change('next', role, wanted)).rejects.toMatchObject({ code })
    expect(await readFile(at('next'))).toEqual(before)
  })

  test('23: a public key of small order: metadata_malformed or key_unusable, and it is listed nowhere', async () => {
    const { begin, change, at } = await published()
    const weak = { keytype: 'ed25519', scheme: 'ed25519', keyval: { public: `01${'00'.repeat(31)}` } }
    await writeFile(at('weak.json.pub'), JSON.stringify(weak))
    await begin('next')
    await expect(change('next', 'clamav', { add: ['weak'] })).rejects.toMatchObject({ code: 'key_unusable' })
  })

  test('copies that do not ask for the same are not put together', async () => {
    const { begin, change, put } = await published()
    await begin('one', ['root'])
    await begin('two', ['root'])
    await change('two', 'root', { add: ['dave'] })
    await expect(put('one', 'two')).rejects.toMatchObject({ code: 'request_unusable' })
  })

  test('a copy in which the signature of another owner was spoiled does not undo it, in whatever order they come', async () => {
    for (const order of [
      ['one', 'two'],
      ['two', 'one'],
    ]) {
      const { begin, sign, put, at } = await published()
      await begin('one', ['root'])
      await sign('one', 'alice', 'bob')
      const spoiled = (await readFile(at('one'), 'utf8')).replaceAll(/"sig": "../g, found => `${found.slice(0, -2)}00`)
      await writeFile(at('two'), spoiled)
      expect((await put(...order)).roles).toEqual(['root'])
    }
  })

  test('a change after a signature takes the signature away: it was for something else', async () => {
    const { begin, change, sign, put } = await published()
    await begin('next', ['root'])
    await sign('next', 'alice', 'bob')
    await change('next', 'root', { add: ['dave'] })
    await expect(put('next')).rejects.toMatchObject({ code: 'signatures_missing' })
  })
})

describe('who signs reads', () => {
  const words = async (file: string) => describeRequest(readRequest(await readFile(file), file)).join('\n')

  test('what comes and goes: releases with their hashes, keys with their ids, thresholds', async () => {
    const { prepare, sign, finish, begin, change, at } = await published()
    const made = await prepare('daily')
    expect(await words(at('daily'))).toMatch(
      new RegExp(
        `CHANNEL clamav .* version 2 \\(before: 1\\).*\\n {2}\\+ release 1 .*sha256 ${made.full.sha256}\\n[^]*still needed: 1`,
      ),
    )
    await sign('daily', 'clamav')
    await finish('daily')
    await begin('next')
    await change('next', 'root', { add: ['dave'], threshold: 3 })
    const { public: dave } = await readKey(at('dave.json'))
    const text = await words(at('next'))
    expect(text).toContain('ROOT OF TRUST')
    expect(text).toContain('root: any 3 of 4 keys (before: 2 of 3)')
    expect(text).toContain(`+ key ${dave.id}`)
    expect(text).toContain('targets: any 1 of 1 keys (before: 1 of 1)')
  })

  test('a request that claims that the key of a thief was in force all along: the key is shown all the same', async () => {
    const { begin, change, at } = await published()
    await begin('next', ['root', 'targets'])
    await change('next', 'timestamp', { add: ['timestamp-2'] })
    await change('next', 'yara', { add: ['dave'] })
    const json = JSON.parse(await readFile(at('next'), 'utf8'))
    json.next.root.signed.roles.mirrors = { keyids: [], threshold: 1 }
    await writeFile(at('trick'), JSON.stringify({ ...json, published: json.next }))
    const text = await words(at('trick'))
    const keyOf = async (name: string) => (await readKey(at(`${name}.json`))).public.id
    for (const name of ['timestamp-2', 'dave', 'alice', 'bob', 'carol'])
      expect(text).toContain(`key ${await keyOf(name)}`)
    expect(text).toContain('are what the request itself claims')
    expect(text).toContain('! a role that this program does not know: mirrors')
  })

  test('what a request says, not what its label says: a list of channels that is passed off as a manifest shows its keys', async () => {
    const { begin, change, at } = await published()
    await begin('next')
    await change('next', 'yara', { add: ['dave'] })
    const json = JSON.parse(await readFile(at('next'), 'utf8'))
    const trick = { ...json, next: { clamav: json.next.targets } }
    await writeFile(at('trick'), JSON.stringify(trick))
    expect(await words(at('trick'))).toContain('channel yara: any 1 of 1 keys')
  })

  test('nothing is signed by who does not agree, and no passphrase is asked for before', async () => {
    const { prepare, at } = await published()
    await prepare('daily')
    const before = await readFile(at('daily'))
    const parts = { confirm: async () => false, ask: nobody }
    expect(await signOnDisk(at('daily'), at('clamav.json'), parts)).toBeUndefined()
    expect(await readFile(at('daily'))).toEqual(before)
  })
})

test('with the online keys alone, what they sign lives on, and the rest is told', async () => {
  const { repository, reader } = await published()
  const keys = join(repository, 'keys/online')
  expect((await refreshMetadata(repository, noon + 60 * day, { keys })).keysMissing).toEqual(['clamav', 'targets'])
  expect(reader.releases(noon + 60 * day)).toEqual([])
})
