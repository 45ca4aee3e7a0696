/**
 * Packs that are rightly signed, and evil: of a stolen key, or a publisher's mistake. They go through the whole installer, over a release
 * that is in force; every inode around is looked at before and after.
 */
import { existsSync } from 'node:fs'
import { mkdir, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createZstdDecompress } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { sha256 } from '../../src/core/digest.ts'
import { packHeaderBytes, packLimitFiles, packMagic } from '../../src/core/pack-format.ts'
import { GiB, KiB, MiB } from '../../src/core/units.ts'
import { inodes } from '../support/inodes.ts'
import { bench, expected, inForce } from '../support/install-bench.ts'
import { type Entry, entry, packOf, type ReleaseFixture, releaseOf, signedPack } from '../support/release.ts'
import { scratchDir, writeTree } from '../support/scratch.ts'

const good = { 'daily.ndb': 'good', 'rules/a.yar': 'a' }

/** Release 1 is in force, with neighbours on all sides. */
async function victim() {
  const home = await scratchDir()
  const around = join(home, 'a/b')
  await writeTree(around, { 'precious/daily.ndb': 'x', evil: 'here before', '../evil': 'x', '../../evil': 'x' })
  const path = join(around, 'clamav')
  const it = await bench({ path })
  await it.install(releaseOf(good, 1))
  const ours = join(path, '.sigmesh')
  /** All but what is the installer's own to write: its record, and what it unpacks. */
  const outside = async () =>
    Object.fromEntries(
      Object.entries(await inodes(home)).filter(([name]) => name !== ours && !name.startsWith(`${ours}/`)),
    )
  return { it, path, outside, ours, home }
}

async function expectRefusal(fixture: ReleaseFixture, code: string): Promise<void> {
  const { it, path, outside, ours } = await victim()
  const before = await outside()
  await expect(it.install(fixture)).rejects.toMatchObject({ code })
  expect(await outside()).toEqual(before)
  expect(Object.keys(await inodes(ours)).filter(name => /staging|\.tmp$/.test(name))).toEqual([])
  expect(await inForce(path)).toEqual(expected(good))
  expect(await it.installer.installed()).toMatchObject({ sequence: 1 })
}

const evil = (entries: readonly Entry[], pack?: Buffer) => signedPack(entries, { sequence: 2 }, pack)

describe('a path', () => {
  test.each<[string, string[]]>([
    ...[1, 2, 3, 4, 5].map(up => [`${up} directories up`, [`${'../'.repeat(up)}evil`]] as [string, string[]]),
    ['up from below', ['precious/../../evil']],
    ['absolute', ['/tmp/sigmesh-evil']],
    ['absolute, with more slashes', ['//tmp/sigmesh-evil']],
    ['with an empty name', ['a//b']],
    ['to the place itself', ['.']],
    ['of a backslash', ['..\\evil']],
    ['of a drive', ['C:evil']],
    ['of a stream', ['daily.ndb:evil']],
    ['with a NUL', ['daily\0.ndb']],
    ['with a line end', ['daily\n.ndb']],
    ['that reads from right to left', ['daily\u202e.ndb']],
    ['reserved for a device', ['nul']],
    ['reserved for a device, below', ['rules/COM1.yar']],
    ['reserved in other digits', ['LPT²']],
    ['that ends in a dot', ['daily.']],
    ['that ends in a space', ['rules /a']],
    ['that is another file’s directory', ['a', 'a/b']],
    ['that is another file’s directory for some systems', ['A', 'a/b']],
    ['with a twin by case', ['DAILY.ndb', 'daily.ndb']],
    ['with a twin by case in its directory', ['RULES/b', 'rules/a']],
    ['decomposed', ['u\u0308']],
    ['with a twin by compatibility', ['straSSe', 'straße']],
    ['with a Kelvin sign', ['k', '\u212a']],
    ['twice', ['a', 'a']],
    ['of more than 1,024 bytes', [Array(5).fill('ü'.repeat(120)).join('/')]],
    ['with a name of 256 bytes', ['x'.repeat(256)]],
    ['33 directories deep', [`${'d/'.repeat(33)}x`]],
  ])('%s', async (_, paths) => {
    const fixture = evil(paths.map(path => entry(path)))
    // What JSON would have to escape is no index, before it is a path.
    const unwritable = paths.some(path => JSON.stringify(path) !== `"${path}"`)
    await expectRefusal(fixture, unwritable ? 'pack_malformed' : 'pack_path')
    expect(existsSync('/tmp/sigmesh-evil')).toBe(false)
  })

  test('of 4,096 bytes', () => expectRefusal(evil([entry('x'.repeat(4096))]), 'pack_malformed'))
})

