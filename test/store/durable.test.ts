/** Durable changes: what a fault, a link that waits, or a crash may leave behind. */
import { execFileSync } from 'node:child_process'
import { lstat, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { StoreError } from '../../src/core/errors.ts'
import { z } from '../../src/core/schema.ts'
import {
  makeDirectory,
  removeLeftovers,
  removeTree,
  renameDurably,
  replaceSymlink,
  temporaryBeside,
  writeFileDurably,
  writeFilesDurably,
} from '../../src/store/durable.ts'
import { JsonFile } from '../../src/store/json-file.ts'
import { atEveryPoint, faultModes, lastCalls } from '../support/faulty-disk.ts'
import { readTree, scratchDir, writeTree } from '../support/scratch.ts'

vi.mock('node:fs/promises', async real => (await import('../support/faulty-disk.ts')).makeFaulty(await real()))

const faults = faultModes.flatMap(mode => (['ENOSPC', 'EIO'] as const).map(code => [mode, code] as const))

test.each(faults)('a write that %s with %s leaves the old file or the new one, and no rubbish', async (mode, code) => {
  const directory = await scratchDir()
  const path = join(directory, 'state')
  const points = await atEveryPoint(mode, code, async (faulty, point) => {
    await writeFile(path, 'old')
    const outcome = await faulty(() => writeFileDurably(path, 'new content')).catch(error => error)
    expect(['old', 'new content'], `point ${point}`).toContain(await readFile(path, 'utf8'))
    expect(await readdir(directory)).toEqual(['state'])
    if (outcome === undefined) return
    expect(outcome).toBeInstanceOf(StoreError)
    expect(outcome).toMatchObject({ code: code === 'ENOSPC' ? 'disk_full' : 'disk_failed' })
    expect(outcome.message).toContain(directory)
    await writeFileDurably(path, 'again')
    expect(await readFile(path, 'utf8')).toBe('again')
  })
  expect(points).toBeGreaterThanOrEqual(5) // writeFile, chmod, sync, rename, sync of the directory
})

test.each(faults)(
  'of two files, when a call %s with %s, each is old or new, and what is new was synced',
  async (mode, code) => {
    const directory = await scratchDir()
    const read = async () => [
      await readFile(join(directory, 'a'), 'utf8'),
      await readFile(join(directory, 'b'), 'utf8'),
    ]
    const write = (a: string, b: string) =>
      writeFilesDurably(directory, [
        ['a', a],
        ['b', b],
      ])
    await write('old', 'old')
    // Of one that meets no fault: the last call is the sync of the directory.
    const points = await atEveryPoint(mode, code, async (faulty, point) => {
      const outcome = await faulty(() => write('new', 'new')).catch(error => error)
      const [a, b] = await read()
      expect([a, b], `point ${point}`).toSatisfy(([x, y]) => ['old', 'new'].includes(x) && ['old', 'new'].includes(y))
      expect((await readdir(directory)).sort()).toEqual(['a', 'b'])
      // The call that failed may be the rename of the first: then nobody has been told that it is new.
      const renamed = lastCalls().indexOf('rename')
      if (outcome === undefined || (renamed >= 0 && renamed + 1 !== point && a === 'new'))
        expect(lastCalls().at(-1), `point ${point}: ${lastCalls()}`).toBe('sync')
      await write('old', 'old')
    })
    expect(points).toBe(9) // of each file write, chmod, sync, rename; the sync of the directory
  },
)

test.each(faults)('a link being replaced, when a call %s with %s, points at the old or the new', async (mode, code) => {
  const directory = await scratchDir()
  const path = join(directory, 'current')
  await symlink('releases/1', path)
  const points = await atEveryPoint(mode, code, async faulty => {
    const outcome = await faulty(() => replaceSymlink('releases/2', path)).catch(error => error)
    const tree = await readTree(directory)
    expect(Object.keys(tree)).toEqual(['current'])
    expect(['-> releases/1', '-> releases/2']).toContain(tree.current)
    if (outcome !== undefined) expect(outcome).toBeInstanceOf(StoreError)
    await replaceSymlink('releases/1', path)
  })
  expect(points).toBeGreaterThanOrEqual(3)
})

test.each(faults)(
  'a tree being removed, when a call %s with %s, is whole under its name or gone',
  async (mode, code) => {
    const directory = await scratchDir()
    const path = join(directory, 'release')
    const points = await atEveryPoint(mode, code, async faulty => {
      await writeTree(path, { 'a/b': '1', c: '2' })
      await faulty(() => removeTree(path)).catch(error => expect(error).toBeInstanceOf(StoreError))
      const names = await readdir(directory)
      if (names.includes('release')) expect(await readdir(path, { recursive: true })).toEqual(['a', 'c', 'a/b'])
      await removeLeftovers(directory)
      await removeTree(path)
      expect(await readdir(directory)).toEqual([])
    })
    expect(points).toBeGreaterThanOrEqual(3)
  },
)

test('a full disk is told with the file, what was needed and what is free', async () => {
  const path = join(await scratchDir(), 'state')
  await atEveryPoint('failed', 'EDQUOT', async faulty => {
    const outcome = await faulty(() => writeFileDurably(path, 'x'.repeat(2048))).catch(error => error)
    if (outcome === undefined) return
    expect(outcome).toMatchObject({ code: 'disk_full', facts: { neededBytes: expect.any(Number) } })
    expect(outcome.facts.freeBytes).toBeGreaterThan(0)
    expect(outcome.message).toMatch(/ free\)$/)
  })
})

