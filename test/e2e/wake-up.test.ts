/** From a publish to every machine, without a machine that waits for its schedule. */
import { expect, test } from 'vitest'
import { KiB } from '../../src/core/units.ts'
import { writePayload } from '../support/payload.ts'
import { contents, readTree } from '../support/scratch.ts'
import { openSite } from '../support/site.ts'

test('the nodes that the origin listens to install a release without being told by anybody else', async () => {
  const site = await openSite({ nodes: 3, node: { push: true, schedule: '0 0 1 1 *' } })
  await expect.poll(() => site.origin.stats().listeners.flatMap(({ nodes }) => nodes)).toHaveLength(3)
  const source = await writePayload(site.home, 10 * KiB, 1)
  await site.publish(source)
  for (const node of site.nodes) {
    await expect.poll(async () => contents((await node.installed()) ?? {})).toEqual(contents(await readTree(source)))
    await expect.poll(async () => (await node.history()).map(({ outcome }) => outcome)).toEqual(['installed'])
  }
})

test('what was published while a node was away it hears of as soon as it is back', async () => {
  const site = await openSite({ nodes: 1, node: { push: true, schedule: '0 0 1 1 *' } })
  const node = site.nodes[0]!
  await site.publish(await writePayload(site.home, 10 * KiB, 1))
  await expect.poll(async () => (await node.status()).installed?.sequence).toBe(1)
  await node.stop()
  await site.publish(await writePayload(site.home, 10 * KiB, 2))
  await node.start()
  await expect.poll(async () => (await node.status()).installed?.sequence).toBe(2)
})