test.each([0o4755, 0o2755, 0o1644, 0o777, 0o20644, 0o120777, 0o40755, 0, -420])('mode %i', mode =>
  expectRefusal(evil([entry('a', 'a', { mode })]), 'pack_malformed'),
)

describe('a frame that unpacks to 10 GB', () => {
  const bomb = zeros(10 * GiB)

  test('is one', async () => {
    let bytes = 0
    const zstd = createZstdDecompress({ chunkSize: MiB })
    zstd.end(zeros(64 * MiB))
    for await (const chunk of zstd as AsyncIterable<Buffer>) bytes += chunk.length
    expect(bytes).toBe(64 * MiB)
    expect(bomb.length).toBeLessThan(MiB)
  })

  test.each<[string, number, string]>([
    ['and says so', 10 * GiB, 'pack_limit'],
    ['and says 200 MiB', 200 * MiB, 'pack_malformed'],
    ['and says 1 byte', 1, 'pack_malformed'],
    ['and says nothing', 0, 'pack_malformed'],
  ])('%s: in bounded memory', async (_, length, code) => {
    const before = process.memoryUsage.rss()
    await expectRefusal(evil([entry('a', '', { length, bytes: bomb })]), code)
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * MiB)
  })

  test('in many small ones', async () => {
    const part = zeros(10 * MiB)
    const digest = sha256(Buffer.alloc(10 * MiB))
    const entries = Array.from({ length: 1024 }, (_, at) =>
      entry(`f${String(at).padStart(4, '0')}`, '', { length: 10 * MiB, bytes: part, sha256: digest }),
    )
    await expectRefusal(evil(entries), 'pack_limit')
  })
})

describe('a great many entries', () => {
  const packWith = (count: number) => {
    const { frame, bytes, ...file } = entry('x', '')
    const lines = Array.from(
      { length: count },
      (_, at) => `{"path":"f${at + 1_000_000}","mode":420,"length":0,"sha256":"${file.sha256}","frame":${frame}}`,
    )
    const index = Buffer.from(`{"files":[${lines.join(',')}]}`)
    const header = Buffer.alloc(packHeaderBytes)
    packMagic.copy(header)
    header.writeUInt32BE(index.length, packMagic.length)
    return Buffer.concat([header, index, Buffer.alloc(count * frame, bytes)])
  }

  test.each([1_000_000, packLimitFiles + 1])(
    '%i of them, in bounded memory',
    async count => {
      const fixture = evil([entry('a')], packWith(count))
      const before = process.memoryUsage.rss()
      await expectRefusal(fixture, 'pack_limit')
      expect(process.memoryUsage.rss() - before).toBeLessThan(384 * MiB)
    },
    60_000,
  )
})

describe('an index', () => {
  const [one] = [entry('a')]
  const line = packOf([one]).index.toString()
  const withIndex = (index: string | Buffer, length = Buffer.byteLength(index)) => {
    const header = Buffer.alloc(packHeaderBytes)
    packMagic.copy(header)
    header.writeUInt32BE(length, packMagic.length)
    return evil([one], Buffer.concat([header, Buffer.from(index), one.bytes]))
  }

  test.each<[string, string | Buffer]>([
    ['that is no JSON', 'hello'],
    ['that is empty', ''],
    ['of another shape', '[]'],
    ['of depth', '['.repeat(100_000)],
    ['with white space', line.replace(',', ', ')],
    ['with a key twice', line.replace('{"path":"a"', '{"path":"a","path":"../evil"')],
    ['with a key too many', line.replace('{"path"', '{"link":"/etc","path"')],
    ['with an escape', line.replace('"a"', '"\\u002e\\u002e/evil"')],
    ['with a prototype', line.replace('{"path"', '{"__proto__":{},"path"')],
    ['with a length in other digits', line.replace('"length":1', '"length":1e0')],
    ['with a negative length', line.replace('"length":1', '"length":-1')],
    ['with a length beyond 2^53', line.replace('"length":1', '"length":9007199254740993')],
    ['with something behind', `${line}x`],
    ['that is no UTF-8', Buffer.from(line.replace('"a"', '"\xff"'), 'latin1')],
    ['with a byte order mark', `\ufeff${line}`],
  ])('%s', async (_, index) => expectRefusal(withIndex(index), 'pack_malformed'))

  test.each<[string, number, string]>([
    ['1 GB long', 1_000_000_000, 'pack_limit'],
    ['4 GiB long', 0xffff_ffff, 'pack_limit'],
    ['as long as the pack, and a byte', line.length + one.bytes.length + 1, 'pack_malformed'],
    ['a byte shorter than it is', line.length - 1, 'pack_malformed'],
    ['a byte longer than it is', line.length + 1, 'pack_malformed'],
  ])('that says it is %s', async (_, length, code) => {
    const before = process.memoryUsage.rss()
    await expectRefusal(withIndex(line, length), code)
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * MiB)
  })
})

