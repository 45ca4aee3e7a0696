/** The whole way of the data on one loopback site: published, dealt, swarmed, verified, installed, told. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { MiB } from '../../src/core/units.ts'
import { writePayload } from '../support/payload.ts'
import { contents, readTree, scratchDir } from '../support/scratch.ts'
import { channel, openSite } from '../support/site.ts'

describe('three nodes of one site', () => {
  test('get a release and then the next one; status, history and peers say what happened', async () => {
    const site = await openSite({ nodes: 3 })
    const first = await writePayload(site.home, 6 * MiB, 1)
    await site.publish(first, 'first')
    const results = await Promise.all(site.nodes.map(node => node.update()))
    expect(results).toEqual(results.map(() => ({ channel, outcome: 'installed', sequence: 1, error: null })))

    const wanted = await readTree(first)
    for (const node of site.nodes) expect(contents(await node.installed())).toEqual(contents(wanted))

    const statuses = await Promise.all(site.nodes.map(node => node.status()))
    for (const status of statuses) {
      expect(status).toMatchObject({
        activity: 'idle',
        failure: null,
        progress: null,
        installed: { sequence: 1, label: 'first' },
      })
      expect(status.bytes.wan + status.bytes.lanIn).toBe(status.serving!.bytes)
    }
    const payload = statuses[0]!.serving!.bytes
    expect(site.origin.stats().artifactBytes).toBeLessThanOrEqual(payload * 1.05)
    const [out, into] = (['lanOut', 'lanIn'] as const).map(way =>
      statuses.reduce((sum, { bytes }) => sum + bytes[way], 0),
    )
    expect(out).toBeGreaterThanOrEqual(into!)
    expect((await site.nodes[0]!.peers()).length).toBeGreaterThan(0)
    expect(
      site.origin
        .reports()
        .map(({ node, outcome, sequence }) => [node, outcome, sequence])
        .sort(),
    ).toEqual(site.nodes.map(({ name }) => [name, 'installed', 1]))

    const second = await writePayload(site.home, 6 * MiB, 2)
    await site.publish(second)
    await Promise.all(site.nodes.map(node => node.update()))
    for (const node of site.nodes) expect(contents(await node.installed())).toEqual(contents(await readTree(second)))
    const history = await site.nodes[0]!.history()
    expect(history.map(({ outcome, sequence, label }) => [outcome, sequence, label])).toEqual([
      ['installed', 1, 'first'],
      ['installed', 2, null],
    ])
    expect(await site.nodes[0]!.update()).toMatchObject({ outcome: 'current', sequence: 2 })
  })

  test('a node that comes a day later gets everything from its neighbours, who serve on after a restart', async () => {
    const site = await openSite({ nodes: 3 })
    const source = await writePayload(site.home, 3 * MiB, 1)
    await site.publish(source)
    const [early, other, late] = site.nodes
    await Promise.all([early!.update(), other!.update()])
    await early!.stop()
    await other!.stop()
    await early!.start()
    await other!.start()
    await expect.poll(async () => (await early!.status()).serving).not.toBeNull()
    await expect.poll(() => site.origin.stats().tracker.peers, { timeout: 60_000 }).toBeGreaterThanOrEqual(2)

    const before = site.origin.stats().artifactBytes
    expect(await late!.update()).toMatchObject({ outcome: 'installed', sequence: 1 })
    expect(contents(await late!.installed())).toEqual(contents(await readTree(source)))
    expect(site.origin.stats().artifactBytes).toBe(before)
    expect((await late!.status()).bytes.wan).toBe(0)
  })

  test('figures, history and the failure that stands survive a restart', async () => {
    const site = await openSite({ nodes: 1 })
    const node = site.nodes[0]!
    await site.publish(await writePayload(site.home, MiB, 1))
    await node.update()
    await site.stopOrigin()
    expect(await node.update()).toMatchObject({ outcome: 'failed', sequence: 1, error: { code: 'origin_unreachable' } })
    const before = await node.status()
    await node.stop()
    await node.start()
    const after = await node.status()
    expect(after).toMatchObject({ bytes: before.bytes, failure: before.failure, lastSuccess: before.lastSuccess })
    expect(after.installed).toEqual(before.installed)
    expect(await node.history()).toHaveLength(2)
  })
})

test('an installed tree that somebody damages is put right by the next start', async () => {
  const site = await openSite({ nodes: 1 })
  const node = site.nodes[0]!
  const source = await writePayload(site.home, MiB, 1)
  await site.publish(source)
  await node.update()
  const victim = join(node.target, 'current', 'daily.ndb')
  const bytes = await readFile(victim)
  bytes[1000]! ^= 1
  await rm(victim)
  await writeFile(victim, bytes)
  await node.stop()
  await node.start()
  expect(await node.update()).toMatchObject({ outcome: 'installed', sequence: 1 })
  expect(contents(await node.installed())).toEqual(contents(await readTree(source)))
})

test('a release that is one file is installed as that file', async () => {
  const site = await openSite({ nodes: 1 })
  const file = join(await scratchDir(), 'rules.yar')
  await writeFile(file, 'rule nothing { condition: false }\n')
  await site.publish(file)
  await site.nodes[0]!.update()
  expect(contents(await site.nodes[0]!.installed())).toEqual({ 'rules.yar': 'rule nothing { condition: false }\n' })
})

test('a site may mix engines: each fetches from the other', async () => {
  const engine = (name: string) => ({ engine: name === 'node-1' ? 'native' : 'webtorrent' })
  const site = await openSite({ nodes: 2, seats: 1, node: engine })
  for (const [sequence, first] of [
    [1, 0],
    [2, 1],
  ] as const) {
    await site.publish(await writePayload(site.home, 2 * MiB, sequence))
    await site.nodes[first]!.update()
    const sent = site.origin.stats().artifactBytes
    expect(await site.nodes[1 - first]!.update()).toMatchObject({ outcome: 'installed', sequence })
    expect(site.origin.stats().artifactBytes).toBe(sent)
  }
}, 240_000)
