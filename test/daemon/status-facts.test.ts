/** What `sigmesh status` says in mid-transfer, when the on-call engineer looks. */
import { expect, test } from 'vitest'
import { MiB } from '../../src/core/units.ts'
import { writePayload } from '../support/payload.ts'
import { openSite } from '../support/site.ts'

test('while a release is fetched: the one before is served on, all neighbours count, and an origin that goes away is told at once', async () => {
  const site = await openSite({ nodes: 2, line: { bytesPerSecond: MiB, latencyMs: 5 } })
  const [node, other] = site.nodes
  await site.publish(await writePayload(site.home, MiB, 1))
  await Promise.all(site.nodes.map(each => each.update()))
  const { serving } = await node!.status()
  expect(serving).not.toBeNull()

  await site.publish(await writePayload(site.home, 8 * MiB, 2))
  const updates = Promise.all([node!.update(), other!.update()])
  await expect.poll(async () => (await node!.status()).progress?.bytesHave ?? 0, { interval: 20 }).toBeGreaterThan(0)
  expect(await node!.status()).toMatchObject({
    serving,
    trouble: null,
    activity: 'obtaining',
    offered: { sequence: 2 },
  })
  await expect
    .poll(async () => (await node!.status()).peers - (await node!.peers()).length, { interval: 50, timeout: 5000 })
    .toBe(0)
  expect(new Set((await node!.peers()).map(({ artifact }) => artifact)).size).toBeGreaterThan(1)

  await site.stopOrigin()
  await expect
    .poll(async () => (await node!.status()).trouble, { timeout: 10_000 })
    .toMatchObject({ code: expect.stringMatching(/^origin_(unreachable|length|idle)$/), advice: expect.any(String) })
  await site.startOrigin()
  expect(await updates).toMatchObject([{ outcome: 'installed' }, { outcome: 'installed' }])
  expect(await node!.status()).toMatchObject({ activity: 'idle', trouble: null, progress: null, seat: null })
})