test('the mode is exact whatever the umask', async () => {
  const path = join(await scratchDir(), 'script')
  const umask = process.umask(0o077)
  try {
    await writeFileDurably(path, '#!', 0o755)
  } finally {
    process.umask(umask)
  }
  expect((await stat(path)).mode & 0o7777).toBe(0o755)
})

test('a link under the name is replaced, and what it points at is left alone', async () => {
  const directory = await writeTree(await scratchDir(), { victim: 'precious' })
  await symlink('victim', join(directory, 'state'))
  await writeFileDurably(join(directory, 'state'), 'new')
  expect(await readFile(join(directory, 'victim'), 'utf8')).toBe('precious')
  expect((await lstat(join(directory, 'state'))).isFile()).toBe(true)
})

test('removing a tree removes the links in it, not what they point at', async () => {
  const directory = await writeTree(await scratchDir(), { 'outside/precious': '1', 'tree/x': '2' })
  await symlink('../outside', join(directory, 'tree/link'))
  await removeTree(join(directory, 'tree'))
  await removeTree(join(directory, 'tree')) // nothing there is fine
  expect(await readTree(directory)).toEqual({ 'outside/': '755', 'outside/precious': '644 1' })
})

test('what a crash left is cleaned up; what only looks like it stays', async () => {
  const directory = await scratchDir()
  await writeFile(temporaryBeside(join(directory, 'state')), 'half')
  await writeTree(temporaryBeside(join(directory, 'tree')), { 'a/b': 'half' })
  await writeTree(directory, { 'mine.tmp': '', '.sigmesh-xyz.tmp': '', state: '' })
  await removeLeftovers(directory)
  expect(await readdir(directory)).toEqual(['.sigmesh-xyz.tmp', 'mine.tmp', 'state'])
})

test('a directory is made with its parents, and again, and not over a file', async () => {
  const directory = await scratchDir()
  await makeDirectory(join(directory, 'a/b/c'))
  await makeDirectory(join(directory, 'a/b/c'))
  expect((await stat(join(directory, 'a/b/c'))).mode & 0o777).toBe(0o700)
  await writeFile(join(directory, 'file'), '')
  await expect(makeDirectory(join(directory, 'file'))).rejects.toMatchObject({ code: 'disk_failed' })
})

test('a rename does not swallow a directory that has something in it', async () => {
  const directory = await writeTree(await scratchDir(), { 'from/x': '1', 'to/y': '2' })
  const rename = renameDurably(join(directory, 'from'), join(directory, 'to'))
  await expect(rename).rejects.toMatchObject({ code: 'disk_failed' })
  await renameDurably(join(directory, 'from'), join(directory, 'elsewhere'))
  expect(await readdir(directory)).toEqual(['elsewhere', 'to'])
})

test('the longest name a file may have can be written', async () => {
  const path = join(await scratchDir(), 'n'.repeat(255))
  await writeFileDurably(path, 'x')
  expect(await readFile(path, 'utf8')).toBe('x')
})

test.each(['', '{', '{"count":-1}', '{"count":1,"more":2}', '\0\0\0'])(
  'a JSON file that holds %j counts as lost and is kept aside',
  async content => {
    const path = join(await scratchDir(), 'counters.json')
    const file = new JsonFile(path, z.strictObject({ count: z.int().min(0) }))
    expect(await file.read()).toBeUndefined()
    await writeFile(path, content)
    expect(await file.read()).toBeUndefined()
    expect(await readFile(`${path}.damaged`, 'utf8')).toBe(content)
    await file.write({ count: 7 })
    expect(await file.read()).toEqual({ count: 7 })
  },
)

test('a JSON file that is a pipe, a link or a directory does not hang or lead elsewhere', async () => {
  const directory = await scratchDir()
  const file = (name: string) => new JsonFile(join(directory, name), z.number())
  await writeFile(join(directory, 'target'), '1')
  await symlink('target', join(directory, 'link'))
  await mkdir(join(directory, 'directory'))
  execFileSync('mkfifo', [join(directory, 'pipe')])
  await expect(file('link').read()).rejects.toMatchObject({ code: 'disk_failed' })
  expect(await file('pipe').read()).toBeUndefined()
  await expect(file('directory').read()).rejects.toMatchObject({ code: 'disk_failed' })
})
