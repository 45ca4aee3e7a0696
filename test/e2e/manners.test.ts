/** A branch whose machines have limits: what they keep to, and what passes them by. */
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { KiB, MiB, second } from '../../src/core/units.ts'
import { scratchDir, writeTree } from '../support/scratch.ts'
import { openSite, type SiteOptions } from '../support/site.ts'

const length = MiB

async function publishedTo(options: SiteOptions, priority?: 'emergency') {
  const site = await openSite(options)
  const source = await writeTree(await scratchDir(), { 'noise.bin': randomBytes(length) })
  await site.publish(source, undefined, { priority })
  return site
}

test.each(['native', 'webtorrent'])(
  'with engine %s, a node takes no more from the line than its limit',
  async engine => {
    const bytesPerSecond = 1e6
    const limits = { wan_down: '8Mbit' }
    const site = await publishedTo({ nodes: 1, node: { engine, limits } })
    const begun = performance.now()
    expect(await site.nodes[0]!.update()).toMatchObject({ outcome: 'installed' })
    const elapsedMs = performance.now() - begun
    // The last chunk is not waited for; a little may be saved up.
    expect(elapsedMs).toBeGreaterThan((second * (length - 256 * KiB)) / bytesPerSecond)
  },
)

test.each([
  ['is still on its way to a machine that does not let it pass its limits', false],
  ['is with a machine that lets it pass them', true],
])('an emergency %s', async (_, emergency_overrides) => {
  // At this rate it would take half a minute.
  const limits = { wan_down: '256kbit', emergency_overrides }
  const site = await publishedTo({ nodes: 1, node: { limits } }, 'emergency')
  const node = site.nodes[0]!
  if (emergency_overrides) expect(await node.update()).toMatchObject({ outcome: 'installed' })
  else {
    void node.update().catch(() => {}) // the node is stopped before it is through
    await expect
      .poll(async () => (await node.status()).progress?.bytesHave ?? 0, { timeout: 60_000 })
      .toBeGreaterThan(0)
    expect((await node.status()).activity).toBe('obtaining')
  }
})
