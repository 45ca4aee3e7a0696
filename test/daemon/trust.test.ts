/** The trust rules, driven: what is asked of the origin, what stays on the disk, and whom a bad pinned root is blamed on. */
import { rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { DownloadError } from '../../src/core/errors.ts'
import { hour, MiB } from '../../src/core/units.ts'
import { Trust } from '../../src/daemon/trust.ts'
import { RootFiles } from '../../src/store/root-files.ts'
import { openTrustStore } from '../../src/store/trust-store.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { scratchDir } from '../support/scratch.ts'
import { keyNamed, noon, TrustRepository } from '../support/trust-repository.ts'

const never = new AbortController().signal

/** A node with a real store, and an origin that answers from a repository in memory. */
async function node(repository = new TrustRepository()) {
  const home = await scratchDir()
  const rootFile = join(home, 'root.json')
  await writeFile(rootFile, repository.pinned)
  const origin = {
    asked: [] as string[],
    down: false,
    async metadata(path: string, _limit: number, _signal?: AbortSignal): Promise<Uint8Array | undefined> {
      origin.asked.push(path)
      if (origin.down) throw new DownloadError('origin_unreachable', 'the origin does not answer')
      return repository.serve(path.replace('/metadata/', ''))
    },
  }
  const clock = new ManualClock(noon)
  const saved = { count: 0 }
  const start = async () => {
    const roots = new RootFiles(join(home, 'roots'))
    const store = await openTrustStore(join(home, 'trust'))
    const save = store.save.bind(store)
    store.save = state => {
      saved.count++
      return save(state)
    }
    const trust = new Trust({ store, roots, rootFile, clock })
    await trust.open()
    const refresh = (channel: string, signal: AbortSignal) =>
      trust.refresh(channel, (path, limit) => origin.metadata(`/metadata/${path}`, limit, signal), signal)
    return { refresh, shelf: () => trust.shelf }
  }
  return { home, rootFile, origin, clock, repository, saved, start, trust: await start() }
}

const sequences = async (refreshing: ReturnType<Trust['refresh']>) => (await refreshing).map(({ sequence }) => sequence)

test('what was verified survives a restart, and the pinned root is not needed any more', async () => {
  const { trust, start, repository, rootFile, origin } = await node()
  repository.publish([1, 2])
  expect(await sequences(trust.refresh('clamav', never))).toEqual([1, 2])
  await rm(rootFile)
  origin.asked.length = 0
  expect(await sequences((await start()).refresh('clamav', never))).toEqual([1, 2])
  // The next root and the timestamp are asked for; nothing that has not changed.
  expect(origin.asked).toEqual(['/metadata/2.root.json', '/metadata/timestamp.json'])
})

test('a walk that breaks off keeps what it had verified: the next one refuses what is older', async () => {
  const { trust, start, repository } = await node()
  repository.publish([1])
  await trust.refresh('clamav', never)
  const yesterday = repository.snapshot()
  repository.publish([1, 2])
  const manifest = [...repository.files.keys()].filter(name => name.endsWith('.clamav.json')).at(-1)!
  repository.files.delete(manifest)
  await expect(trust.refresh('clamav', never)).rejects.toMatchObject({ code: 'metadata_missing' })
  repository.replay(yesterday)
  await expect((await start()).refresh('clamav', never)).rejects.toMatchObject({ code: 'metadata_rollback' })
})

test('the cache is lost, the floor is not: an older repository is refused, although the root is pinned again', async () => {
  const { trust, start, home, repository } = await node()
  repository.publish([1])
  const yesterday = repository.snapshot()
  repository.publish([1, 2])
  await trust.refresh('clamav', never)
  await rm(join(home, 'trust', 'metadata'), { recursive: true })
  repository.replay(yesterday)
  await expect((await start()).refresh('clamav', never)).rejects.toMatchObject({ code: 'metadata_rollback' })
})

test('the clock is set back after a refresh: said as such, and over when it is right again', async () => {
  const { trust, clock, repository } = await node()
  repository.publish([1])
  await trust.refresh('clamav', never)
  clock.set(noon - 365 * 24 * hour)
  await expect(trust.refresh('clamav', never)).rejects.toMatchObject({ code: 'clock_rollback' })
  clock.set(noon + hour)
  expect(await sequences(trust.refresh('clamav', never))).toEqual([1])
})

test.each<[string, (rootFile: string) => Promise<void>, string]>([
  ['there is none', rootFile => rm(rootFile), 'config_unreadable'],
  ['it is empty', rootFile => truncate(rootFile), 'config_invalid'],
  ['it is the page of a proxy', rootFile => writeFile(rootFile, '<html>log in</html>'), 'config_invalid'],
  ['it is as long as a film', rootFile => truncate(rootFile, MiB), 'config_invalid'],
])(
  'the pinned root, %s: this machine is to blame and not the origin, which is not even asked',
  async (_, breakIt, code) => {
    const { trust, rootFile, origin, repository } = await node()
    await breakIt(rootFile)
    await expect(trust.refresh('clamav', never)).rejects.toMatchObject({
      name: 'ConfigError',
      code,
      message: expect.stringContaining(rootFile),
    })
    expect(origin.asked).toEqual([])
    await writeFile(rootFile, repository.pinned)
    await expect(trust.refresh('clamav', never)).resolves.toEqual([])
  },
)

test('the root of another repository is pinned: nothing of this one is trusted', async () => {
  const { trust, rootFile, repository } = await node()
  repository.publish([1])
  const stranger = new TrustRepository()
  stranger.rotateTimestampKey(keyNamed('a timestamp key of elsewhere'))
  await writeFile(rootFile, stranger.files.get('2.root.json')!)
  await expect(trust.refresh('clamav', never)).rejects.toMatchObject({ code: 'metadata_unsigned' })
})

test('two channels refresh at once: one walk after the other, and a failure reaches its own caller only', async () => {
  const { trust, repository, origin } = await node()
  repository.publish([1])
  const both = await Promise.allSettled([trust.refresh('absent', never), trust.refresh('clamav', never)])
  expect(both).toMatchObject([{ reason: { code: 'channel_unknown' } }, { value: [{ sequence: 1 }] }])
  expect(origin.asked.filter(path => path === '/metadata/timestamp.json')).toHaveLength(2)
})

test('a walk writes to the disk once, and once for each new root before it asks for more', async () => {
  const { trust, saved, repository, origin } = await node()
  repository.publish([1])
  await trust.refresh('clamav', never)
  expect(saved.count).toBe(1)
  const { metadata } = origin
  const savedAt: number[] = []
  origin.metadata = (path, limit) => {
    if (path.endsWith('.root.json')) savedAt.push(saved.count)
    return metadata(path, limit)
  }
  repository.rotateTimestampKey(keyNamed('second'))
  repository.rotateTimestampKey(keyNamed('third'))
  repository.publish([1, 2])
  await trust.refresh('clamav', never)
  expect(savedAt).toEqual([1, 2, 3])
  expect(saved.count).toBe(4)
})

test('stopped in the middle: the reason of the stop, and nothing more is asked', async () => {
  const { trust, repository, origin } = await node()
  repository.publish([1])
  const stop = new AbortController()
  const { metadata } = origin
  origin.metadata = (path, limit) => {
    stop.abort(new Error('the daemon is stopping'))
    return metadata(path, limit)
  }
  await expect(trust.refresh('clamav', stop.signal)).rejects.toThrow('the daemon is stopping')
  expect(origin.asked).toHaveLength(1)
})
