/** Two channels of one node whose releases are the same bytes: one artifact, one exchange, two installations. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { controlClient } from '../../src/cli/control-client.ts'
import { MiB } from '../../src/core/units.ts'
import { writePayload } from '../support/payload.ts'
import { contents, readTree } from '../support/scratch.ts'
import { openSite, type SiteNode } from '../support/site.ts'

const updateAll = ({ socket }: SiteNode) => controlClient(socket).update(undefined)

test('both are installed, whichever asks first; also when both are served again after a restart', async () => {
  const site = await openSite({ nodes: 3, channels: { other: { path: 'other' } } })
  const tree = async (node: SiteNode) => contents(await readTree(join(node.target, '../other/current')))
  for (const seed of [1, 2, 3]) {
    const source = await writePayload(site.home, 2 * MiB, seed)
    await site.publish(source)
    await site.publish(source, undefined, { to: 'other' })
    const wanted = contents(await readTree(source))
    for (const results of await Promise.all(site.nodes.map(updateAll)))
      expect(results).toEqual(
        results.map(({ channel }) => ({ channel, outcome: 'installed', sequence: seed, error: null })),
      )
    for (const node of site.nodes)
      expect([contents(await node.installed()), await tree(node)]).toEqual([wanted, wanted])
    await site.nodes[0]!.stop()
    await site.nodes[0]!.start()
  }
  expect((await updateAll(site.nodes[0]!)).map(({ outcome, error }) => [outcome, error])).toEqual([
    ['current', null],
    ['current', null],
  ])
}, 240_000)
