/** The promise of the product: whatever the nodes of a site do, about one copy crosses its line. */
import { expect, test } from 'vitest'
import { MiB } from '../../src/core/units.ts'
import { writePayload } from '../support/payload.ts'
import { openSite, type Site, type SiteNode } from '../support/site.ts'

const line = { bytesPerSecond: 4 * MiB, latencyMs: 10 }

test('twelve nodes start at once: exactly five fetch over the WAN, and together they fetch one payload', async () => {
  const site = await openSite({ nodes: 12, line })
  await site.publish(await writePayload(site.home, 16 * MiB, 1))
  const results = await Promise.all(site.nodes.map(node => node.update()))
  expect(results.map(({ outcome }) => outcome)).toEqual(results.map(() => 'installed'))

  const { serving } = await site.nodes[0]!.status()
  const overWan = (await Promise.all(site.nodes.map(node => node.status()))).filter(({ bytes }) => bytes.wan > 0)
  expect(overWan).toHaveLength(5)
  expect(site.origin.stats().artifactBytes / serving!.bytes).toBeLessThanOrEqual(1.05)
}, 240_000)

test('a seed is killed with -9 in mid-transfer: all others finish, and it costs a tenth of a payload at most', async () => {
  const site = await openSite({ nodes: 12, line, processes: true })
  await site.publish(await writePayload(site.home, 16 * MiB, 1))
  const updates = site.nodes.map(node =>
    node
      .update()
      .then(({ outcome }) => outcome)
      .catch(() => 'killed'),
  )
  const seed = await seedInMidTransfer(site)
  await seed.kill()

  const outcomes = await Promise.all(updates)
  expect(outcomes.filter(outcome => outcome === 'installed')).toHaveLength(11)
  const survivor = site.nodes.find(node => node !== seed)!
  const { serving } = await survivor.status()
  expect(site.origin.stats().artifactBytes / serving!.bytes).toBeLessThanOrEqual(1.1)
}, 240_000)

/** A node that holds a seat while the site has between a fifth and two thirds of the artifact. */
async function seedInMidTransfer(site: Site): Promise<SiteNode> {
  for (;;) {
    for (const node of site.nodes) {
      const { seat, progress, bytes } = await node.status()
      if (!progress) continue
      const far = progress.bytesHave / progress.bytesTotal
      if (far > 2 / 3) throw new Error('the transfer went by unseen: the line is too fast for this machine')
      if (seat && bytes.wan > 0 && far > 0.2) return node
    }
  }
}
