import { createHash } from 'node:crypto'
import {
  appendFileSync,
  closeSync,
  linkSync,
  openSync,
  renameSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { chmod, mkdir, open, readdir, readFile, symlink, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { canaryOf, canaryPath, decodeCanary, encodeCanary } from '../../src/core/canary.ts'
import { piecesRoot, sha256 } from '../../src/core/digest.ts'
import { decodeIndex, packHeaderBytes, readIndexLength } from '../../src/core/pack-format.ts'
import { MiB } from '../../src/core/units.ts'
import { type PackOptions, packSource } from '../../src/publish/pack.ts'
import { randomBytes } from '../support/artifact.ts'
import { scratchDir, writeTree } from '../support/scratch.ts'

async function pack(source: string, options?: PackOptions) {
  const target = join(await scratchDir(), 'release.pack')
  const release = await packSource(source, target, options)
  return { release, bytes: await readFile(target), target }
}

/** The files of a pack, read without the unpacker. */
function contentsOf(bytes: Buffer): Record<string, { mode: number; content: Buffer }> {
  const start = packHeaderBytes + readIndexLength(bytes.subarray(0, packHeaderBytes))
  const index = bytes.subarray(packHeaderBytes, start)
  const files = decodeIndex(index, bytes.length - start, { files: 1e6, bytes: 1e12 })
  const contents: Record<string, { mode: number; content: Buffer }> = {}
  let at = start
  for (const { path, mode, frame } of files) {
    contents[path] = { mode, content: zstdDecompressSync(bytes.subarray(at, at + frame)) }
    at += frame
  }
  return contents
}

describe('a canary', () => {
  const tree = { 'a.ndb': 'sig', 'z.ndb': 'more', 'y/large.hdb': randomBytes(3 * MiB, 1) }
  const canaryIn = (bytes: Buffer) => decodeCanary(contentsOf(bytes)[canaryPath]!.content)!

  test('stands in its place among the files, which are what they are without it', async () => {
    const source = await writeTree(await scratchDir(), tree)
    const plain = await pack(source)
    const { release, bytes } = await pack(source, { canary: true })
    const { [canaryPath]: canary, ...others } = contentsOf(bytes)
    expect(others).toEqual(contentsOf(plain.bytes))
    expect(Object.keys(contentsOf(bytes))).toEqual(['a.ndb', canaryPath, 'y/large.hdb', 'z.ndb'])
    expect(release).toMatchObject({ files: 4, unpacked: plain.release.unpacked + canary!.content.length })
    const { name, probe } = canaryIn(bytes)
    expect(canary!.content.toString()).toBe(`${sha256(probe)}:${probe.length}:${name}\n`)
  })

  test('is the same for the same content, and another for any other', async () => {
    const source = await writeTree(await scratchDir(), tree)
    const first = await pack(source, { canary: true })
    expect((await pack(source, { canary: true })).bytes.equals(first.bytes)).toBe(true)
    await chmod(join(source, 'a.ndb'), 0o755)
    expect(canaryIn((await pack(source, { canary: true })).bytes).name).not.toBe(canaryIn(first.bytes).name)
  })

  test('takes the place of one that the source has, as a release that is published again', async () => {
    const source = await writeTree(await scratchDir(), { ...tree, [canaryPath]: 'stale' })
    const fresh = await pack(await writeTree(await scratchDir(), tree), { canary: true })
    expect((await pack(source, { canary: true })).release.content).toBe(fresh.release.content)
    expect(contentsOf((await pack(source)).bytes)[canaryPath]!.content.toString()).toBe('stale')
  })

  test('alone is no release, and a twin of its name is refused', async () => {
    const alone = await writeTree(await scratchDir(), { [canaryPath]: 'x' })
    await expect(pack(alone, { canary: true })).rejects.toMatchObject({ code: 'source_unreadable' })
    const twin = await writeTree(await scratchDir(), { 'Sigmesh-Canary.hsb': 'x' })
    await expect(pack(twin, { canary: true })).rejects.toMatchObject({ code: 'pack_path' })
  })

  test.each([
    '',
    '\n',
    `${'0'.repeat(64)}:63:Sigmesh.Canary.${'0'.repeat(32)}\n`,
    `${encodeCanary(canaryOf([]))}x`,
    encodeCanary(canaryOf([])).toString().replace('Canary', 'canary'),
  ])('is read only as it was written, not from %j', text => {
    expect(decodeCanary(Buffer.from(text))).toBeUndefined()
    expect(decodeCanary(encodeCanary(canaryOf([])))).toEqual(canaryOf([]))
  })
})

test('a directory: every file in the order of the index, executable bit kept, other modes normalised', async () => {
  const source = await writeTree(await scratchDir(), { 'b/c.yar': 'rule', 'a.ndb': 'sig', 'b-x': '', 'b/.hidden': 'h' })
  await chmod(join(source, 'a.ndb'), 0o4700)
  await chmod(join(source, 'b/c.yar'), 0o666)
  const { release, bytes } = await pack(source)
  expect(contentsOf(bytes)).toEqual({
    'a.ndb': { mode: 0o755, content: Buffer.from('sig') },
    'b-x': { mode: 0o644, content: Buffer.alloc(0) },
    'b/.hidden': { mode: 0o644, content: Buffer.from('h') },
    'b/c.yar': { mode: 0o644, content: Buffer.from('rule') },
  })
  expect(Object.keys(contentsOf(bytes))).toEqual(['a.ndb', 'b-x', 'b/.hidden', 'b/c.yar'])
  expect(release).toMatchObject({ files: 4, unpacked: 8 })
})

test('a single file is packed under its own name', async () => {
  const source = await writeTree(await scratchDir(), { 'daily.ndb': 'sig' })
  const { bytes } = await pack(join(source, 'daily.ndb'))
  expect(Object.keys(contentsOf(bytes))).toEqual(['daily.ndb'])
})

test('same content, same bytes: other directory, other order on disk, other times, other owner bits', async () => {
  const big = Buffer.concat([randomBytes(MiB, 1), Buffer.alloc(2 * MiB, 'abc'), randomBytes(77, 2)])
  const tree = { 'x/1': 'one', big, 'x/2': 'two', exact: randomBytes(MiB, 3) }
  const one = await writeTree(await scratchDir(), tree)
  const two = await writeTree(await scratchDir(), Object.fromEntries(Object.entries(tree).reverse()))
  await utimes(join(two, 'big'), 1, 1)
  await chmod(join(two, 'big'), 0o600)
  const [a, b] = [await pack(one), await pack(two)]
  expect(a.bytes.equals(b.bytes)).toBe(true)
  expect(contentsOf(a.bytes).big?.content.equals(big)).toBe(true)
  expect(a.release).toEqual(b.release)
})

test.each([0, 1, MiB - 1, MiB, MiB + 1, 2 * MiB])('a file of %i bytes comes back', async length => {
  const content = randomBytes(length, length)
  const source = await writeTree(await scratchDir(), { file: content })
  const { bytes } = await pack(source)
  expect(contentsOf(bytes).file?.content.equals(content)).toBe(true)
})

test('whole hash, piece hashes and root are those of the bytes on disk', async () => {
  const source = await writeTree(await scratchDir(), { a: randomBytes(700_000, 5), b: 'x' })
  const { release, bytes } = await pack(source)
  const { artifact } = release
  const pieces = [0, 1, 2].map(i => bytes.subarray(i * artifact.pieceLength, (i + 1) * artifact.pieceLength))
  expect(artifact.pieceLength).toBe(256 * 1024)
  expect(artifact.length).toBe(bytes.length)
  expect(artifact.sha256).toBe(sha256(bytes))
  const digests = (name: string) => Buffer.concat(pieces.map(piece => createHash(name).update(piece).digest()))
  expect(Buffer.from(artifact.sha1s)).toEqual(digests('sha1'))
  expect(Buffer.from(artifact.sha256s)).toEqual(digests('sha256'))
  expect(artifact.piecesRoot).toBe(piecesRoot(artifact.sha256s))
})

test('progress ends at the total and never goes back', async () => {
  const source = await writeTree(await scratchDir(), { a: randomBytes(3 * MiB, 6), b: 'x' })
  const seen: number[] = []
  await pack(source, { onProgress: ({ done, total }) => seen.push(done) && expect(total).toBe(3 * MiB + 1) })
  expect(seen).toEqual([MiB, 2 * MiB, 3 * MiB, 3 * MiB + 1])
})

test('a file of 200 MB is not held in memory', async () => {
  const source = join(await scratchDir(), 'big')
  await using file = await open(source, 'w')
  await file.truncate(200e6)
  const before = process.memoryUsage.rss()
  let most = 0
  await pack(source, { onProgress: () => (most = Math.max(most, process.memoryUsage.rss())) })
  expect(most - before).toBeLessThan(100 * MiB)
})

test.each<[string, (dir: string) => Promise<unknown>, string, string]>([
  ['a symbolic link to a file', dir => symlink('a', join(dir, 'link')), 'source_unreadable', 'link is a symbolic link'],
  ['a symbolic link to a directory', dir => symlink('/etc', join(dir, 'link')), 'source_unreadable', 'symbolic link'],
  ['a dangling link', dir => symlink('nowhere', join(dir, 'link')), 'source_unreadable', 'symbolic link'],
  ['a socket', dir => listenAt(join(dir, 'sock')), 'source_unreadable', 'sock is a socket, pipe or device'],
  ['a name for a device of Windows', dir => writeFile(join(dir, 'aux.ndb'), ''), 'pack_path', '"aux.ndb"'],
  ['case twins', dir => writeTree(dir, { 'x/y': '', 'X/z': '' }), 'pack_path', '"x/y"'],
  ['a name that is not UTF-8', dir => writeFile(nonUtf8In(dir), ''), 'pack_path', 'not UTF-8'],
  ['a name with a line break', dir => writeFile(join(dir, 'a\nb'), ''), 'pack_path', '"a\\nb"'],
])('%s: refused by name, and nothing is left', async (_, spoil, code, words) => {
  const source = await writeTree(await scratchDir(), { a: 'x' })
  await spoil(source)
  await expectRefusal(source, code, words)
})

test.each([
  ['missing', 'nowhere'],
  ['an empty directory', 'empty'],
  ['only empty directories', 'empties'],
])('a source that is %s: source_unreadable', async (_, name) => {
  const dir = await scratchDir()
  await mkdir(join(dir, 'empty'))
  await mkdir(join(dir, 'empties/x'), { recursive: true })
  await expectRefusal(join(dir, name), 'source_unreadable', name)
})

test.each<[string, (dir: string) => void]>([
  ['grows', dir => appendFileSync(join(dir, 'big'), 'x')],
  ['shrinks', dir => truncateSync(join(dir, 'big'), 1)],
  ['is rewritten at the same length', dir => writeAt(join(dir, 'big'), 'y')],
  [
    'is replaced',
    dir => {
      writeFileSync(join(dir, 'new'), 'x')
      renameSync(join(dir, 'new'), join(dir, 'ahead'))
    },
  ],
  ['vanishes before its turn', dir => unlinkSync(join(dir, 'last'))],
  ['vanishes after its turn', dir => unlinkSync(join(dir, 'ahead'))],
  [
    'becomes a link',
    dir => {
      unlinkSync(join(dir, 'last'))
      symlinkSync('/etc/passwd', join(dir, 'last'))
    },
  ],
  ['appears', dir => writeFileSync(join(dir, 'another'), 'x')],
  ['is linked elsewhere', dir => linkSync(join(dir, 'big'), join(dir, 'zz'))],
])('a file that %s while it is packed: source_unreadable', async (_, change) => {
  const source = await writeTree(await scratchDir(), { ahead: 'a', big: randomBytes(4 * MiB, 7), last: 'l' })
  let changed = false
  const onProgress: PackOptions['onProgress'] = ({ done }) => {
    // After the first chunk of `big`: it is read in part, `ahead` wholly, `last` not yet.
    if (done < MiB || changed) return
    changed = true
    change(source)
  }
  await expectRefusal(source, 'source_unreadable', 'sigmesh-test-', { onProgress })
  expect(changed).toBe(true)
})

test('an abort leaves nothing', async () => {
  const source = await writeTree(await scratchDir(), { big: randomBytes(4 * MiB, 8) })
  const reason = new Error('the admin pressed ^C')
  const abort = new AbortController()
  const dir = await scratchDir()
  const options = { onProgress: () => abort.abort(reason), signal: abort.signal }
  await expect(packSource(source, join(dir, 'x'), options)).rejects.toBe(reason)
  expect(await readdir(dir)).toEqual([])
})

async function expectRefusal(source: string, code: string, words: string, options?: PackOptions): Promise<void> {
  const dir = await scratchDir()
  const refusal = await packSource(source, join(dir, 'x'), options).catch(error => error)
  expect(refusal).toMatchObject({ code, message: expect.stringContaining(words) })
  expect(await readdir(dir)).toEqual([])
}

async function listenAt(path: string): Promise<void> {
  const server = createServer().listen(path)
  await new Promise(resolve => server.once('listening', resolve))
  server.unref()
}

const nonUtf8In = (dir: string) => Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0x62, 0xfc])])

function writeAt(path: string, text: string): void {
  const file = openSync(path, 'r+')
  writeSync(file, text, 0)
  closeSync(file)
}
