/** kill -9 at bad moments. Nodes are processes here, and what they leave on the disk is all that the next one knows. */
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { MiB } from '../../src/core/units.ts'
import { writePayload } from '../support/payload.ts'
import { openSite } from '../support/site.ts'

const line = { bytesPerSecond: 3 * MiB, latencyMs: 5 }

test('killed in mid-transfer, a node finishes after its restart and fetches no piece twice', async () => {
  const site = await openSite({ nodes: 1, line, processes: true })
  const node = site.nodes[0]!
  await site.publish(await writePayload(site.home, 12 * MiB, 1))
  const cut = node.update().catch(() => 'killed')
  let had = 0
  for (let far = 0; far < 0.4; ) {
    const { progress } = await node.status()
    had = progress?.bytesHave ?? 0
    far = progress ? had / progress.bytesTotal : 0
  }
  await node.kill()
  expect(await cut).toBe('killed')

  const sent = site.origin.stats().artifactBytes
  await node.start()
  expect(await node.update()).toMatchObject({ outcome: 'installed', sequence: 1 })
  const { serving } = await node.status()
  const again = site.origin.stats().artifactBytes - sent
  expect(had).toBeGreaterThan(0)
  // What it had stored is not fetched again; only what was on its way when it died.
  expect(again).toBeLessThanOrEqual(serving!.bytes - had)
})

test('killed again and again while it installs, a node has the old release or the new one, and gets to the new one', async () => {
  const site = await openSite({ nodes: 1, processes: true })
  const node = site.nodes[0]!
  await site.publish(await writePayload(site.home, 4 * MiB, 1))
  await node.update()
  const old = await node.installed()
  await site.publish(await writePayload(site.home, 4 * MiB, 2))
  const seen = new Set<string>()
  for (let round = 0; round < 6; round++) {
    const update = node.update().catch(() => 'killed')
    await until(async () => (await node.status()).activity === 'installing', update)
    await delay(round * 4)
    await node.kill()
    await update
    const now = await node.installed()
    const sequence = now!['meta/version.txt']!.includes('release 2') ? 'new' : 'old'
    if (sequence === 'old') expect(now).toEqual(old)
    seen.add(sequence)
    await node.start()
    expect((await node.status()).installed!.sequence).toBe(sequence === 'new' ? 2 : 1)
    if (sequence === 'new') break
  }
  expect(await node.update()).toMatchObject({ sequence: 2, error: null })
  expect((await node.installed())!['meta/version.txt']).toContain('release 2')
}, 240_000)

/** Poll, without a pause, until it is so or `over` has settled. */
async function until(so: () => Promise<boolean>, over: Promise<unknown>): Promise<void> {
  const ended = over.then(
    () => true,
    () => true,
  )
  while (!(await so().catch(() => true))) {
    if (await Promise.race([ended, delay(0, false)])) return
  }
}
