import { existsSync } from 'node:fs'
import { link, mkdir, open, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { constants, createZstdCompress, zstdCompressSync } from 'node:zlib'
import { beforeAll, describe, expect, test } from 'vitest'
import { sha256 } from '../../src/core/digest.ts'
import { SigmeshError } from '../../src/core/errors.ts'
import { packHeaderBytes, packLimitFiles } from '../../src/core/pack-format.ts'
import { GiB, MiB } from '../../src/core/units.ts'
import { markVerified } from '../../src/core/verified.ts'
import { unpack } from '../../src/install/unpack.ts'
import { packSource } from '../../src/publish/pack.ts'
import { randomBytes } from '../support/artifact.ts'
import { type Entry, entry, packOf, type ReleaseFixture, releaseOf, signedPack } from '../support/release.ts'
import { readTree, scratchDir, writeTree } from '../support/scratch.ts'

const limits = { files: packLimitFiles, bytes: 4 * GiB }

async function unpackInto(directory: string, { release, content }: ReleaseFixture, signal?: AbortSignal) {
  await using artifact = await content()
  return await unpack(artifact, release, directory, limits, signal)
}

/** Unpack inside a directory that holds other things, and look at all of it afterwards. */
async function refusal(fixture: ReleaseFixture) {
  const around = await writeTree(await scratchDir(), { neighbour: 'untouched', 'dir/x': 'y' })
  const before = await readTree(around)
  const error = await unpackInto(join(around, 'new'), fixture).catch(caught => caught)
  expect(await readTree(around)).toEqual(before)
  return error
}

test('what the packer packs comes back byte for byte, with modes that do not depend on the umask', async () => {
  const tree = {
    'a.ndb': 'sig',
    empty: '',
    'b/c/deep.yar': 'rule',
    big: Buffer.concat([randomBytes(3 * MiB, 1), Buffer.alloc(MiB)]),
  }
  const source = await writeTree(await scratchDir(), tree)
  const target = join(await scratchDir(), 'release.pack')
  const packed = await packSource(source, target)
  const { release } = releaseOf({ x: '' }, 7)
  const signed = markVerified({ ...release, ...packed, full: { ...release.full, ...packed.artifact } })
  await using handle = await open(target)
  const content = { artifact: signed.full, handle, close: async () => {}, [Symbol.asyncDispose]: async () => {} }
  const directory = join(await scratchDir(), 'new')
  const umask = process.umask(0o077)
  try {
    await unpack(markVerified(content), signed, directory, limits)
  } finally {
    process.umask(umask)
  }
  const installed = await readTree(directory)
  expect(installed['a.ndb']).toBe('644 sig')
  expect(installed['b/']).toBe('755')
  expect(installed['b/c/deep.yar']).toBe('644 rule')
  expect(installed.empty).toBe('644 ')
  expect(installed.big).toBe(`644 ${tree.big.toString('latin1')}`)
})

test('an executable stays one, and nothing else of a mode gets through', async () => {
  const directory = join(await scratchDir(), 'new')
  await unpackInto(directory, signedPack([entry('run.sh', '#!', { mode: 0o755 })]))
  expect(await readTree(directory)).toEqual({ 'run.sh': '755 #!' })
})

test.each<[string, string, Entry[]]>([
  ['traversal', 'pack_path', [entry('../evil')]],
  ['traversal in the middle', 'pack_path', [entry('a/../../evil')]],
  ['an absolute path', 'pack_path', [entry('/tmp/sigmesh-evil')]],
  ['a reserved name', 'pack_path', [entry('aux.ndb')]],
  ['a file that is the directory of another', 'pack_path', [entry('a'), entry('a/b')]],
  ['case twins', 'pack_path', [entry('A.ndb'), entry('a.ndb')]],
  ['a decomposed name', 'pack_path', [entry('a\u0308')]],
  ['a name of 4,096 bytes', 'pack_malformed', [entry('x'.repeat(4096))]],
  ['a setuid mode', 'pack_malformed', [entry('a', 'a', { mode: 0o4755 })]],
  ['a device', 'pack_malformed', [entry('a', 'a', { mode: 0o20644 })]],
  ['no file', 'pack_malformed', []],
  ['files out of order', 'pack_malformed', [entry('b'), entry('a')]],
  ['the same file twice', 'pack_path', [entry('a'), entry('a')]],
  ['a length below the truth', 'pack_malformed', [entry('a', 'long content', { length: 4 })]],
  ['a length above the truth', 'pack_malformed', [entry('a', 'short', { length: 40 })]],
  ['a length of nothing', 'pack_malformed', [entry('a', 'short', { length: 0 })]],
  ['a length beyond the limit', 'pack_limit', [entry('a', 'short', { length: 4 * GiB + 1 })]],
  ['lengths that only together are beyond the limit', 'pack_limit', [entry('a', 'a', { length: 4 * GiB }), entry('b')]],
  ['a frame longer than said', 'pack_malformed', [entry('a', 'a', { frame: 5 })]],
  ['a frame that is no zstd', 'pack_malformed', [entry('a', 'a', { bytes: Buffer.from('not zstd at all') })]],
  ['a frame with something behind it', 'pack_malformed', [entry('a', 'a', { bytes: withTail(Buffer.from('a')) })]],
  [
    'a large frame with something behind it',
    'pack_malformed',
    [entry('a', mebibytes(3), { bytes: withTail(mebibytes(3)) })],
  ],
  [
    'a frame that is cut',
    'pack_malformed',
    [entry('a', mebibytes(3), { bytes: zstdCompressSync(mebibytes(3)).subarray(0, -3) })],
  ],
  ['another hash', 'content_mismatch', [entry('a', 'a', { sha256: sha256(Buffer.from('b')) })]],
  [
    'another hash in a large file',
    'content_mismatch',
    [entry('a', mebibytes(3), { sha256: sha256(Buffer.from('b')) })],
  ],
  [
    'one bad file after good ones',
    'content_mismatch',
    [entry('a/b/c'), entry('d'), entry('e', 'e', { sha256: sha256(Buffer.from('b')) })],
  ],
])('a rightly signed pack with %s: %s, and nothing is left', async (_, code, entries) => {
  expect(await refusal(signedPack(entries))).toMatchObject({ code })
})

describe('a bomb', () => {
  let bomb: Uint8Array
  beforeAll(() => {
    bomb = zstdCompressSync(Buffer.alloc(GiB), { params: { [constants.ZSTD_c_compressionLevel]: 1 } })
  })

  test.each([[10], [MiB], [10 * MiB]])(
    'of 1 GiB that says %i bytes is stopped there, in bounded memory',
    async length => {
      const before = process.memoryUsage.rss()
      expect(await refusal(signedPack([entry('a', '', { length, bytes: bomb })]))).toMatchObject({
        code: 'pack_malformed',
      })
      expect(process.memoryUsage.rss() - before).toBeLessThan(64 * MiB)
    },
  )
})

test('a pack cut at any byte of its head, and in its frames, is refused', async () => {
  const entries = [entry('a.ndb', 'some content'), entry('b/c', 'more')]
  const { pack, index } = packOf(entries)
  const head = packHeaderBytes + index.length
  for (const length of [...Array(head + 1).keys(), head + 5, pack.length - 1].filter(at => at > 0)) {
    const error = await refusal(signedPack(entries, {}, pack.subarray(0, length)))
    expect([length, error.code]).toEqual([length, 'pack_malformed'])
  }
})

test.each([2000, 3 * MiB])('a frame of %i bytes that asks for 128 MiB of memory is refused', async length => {
  const bytes = await wideWindow(randomBytes(length, 4))
  expect(await refusal(signedPack([entry('a', randomBytes(length, 4), { bytes })]))).toMatchObject({
    code: 'pack_malformed',
  })
})

test('an index that says it is 1 GB long is refused unread', async () => {
  const { pack } = packOf([entry('a')])
  pack.writeUInt32BE(1e9, 8)
  expect(await refusal(signedPack([entry('a')], {}, pack))).toMatchObject({ code: 'pack_limit' })
})

test.each([
  ['content', { content: sha256(Buffer.from('other')) }],
  ['number of files', { files: 3 }],
  ['number of bytes', { unpacked: 1 }],
])('another %s than the release signs: content_mismatch', async (_, about) => {
  expect(await refusal(signedPack([entry('a', 'aa'), entry('b')], about))).toMatchObject({ code: 'content_mismatch' })
})

test('an artifact that was changed on the disk after its hash was taken never gets through', async () => {
  const { release } = releaseOf({ 'a.ndb': randomBytes(5000, 1) })
  const original = packOf([entry('a.ndb', randomBytes(5000, 1))]).pack
  for (let at = 0; at < original.length; at += 97) {
    const changed = Buffer.from(original)
    changed[at]! ^= 0x10
    const path = join(await scratchDir(), 'pack')
    await writeFile(path, changed)
    await using handle = await open(path)
    const content = { artifact: release.full, handle, close: async () => {}, [Symbol.asyncDispose]: async () => {} }
    const error = await unpack(markVerified(content), release, join(await scratchDir(), 'new'), limits).catch(
      caught => caught,
    )
    expect(error).toBeInstanceOf(SigmeshError)
    expect(error.code).toMatch(/^(pack|content)_/)
  }
})

test.each<[string, (place: string, elsewhere: string) => Promise<unknown>]>([
  ['a link to a directory', (place, elsewhere) => symlink(elsewhere, place)],
  ['a dangling link', (place, elsewhere) => symlink(join(elsewhere, 'nothing'), place)],
  ['a directory', place => mkdir(place)],
  ['a file', (place, elsewhere) => link(join(elsewhere, 'file'), place)],
])('%s waits where the tree should go: nothing is written through it, nothing removed', async (_, trap) => {
  const elsewhere = await writeTree(await scratchDir(), { file: 'precious' })
  const around = await scratchDir()
  await trap(join(around, 'new'), elsewhere)
  const before = [await readTree(around), await readTree(elsewhere)]
  const error = await unpackInto(join(around, 'new'), releaseOf({ file: 'evil' })).catch(caught => caught)
  expect(error).toMatchObject({ code: 'disk_failed' })
  expect([await readTree(around), await readTree(elsewhere)]).toEqual(before)
})

test('an abort removes what was unpacked and rejects with its reason', async () => {
  const around = await scratchDir()
  const abort = new AbortController()
  const reason = new Error('the daemon stops')
  const fixture = releaseOf({ a: randomBytes(20 * MiB, 1), b: randomBytes(20 * MiB, 2) })
  const unpacking = unpackInto(join(around, 'new'), fixture, abort.signal).catch(caught => caught)
  await appears(join(around, 'new/a'))
  abort.abort(reason)
  expect(await unpacking).toBe(reason)
  expect(await readTree(around)).toEqual({})
})

test('the disk goes away in the middle: disk_failed, with the name of the file', async () => {
  const around = await scratchDir()
  const fixture = releaseOf({ a: randomBytes(20 * MiB, 1), 'dir/b': 'b' })
  const unpacking = unpackInto(join(around, 'new'), fixture).catch(caught => caught)
  await appears(join(around, 'new/a'))
  await rm(join(around, 'new'), { recursive: true })
  expect(await unpacking).toMatchObject({ code: 'disk_failed', message: expect.stringContaining(around) })
})

async function appears(path: string): Promise<void> {
  while (!existsSync(path)) await setImmediate()
}

function mebibytes(count: number): Buffer {
  return randomBytes(count * MiB, count)
}

function withTail(content: Buffer): Buffer {
  return Buffer.concat([zstdCompressSync(content), Buffer.from('tail')])
}

/** Compressed without knowing how much will come, as only then zstd keeps to the window it is told. */
async function wideWindow(content: Buffer): Promise<Buffer> {
  const zstd = createZstdCompress({ params: { [constants.ZSTD_c_windowLog]: 27 } })
  zstd.write(content.subarray(0, 1000))
  zstd.flush(() => zstd.end(content.subarray(1000)))
  return Buffer.concat(await zstd.toArray())
}
