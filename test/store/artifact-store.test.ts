/** The artifact store against bad bytes: from a peer, from the disk, from whoever swaps a file. */
import { appendFile, readdir, readFile, rename, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { expect, test } from 'vitest'
import { openDescriptors } from '../../bench/soak/vitals.ts'
import { sha256 } from '../../src/core/digest.ts'
import { readPieceJournal } from '../../src/store/piece-journal.ts'
import { scratchDir, writeTree } from '../support/scratch.ts'
import { dataName, fill, flipBit, holdFinished, openStore, piece, smallArtifact } from './artifact-fixture.ts'

const fixture = smallArtifact()
const { artifact, content, pieceHashes } = fixture
const { pieceLength } = artifact

test('from the first piece to the whole: what is handed out is what was signed', async () => {
  const directory = await scratchDir()
  const store = await openStore(directory)
  await using pieces = await store.open(artifact, pieceHashes)
  const heard: number[] = []
  const stop = pieces.onPiece(index => heard.push(index))
  await fill(pieces, fixture)
  expect(heard.toSorted((a, b) => a - b)).toEqual([...Array(11).keys()])
  stop()
  await using whole = await store.admit(artifact)
  expect(sha256(await whole.handle.readFile())).toBe(artifact.sha256)
  expect(Buffer.from(await pieces.read(10, 700, 77))).toEqual(content.subarray(-77))
  expect((await readdir(directory)).sort()).toEqual([dataName(artifact, 'json'), dataName(artifact, 'pack')])
  expect(store.list()).toEqual([
    { sha256: artifact.sha256, state: 'complete', bytes: artifact.length, seedUntil: 0, inUse: true },
  ])
})

test.each([
  ['one bit flipped', () => flipped(piece(fixture, 3))],
  ["another piece's bytes", () => piece(fixture, 4)],
  ['one byte short', () => piece(fixture, 3).subarray(1)],
  ['one byte long', () => content.subarray(3 * pieceLength, 4 * pieceLength + 1)],
  ['nothing', () => Buffer.alloc(0)],
])('a piece with %s is refused and not written', async (_, bad) => {
  const directory = await scratchDir()
  const store = await openStore(directory)
  await using pieces = await store.open(artifact, pieceHashes)
  await expect(pieces.put(3, bad())).rejects.toMatchObject({ code: 'piece_mismatch' })
  expect(pieces.have.count).toBe(0)
  const onDisk = await readFile(join(directory, dataName(artifact, 'part')))
  expect(onDisk.every(byte => byte === 0)).toBe(true)
  expect(await pieces.put(3, piece(fixture, 3))).toBe('stored')
  expect(await pieces.put(3, bad())).toBe('known')
})

// A node serves many artifacts, for days: each of them holds one descriptor.
test('a finished artifact holds its data open, and no journal that is gone from the disk', async () => {
  const directory = await scratchDir()
  const store = await openStore(directory)
  await using pieces = await store.open(artifact, pieceHashes)
  await fill(pieces, fixture)
  const content = await store.admit(artifact)
  await content.close()
  const open = openDescriptors(process.pid).filter(path => path.startsWith(directory))
  expect(open.map(path => basename(path))).toEqual([dataName(artifact, 'pack')])
})

test('a piece that comes twice at once is written once, and both are told', async () => {
  const store = await openStore(await scratchDir())
  await using pieces = await store.open(artifact, pieceHashes)
  const heard: number[] = []
  pieces.onPiece(index => heard.push(index))
  const both = await Promise.all([pieces.put(2, piece(fixture, 2)), pieces.put(2, piece(fixture, 2))])
  expect(both.toSorted()).toEqual(['known', 'stored'])
  expect(heard).toEqual([2])
})

test('reads outside a piece, and of absent pieces, are refused', async () => {
  const store = await openStore(await scratchDir())
  await using pieces = await store.open(artifact, pieceHashes)
  await pieces.put(10, piece(fixture, 10))
  await expect(pieces.read(0, 0, 1)).rejects.toMatchObject({ code: 'piece_absent' })
  for (const [index, offset, length] of [
    [10, 0, 778],
    [10, 777, 1],
    [10, -1, 1],
    [10, 0.5, 1],
    [10, 0, -1],
    [11, 0, 1],
    [-1, 0, 1],
  ] as const)
    await expect(pieces.read(index, offset, length)).rejects.toThrow(RangeError)
  await expect(pieces.put(11, Buffer.alloc(1))).rejects.toThrow(RangeError)
  expect(await pieces.read(10, 0, 777)).toHaveLength(777)
})

test('piece hashes that are not the signed ones are refused', async () => {
  const store = await openStore(await scratchDir())
  for (const wrong of [flipped(pieceHashes), pieceHashes.subarray(32), Buffer.concat([pieceHashes, pieceHashes])])
    await expect(store.open(artifact, wrong)).rejects.toMatchObject({ code: 'pieces_mismatch' })
  expect(store.list()).toEqual([])
})

test('an incomplete artifact is not admitted, nor one that nobody has open', async () => {
  const store = await openStore(await scratchDir())
  await expect(store.admit(artifact)).rejects.toMatchObject({ code: 'piece_absent' })
  await using pieces = await store.open(artifact, pieceHashes)
  await pieces.put(0, piece(fixture, 0))
  await expect(store.admit(artifact)).rejects.toMatchObject({ code: 'piece_absent' })
})

test('a bit that flips on the disk after the piece check costs that piece only, and the next try succeeds', async () => {
  const directory = await scratchDir()
  const store = await openStore(directory)
  await using pieces = await store.open(artifact, pieceHashes)
  await fill(pieces, fixture)
  await flipBit(join(directory, dataName(artifact, 'part')), 5 * pieceLength + 9)
  await expect(store.admit(artifact)).rejects.toMatchObject({ code: 'artifact_mismatch', facts: { forgotten: 1 } })
  await expect(pieces.read(5, 0, 1)).rejects.toMatchObject({ code: 'piece_absent' })
  expect(await fill(pieces, fixture)).toEqual([5])
  await using whole = await store.admit(artifact)
  expect(sha256(await whole.handle.readFile())).toBe(artifact.sha256)
})

test('a whole that cannot match although each piece does is thrown away, not kept to fail for ever', async () => {
  const store = await openStore(await scratchDir())
  const contradictory = { ...artifact, sha256: sha256(Buffer.from('another')) }
  await using pieces = await store.open(contradictory, pieceHashes)
  await fill(pieces, fixture)
  await expect(store.admit(contradictory)).rejects.toMatchObject({
    code: 'artifact_mismatch',
    facts: { forgotten: 11 },
  })
  expect(pieces.have.count).toBe(0)
})

test('a file that is swapped after the check does not reach the installer', async () => {
  const directory = await scratchDir()
  const store = await openStore(directory)
  await using pieces = await store.open(artifact, pieceHashes)
  await fill(pieces, fixture)
  await using whole = await store.admit(artifact)
  await writeFile(join(directory, 'evil'), flipped(content))
  await rename(join(directory, 'evil'), join(directory, dataName(artifact, 'pack')))
  expect(sha256(await whole.handle.readFile())).toBe(artifact.sha256)
  // Whoever asks again gets the check again, on what lies there now; opened anew, the artifact can be completed.
  await expect(store.admit(artifact)).rejects.toMatchObject({ code: 'artifact_mismatch' })
  expect(store.list()).toMatchObject([{ state: 'partial' }])
  await pieces.close()
  await whole.close()
  await using anew = await store.open(artifact, pieceHashes)
  await fill(anew, fixture)
  await using _again = await store.admit(artifact)
})

test('bytes added behind the last piece are no part of what is handed out', async () => {
  const directory = await scratchDir()
  const store = await openStore(directory)
  await using pieces = await store.open(artifact, pieceHashes)
  await fill(pieces, fixture)
  await appendFile(join(directory, dataName(artifact, 'part')), 'more')
  await expect(store.admit(artifact)).rejects.toMatchObject({ code: 'artifact_mismatch' })
  await fill(pieces, fixture)
  await using whole = await store.admit(artifact)
  expect((await whole.handle.stat()).size).toBe(artifact.length)
})

test('after a restart: pieces that are still right are there, others are fetched again', async () => {
  const directory = await scratchDir()
  const first = await openStore(directory)
  const before = await first.open(artifact, pieceHashes)
  for (const index of [1, 4, 7, 10]) await before.put(index, piece(fixture, index))
  await first.stop()
  await flipBit(join(directory, dataName(artifact, 'part')), 4 * pieceLength)

  const store = await openStore(directory)
  await using pieces = await store.open(artifact, pieceHashes)
  expect([...pieces.have.pieces()]).toEqual([1, 7, 10])
  expect(await fill(pieces, fixture)).toEqual([0, 2, 3, 4, 5, 6, 8, 9])
  await using _whole = await store.admit(artifact)
})

test.each([
  ['flipped', (path: string) => flipBit(path, 5 * pieceLength), 10],
  ['cut short', (path: string) => truncate(path, 3 * pieceLength + 1), 3],
  ['emptied', (path: string) => truncate(path, 0), 0],
  ['grown', (path: string) => appendFile(path, 'more'), 11],
] as const)('a finished artifact that was %s at rest is never served that way', async (_, damage, left) => {
  const directory = await scratchDir()
  await holdFinished(await openStore(directory), fixture)
  await damage(join(directory, dataName(artifact, 'pack')))

  const store = await openStore(directory)
  await using pieces = await store.open(artifact, pieceHashes)
  expect(pieces.have.count).toBe(left)
  await fill(pieces, fixture)
  await using whole = await store.admit(artifact)
  expect((await whole.handle.stat()).size).toBe(artifact.length)
  expect(sha256(await whole.handle.readFile())).toBe(artifact.sha256)
})

test('the journal cut at every length, and gone, and garbage: no bad piece counts, and what it lists is found', async () => {
  const directory = await scratchDir()
  const journal = join(directory, dataName(artifact, 'pieces'))
  const first = await openStore(directory)
  const before = await first.open(artifact, pieceHashes)
  for (const index of [3, 0, 9]) await before.put(index, piece(fixture, index))
  await first.stop()
  const whole = await readFile(journal)
  expect(whole).toHaveLength(8 + 3 * 8)
  const heldWith = async (bytes: Uint8Array) => {
    await writeFile(journal, bytes)
    const store = await openStore(directory)
    await using pieces = await store.open(artifact, pieceHashes)
    return [...pieces.have.pieces()]
  }
  for (let length = 0; length <= whole.length; length++) {
    // Too short to be a journal of ours: then every piece is looked at.
    const listed = length < 8 ? [0, 3, 9] : [3, 0, 9].slice(0, Math.floor((length - 8) / 8)).toSorted((a, b) => a - b)
    expect(await heldWith(whole.subarray(0, length)), `cut at ${length}`).toEqual(listed)
  }
  const lies = Buffer.from(whole)
  lies.writeUInt32BE(4, 8) // an index that does not fit its check
  expect(await heldWith(lies)).toEqual([0, 9])
  await writeFile(journal, lies)
  expect([...(await readPieceJournal(journal))!]).toEqual([0, 9])
  expect(await heldWith(Buffer.alloc(40, 0xff))).toEqual([0, 3, 9])
})

test('an artifact opened twice is one: both see each piece, and the last to close closes', async () => {
  const store = await openStore(await scratchDir())
  const one = await store.open(artifact, pieceHashes)
  const two = await store.open(artifact, pieceHashes)
  await one.put(0, piece(fixture, 0))
  expect(two.have.has(0)).toBe(true)
  await one.close()
  await one.close()
  expect(store.list()).toMatchObject([{ inUse: true }])
  await two.put(1, piece(fixture, 1))
  await two.close()
  expect(store.list()).toMatchObject([{ inUse: false }])
})

test('a link that waits under the name of the data file is not followed', async () => {
  const directory = await writeTree(await scratchDir(), { victim: 'precious' })
  await symlink('victim', join(directory, dataName(artifact, 'part')))
  const store = await openStore(directory)
  await expect(store.open(artifact, pieceHashes)).rejects.toMatchObject({ code: 'disk_failed' })
  expect(await readFile(join(directory, 'victim'), 'utf8')).toBe('precious')
})

test('rubbish of a crash goes at the next start; what is not ours stays', async () => {
  const directory = await scratchDir()
  await holdFinished(await openStore(directory), fixture)
  const orphan = smallArtifact(2).artifact
  await writeTree(directory, {
    '.sigmesh-0123456789ab.tmp': 'half',
    [dataName(orphan, 'json')]: '{}',
    [dataName(orphan, 'pieces')]: 'x',
    [dataName(orphan, 'torrent')]: 'x',
    'README.md': 'mine',
    'abc.part': 'mine too',
  })
  await openStore(directory)
  const names = [dataName(artifact, 'json'), dataName(artifact, 'pack'), 'README.md', 'abc.part']
  expect((await readdir(directory)).sort()).toEqual(names.sort())
})

test('the torrent is kept with the artifact', async () => {
  const directory = await scratchDir()
  const store = await openStore(directory)
  expect(await store.metainfo(artifact.sha256)).toBeUndefined()
  await store.keepMetainfo(artifact.sha256, fixture.metainfo)
  await holdFinished(store, fixture, 1)
  expect(await (await openStore(directory)).metainfo(artifact.sha256)).toEqual(fixture.metainfo)
})

test('an aborted check rejects with the reason and leaves the artifact as it was', async () => {
  const directory = await scratchDir()
  const store = await openStore(directory)
  const aborted = AbortSignal.abort(new Error('enough'))
  await using pieces = await store.open(artifact, pieceHashes)
  await fill(pieces, fixture)
  await expect(store.admit(artifact, aborted)).rejects.toThrow('enough')
  await pieces.close()
  await expect(store.open(artifact, pieceHashes, aborted)).rejects.toThrow('enough')
  expect(store.list()).toMatchObject([{ state: 'partial', inUse: false }])
  await using again = await store.open(artifact, pieceHashes)
  expect(again.have.complete).toBe(true)
})

test('the file has holes: what is not fetched takes no space', async () => {
  const directory = await scratchDir()
  const store = await openStore(directory)
  await using pieces = await store.open(artifact, pieceHashes)
  await pieces.put(10, piece(fixture, 10))
  const { size, blocks } = await stat(join(directory, dataName(artifact, 'part')))
  expect(size).toBe(artifact.length)
  expect(blocks * 512).toBeLessThan(2 * pieceLength)
})

function flipped(bytes: Uint8Array): Buffer {
  const copy = Buffer.from(bytes)
  copy[copy.length >> 1]! ^= 0x10
  return copy
}
