/** What an install says it will take, and what it keeps: asked before the first byte is fetched, counted without what is not ours. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { GiB, MiB } from '../../src/core/units.ts'
import { bench } from '../support/install-bench.ts'
import { releaseOf } from '../support/release.ts'
import { scratchDir, writeTree } from '../support/scratch.ts'

const tree = (letter: string) => ({ 'daily.ndb': letter.repeat(700), 'rules.yar': letter.repeat(300) })
const files = async () => ({
  action: 'files' as const,
  path: await writeTree(join(await scratchDir(), 'clamav'), { 'local.ign2': 'mine' }),
  releases: join(await scratchDir(), 'releases'),
})

describe('a release that is larger than node.toml allows', () => {
  const { release, content } = releaseOf({ a: 'a' }, 1, { unpacked: 65 * GiB, files: 9 })
  test.each([
    ['by default', {}, 'unpack_limit_mib of node.toml allows 64.00 GiB'],
    ['in bytes', { unpack_limit_mib: 1 }, 'unpack_limit_mib of node.toml allows 1.0 MiB'],
    ['in files', { unpack_limit_mib: 1e6, unpack_limit_files: 8 }, 'unpack_limit_files of node.toml allows 8'],
  ])('%s: refused before it is fetched, and the key to raise is named', async (_, limits, words) => {
    const { installer } = await bench(limits)
    const refused = { code: 'pack_limit', message: expect.stringContaining(words) }
    await expect(installer.demand(release)).rejects.toMatchObject(refused)
    await using artifact = await content()
    const { signal } = new AbortController()
    await expect(installer.install(artifact, release, signal)).rejects.toMatchObject(refused)
  })

  test('is taken with higher limits', async () => {
    const { installer } = await bench({ unpack_limit_mib: 66 * 1024 })
    expect((await installer.demand(release)).keptBytes).toBe(65 * GiB)
  })
})

test('a release takes its space once for `directory`, twice for `files`: in its own tree, and as copies', async () => {
  const { release } = releaseOf(tree('1'), 1, { unpacked: 3 * MiB, files: 2 })
  const once = await (await bench()).installer.demand(release)
  const twice = await (await bench(await files())).installer.demand(release)
  expect([once.keptBytes, twice.keptBytes]).toEqual([3 * MiB, 6 * MiB])
  expect([once.spaces.length, twice.spaces.length]).toEqual([1, 2])
  for (const { bytes } of [...once.spaces, ...twice.spaces]) expect(bytes).toBeGreaterThan(3 * MiB)
})

test.each([
  ['directory', 1000, 2000],
  ['files', 2000, 3000],
] as const)(
  'kept by %s are the release in force and the one before; what others put there is not ours',
  async (action, first, second) => {
    const it = await bench(action === 'files' ? await files() : {})
    expect(await it.installer.keptBytes()).toBe(0)
    await it.install(releaseOf(tree('1'), 1))
    expect(await it.installer.keptBytes()).toBe(first)
    await writeFile(join(it.path, action === 'files' ? 'other.ndb' : 'current/other.ndb'), 'x'.repeat(5000))
    for (const sequence of [2, 3]) {
      await it.install(releaseOf(tree(String(sequence)), sequence))
      expect(await it.installer.keptBytes()).toBe(second)
    }
  },
)
