/** The key of a site's beacons: one for all nodes of a site, another after a revocation. */
import { expect, test } from 'vitest'
import { type EnrolledNode, enrol, refusalIn, registryOf } from '../support/enrolled.ts'
import { openOrigin } from '../support/origin-fixture.ts'

const closed = { config: { join: 'required' } }

async function keyOf(node: EnrolledNode, site = 'berlin'): Promise<{ key: string; generation: number }> {
  const answer = await node.post('/v1/site-key', { node: node.name, site, lan: '10.1.2.7' })
  expect(answer.status).toBe(200)
  return JSON.parse(answer.body.toString())
}

test('the nodes of a site have one key, those of another site another, also after a restart of the origin', async () => {
  const fixture = await openOrigin(closed)
  const [a, b, c] = [enrol(fixture, 'a'), enrol(fixture, 'b'), enrol(fixture, 'c', 'paris')]
  const berlin = await keyOf(a)
  expect(await keyOf(b)).toEqual(berlin)
  expect((await keyOf(c, 'paris')).key).not.toBe(berlin.key)
  await fixture.origin.stop()
  const again = await openOrigin({ ...closed, home: fixture.home, repository: fixture.repository })
  expect((await keyOf(enrol(again, 'd'))).key).toBe(berlin.key)
})

test('a node is revoked: its site has another key, which it does not get; other sites keep theirs', async () => {
  const fixture = await openOrigin(closed)
  const [a, thief, c] = [enrol(fixture, 'a'), enrol(fixture, 'thief'), enrol(fixture, 'c', 'paris')]
  const [before, paris] = [await keyOf(a), await keyOf(c, 'paris')]
  registryOf(fixture).revoke('thief', Date.now())
  const after = await keyOf(a)
  expect(after.key).not.toBe(before.key)
  expect(after.generation).toBeGreaterThan(before.generation)
  expect((await keyOf(c, 'paris')).key).toBe(paris.key)
  const refused = await thief.post('/v1/site-key', { node: 'thief', site: 'berlin' })
  expect(refusalIn(refused)).toEqual([403, 'identity_revoked'])
})

test('nobody gets the key of a site that is not its own', async () => {
  const fixture = await openOrigin(closed)
  const node = enrol(fixture, 'a')
  expect(refusalIn(await node.post('/v1/site-key', { node: 'a', site: 'paris' }))).toEqual([403, 'other_node'])
  expect(refusalIn(await fixture.post('/v1/site-key', { node: 'a', site: 'berlin' }))).toEqual([
    401,
    'identity_required',
  ])
  expect(refusalIn(await node.post('/v1/site-key', {}))).toEqual([400, 'bad_request'])
})
