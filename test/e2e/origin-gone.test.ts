/** What a site holds, in however many hands, it does not need the origin for. */
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { MiB } from '../../src/core/units.ts'
import { writePayload } from '../support/payload.ts'
import { readTree } from '../support/scratch.ts'
import { openSite, type Site } from '../support/site.ts'

const payloadBytes = 2 * MiB

test('the origin goes once the site holds every piece in union, and nobody all of them: all finish', async () => {
  // The tracker goes with the origin, before it has named everybody to everybody: beacons do. Over the line at once, from neighbours slowly: seconds lie between the last piece's arrival at the site and its arrival everywhere.
  const site = await openSite({ nodes: 4, beacon: true, node: { limits: { lan_down: '2Mbit' } } })
  const source = await writePayload(site.home, payloadBytes, 1)
  const { release } = await site.publish(source)
  const updates = site.nodes.map(node => node.update())
  while ((await bytesOverWan(site)) < release.full.length) await delay(10)
  await site.stopOrigin()
  expect(await Promise.all(site.nodes.map(hasAll))).toContain(false)

  const outcomes = (await Promise.all(updates)).map(({ outcome }) => outcome)
  expect(outcomes).toEqual(outcomes.map(() => 'installed'))
  for (const node of site.nodes) expect(await node.installed()).toEqual(await readTree(source))
}, 120_000)

async function bytesOverWan({ nodes }: Site): Promise<number> {
  const statuses = await Promise.all(nodes.map(node => node.status()))
  return statuses.reduce((sum, { bytes }) => sum + bytes.wan, 0)
}

async function hasAll({ status }: Site['nodes'][number]): Promise<boolean> {
  const { activity, progress } = await status()
  return activity !== 'obtaining' || progress?.piecesHave === progress?.piecesTotal
}
