/** What an admin sees and says when a release is bad: a real node, whose consumer does not work with every release. */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { controlClient } from '../../src/cli/control-client.ts'
import { contents, writeTree } from '../support/scratch.ts'
import { channel, openSite } from '../support/site.ts'

/** A site of one node whose consumer works with no file that says `bad`, and an order to publish such files. */
async function oneNode() {
  const health = ['/bin/sh', '-c', 'grep -q good "$SIGMESH_CURRENT/rules" || { echo "canary not FOUND"; exit 1; }']
  const site = await openSite({ nodes: 1, node: { retry_s: 3600 }, channel: () => ({ health, health_timeout_s: 1 }) })
  const node = site.nodes[0]!
  const client = controlClient(join(node.target, '..', 'control.sock'))
  const publish = async (rules: string) => site.publish(await writeTree(join(site.home, 'source'), { rules }))
  const rules = async () => contents(await node.installed()).rules
  return { node, client, publish, rules }
}

test('a release that fails its health check is rolled back, told everywhere, and tried again only when told to, or for a newer one', async () => {
  const { node, client, publish, rules } = await oneNode()
  await publish('good 1')
  expect(await node.update()).toMatchObject({ outcome: 'installed', sequence: 1, error: null })
  await publish('bad 2')
  const error = {
    code: 'install_rolled_back',
    message: expect.stringMatching(/canary not FOUND; rolled back to release 1$/),
  }
  expect(await node.update()).toMatchObject({ outcome: 'failed', sequence: 1, error })
  expect(await rules()).toBe('good 1')
  await node.stop()
  await node.start()
  // The cycles go on; the failure stays what it was, and costs nothing.
  expect(await node.update()).toMatchObject({ outcome: 'current', sequence: 1, error })
  const status = await node.status()
  expect(status).toMatchObject({ installed: { sequence: 1 }, offered: { sequence: 2 }, failure: error, hold: null })
  expect(status.refused).toMatchObject({ sequence: 2, code: 'install_rolled_back' })
  expect((await node.history()).map(({ outcome }) => outcome)).toEqual(['installed', 'failed'])
  expect(await client.update(channel, undefined, true)).toMatchObject([{ outcome: 'failed', error }])
  await publish('good 3')
  expect(await node.update()).toMatchObject({ outcome: 'installed', sequence: 3, error: null })
  expect(await node.status()).toMatchObject({ installed: { sequence: 3 }, refused: null, failure: null })
})

test('an admin rolls back and holds: the node stays there, says so, and goes on when released', async () => {
  const { node, client, publish, rules } = await oneNode()
  await publish('good 1')
  await node.update()
  expect(await client.rollBack(channel)).toMatchObject({ outcome: 'failed', error: { code: 'rollback_unavailable' } })
  expect(await node.status()).toMatchObject({ failure: null })
  await publish('good 2')
  await node.update()
  expect(await client.rollBack(channel)).toMatchObject({ outcome: 'installed', sequence: 1, error: null })
  expect(await rules()).toBe('good 1')
  expect(await node.update()).toMatchObject({ outcome: 'current', sequence: 1, error: null })
  expect(await node.status()).toMatchObject({ refused: { sequence: 2, code: null }, failure: null })
  expect(await client.hold(channel, null)).toMatchObject({ hold: { until: null } })
  await publish('good 3')
  await node.stop()
  await node.start()
  expect(await node.update()).toMatchObject({ outcome: 'current', sequence: 1 })
  expect(await node.status()).toMatchObject({
    hold: { until: null },
    offered: { sequence: 3 },
    installed: { sequence: 1 },
  })
  expect(await client.release(channel)).toEqual({ channel, hold: null })
  expect(await node.update()).toMatchObject({ outcome: 'installed', sequence: 3 })
  await expect(client.rollBack('other')).rejects.toMatchObject({ code: 'daemon_refused' })
})

test('a damaged tree is repaired though what is newest was refused', async () => {
  const { node, publish, rules } = await oneNode()
  await publish('good 1')
  await node.update()
  await publish('bad 2')
  await node.update()
  await writeFile(join(node.target, 'current/rules'), '')
  expect(await node.update()).toMatchObject({ outcome: 'installed', sequence: 1 })
  expect(await rules()).toBe('good 1')
  await rm(join(node.target, 'current/rules'))
  expect(await node.update()).toMatchObject({ outcome: 'installed', sequence: 1 })
  expect(await rules()).toBe('good 1')
})