test.each<[string, Partial<Entry>]>([
  ['a byte more than it has', { length: 8 }],
  ['a byte less', { length: 6 }],
  ['a frame that goes on into nothing', { frame: 5000 }],
  ['a frame of no bytes', { frame: 0 }],
])('a file with %s', (_, lie) => expectRefusal(evil([entry('a', 'content', lie)]), 'pack_malformed'))

test('two files that share a frame', async () => {
  const [a, b] = [entry('a', 'content'), entry('b', 'content')]
  const { pack } = packOf([a, b])
  await expectRefusal(evil([a, b], pack.subarray(0, -b.bytes.length)), 'pack_malformed')
})

test('cut anywhere', async () => {
  const entries = [entry('a.ndb', 'some content'), entry('b/c', 'more'), entry('d', 'x'.repeat(5000))]
  const { pack } = packOf(entries)
  const { it, path, outside } = await victim()
  const before = await outside()
  for (let length = 1; length < pack.length; length += 3) {
    const error = await it.install(evil(entries, pack.subarray(0, length))).catch(caught => caught)
    expect([length, error?.code]).toEqual([length, 'pack_malformed'])
  }
  expect(await outside()).toEqual(before)
  expect(await inForce(path)).toEqual(expected(good))
})

test.each<[string, (staging: string, elsewhere: string) => Promise<unknown>]>([
  ['as the directory itself', (staging, elsewhere) => symlink(elsewhere, staging)],
  [
    'in it',
    async (staging, elsewhere) => {
      await mkdir(staging)
      await symlink(elsewhere, join(staging, 'rules'))
      await symlink(join(elsewhere, 'daily.ndb'), join(staging, 'daily.ndb'))
    },
  ],
  ['dangling', (staging, elsewhere) => symlink(join(elsewhere, 'not-there'), staging)],
  [
    'as the control directory',
    async (staging, elsewhere) => {
      const control = dirname(staging)
      await mkdir(join(elsewhere, 'control'))
      await symlink(join(elsewhere, 'control'), `${control}.link`)
    },
  ],
])("an attacker's link waits where things are unpacked, %s: nothing goes through it", async (_, plant) => {
  const { it, path, ours } = await victim()
  const elsewhere = await writeTree(await scratchDir(), { 'daily.ndb': 'precious', 'a.yar': 'precious' })
  await plant(join(ours, 'staging'), elsewhere)
  const before = await inodes(elsewhere)
  await it.install(releaseOf({ 'daily.ndb': 'two', 'rules/a.yar': 'b' }, 2))
  expect(await inodes(elsewhere)).toEqual(before)
  expect(await inForce(path)).toEqual(expected({ 'daily.ndb': 'two', 'rules/a.yar': 'b' }))
})

test("an attacker's link in place of a directory of the installer: refused at the start", async () => {
  for (const name of ['.sigmesh', 'releases']) {
    const home = await scratchDir()
    const elsewhere = await writeTree(await scratchDir(), { 'staging/precious': 'x' })
    await mkdir(join(home, 'clamav'))
    await symlink(elsewhere, join(home, 'clamav', name))
    const before = await inodes(elsewhere)
    await expect(bench({ path: join(home, 'clamav') })).rejects.toMatchObject({ code: 'install_failed' })
    expect(await inodes(elsewhere)).toEqual(before)
  }
})

/**
 * A zstd frame (RFC 8878) of so many zeros, in blocks of 128 KiB that say "this byte, so often": 4 bytes each, without packing anything.
 */
function zeros(length: number): Buffer {
  const block = 128 * KiB
  const blocks = length / block
  // Magic, a descriptor that asks for a window of 128 KiB and no checksum, then the blocks; the last has its lowest bit set.
  const frame = Buffer.alloc(6 + blocks * 4)
  frame.writeUInt32LE(0xfd2fb528, 0)
  frame[4] = 0
  frame[5] = (17 - 10) << 3
  for (let at = 0; at < blocks; at++) {
    const runLength = 1
    frame.writeUIntLE((block << 3) | (runLength << 1) | (at === blocks - 1 ? 1 : 0), 6 + at * 4, 3)
  }
  return frame
}
