/** A branch whose nodes hear each other: one is told, all know; the line is dead, the branch goes on. */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { KiB, MiB } from '../../src/core/units.ts'
import { writePayload } from '../support/payload.ts'
import { contents, readTree } from '../support/scratch.ts'
import { openSite, type Site, type SiteNode } from '../support/site.ts'

const never = { push: false, schedule: '0 0 1 1 *', check_on_start: false }

async function installs(nodes: readonly SiteNode[], source: string): Promise<void> {
  const wanted = contents(await readTree(source))
  for (const node of nodes) await expect.poll(async () => contents((await node.installed()) ?? {})).toEqual(wanted)
}

/** Until each has heard each other. */
async function acquainted(site: Site, nodes = site.nodes): Promise<void> {
  for (const node of nodes)
    await expect.poll(async () => (await node.nodeStatus()).beacon!.neighbours).toBe(nodes.length - 1)
}

test('the origin tells one node; the others hear it from there, and fetch the metadata from there too', async () => {
  const site = await openSite({
    nodes: 5,
    beacon: true,
    origin: { listeners_per_site: 1 },
    node: { ...never, push: true },
  })
  await acquainted(site)
  await expect.poll(() => site.origin.stats().listeners.flatMap(({ nodes }) => nodes)).toHaveLength(1)
  const source = await writePayload(site.home, 10 * KiB, 1)
  await site.publish(source)
  await installs(site.nodes, source)

  const heard = await Promise.all(site.nodes.map(node => node.nodeStatus()))
  const listening = heard.filter(({ push }) => push.state === 'listening').map(({ node }) => node)
  expect(listening).toHaveLength(1)
  expect(heard.filter(({ push }) => push.state === 'spared')).toHaveLength(4)
  const names = heard.map(({ node }) => node)
  for (const { node, metadata } of heard) {
    if (node === listening[0]) expect(metadata.from).toBe('origin')
    else expect(names.filter(name => name !== node)).toContain(metadata.from)
  }

  // What one has fetched from neighbours, others have shown: both ends have it in their books, by purpose and by neighbour.
  const books = async () =>
    (await Promise.all(site.nodes.map(node => node.nodeStatus()))).map(({ traffic }) => traffic.lan)
  await expect
    .poll(async () => {
      const flows = (await books()).map(({ metadata }) => metadata)
      const sum = (way: 'bytesIn' | 'bytesOut') => flows.reduce((total, flow) => total + flow[way], 0)
      return [sum('bytesIn') - sum('bytesOut'), sum('bytesIn') > 10 * KiB]
    })
    .toEqual([0, true])
  for (const { bytesOut, pieces, metadata, beacons, neighbours } of await books()) {
    expect(pieces.bytesOut + metadata.bytesOut + beacons.bytesOut).toBe(bytesOut)
    expect(neighbours.reduce((total, flow) => total + flow.bytesOut, beacons.bytesOut)).toBe(bytesOut)
    expect(beacons.bytesOut).toBeGreaterThan(0)
  }
})

test('a small artifact comes from a neighbour beside its torrent: no piece goes by the swarm, and both have it in their books', async () => {
  const site = await openSite({ nodes: 2, beacon: true, node: never })
  const [ahead, behind] = site.nodes
  await site.publish(await writePayload(site.home, 10 * KiB, 1))
  await Promise.all(site.nodes.map(node => node.update()))
  await behind!.stop()
  const source = await writePayload(site.home, 10 * KiB, 2)
  await site.publish(source)
  await ahead!.update()
  await site.stopOrigin()
  const before = (await ahead!.status()).bytes

  await behind!.start()
  await installs([behind!], source)
  const given = async () => (await ahead!.status()).bytes.lanOut - before.lanOut
  await expect.poll(given).toBeGreaterThan(10 * KiB)
  const { lan, wan } = (await behind!.nodeStatus()).traffic
  expect(lan.pieces.bytesIn).toBe(0)
  expect(lan.metadata.bytesIn).toBeGreaterThan(await given())
  expect(wan.payload.bytesIn).toBe(0)
})

test('the line is dead, and one node has what the others lack: it is enough that it is there', async () => {
  const site = await openSite({ nodes: 4, beacon: true, node: never })
  const [ahead, ...behind] = site.nodes
  await site.publish(await writePayload(site.home, MiB, 1))
  await Promise.all(site.nodes.map(node => node.update()))
  for (const node of behind) await node.stop()
  const source = await writePayload(site.home, MiB, 2)
  await site.publish(source)
  await ahead!.update()
  await site.stopOrigin()

  await Promise.all(behind.map(node => node.start()))
  await installs(behind, source)
  for (const node of behind) {
    const { bytes } = await node.status()
    expect(bytes.wan + bytes.lanIn).toBeGreaterThanOrEqual((await node.status()).serving!.bytes)
    expect((await node.nodeStatus()).metadata.from).toMatch(/^(node-\d|cache)$/)
  }
})

test('nothing newer is known and the origin is away: that shows as a failure, whatever the neighbours say', async () => {
  const site = await openSite({ nodes: 2, beacon: true, node: never })
  await site.publish(await writePayload(site.home, 10 * KiB, 1))
  await Promise.all(site.nodes.map(node => node.update()))
  await acquainted(site)
  await site.stopOrigin()
  expect(await site.nodes[0]!.update()).toMatchObject({ outcome: 'failed', error: { code: 'origin_unreachable' } })
  expect((await site.nodes[0]!.status()).installed).toMatchObject({ sequence: 1 })
})

test('a node that has never seen a release starts in a branch whose line is dead: it gets the newest that any neighbour has', async () => {
  const site = await openSite({ nodes: 3, beacon: true, node: { ...never, check_on_start: true } })
  const fresh = site.nodes[2]!
  await fresh.stop()
  for (const left of await readdir(fresh.stateDir))
    if (!['identity.json', 'site-key.json'].includes(left)) await rm(join(fresh.stateDir, left), { recursive: true })
  const source = await writePayload(site.home, MiB, 1)
  await site.publish(source)
  await site.nodes[0]!.update()
  await site.stopOrigin()
  await fresh.start()
  await installs([site.nodes[1]!, fresh], source)
  expect((await fresh.status()).bytes.wan).toBe(0)
})

test('a revoked node is heard no more, and hears no more, as soon as the others have another key', async () => {
  const site = await openSite({ nodes: 3, beacon: true, node: { ...never, push: true } })
  await acquainted(site)
  const [first, second, thief] = site.nodes
  await site.revoke(thief!.name)
  for (const [node, other] of [
    [first!, second!],
    [second!, first!],
  ] as const)
    await expect
      .poll(async () => (await node.nodeStatus()).beacon!.heardLast.map(({ node: name }) => name))
      .toEqual([other.name])
  const source = await writePayload(site.home, 10 * KiB, 1)
  await site.publish(source)
  await installs([first!, second!], source)
  expect(await thief!.installed()).toBeUndefined()
})
