/** What is wrong with one channel, or with the room on the disk, and what must go on all the same. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { controlClient } from '../../src/cli/control-client.ts'
import { MiB } from '../../src/core/units.ts'
import { lockDirectory } from '../../src/store/directory-lock.ts'
import { noise, writePayload } from '../support/payload.ts'
import { contents, readTree, writeTree } from '../support/scratch.ts'
import { channel, openSite, type Site, type SiteNode } from '../support/site.ts'

const impatient = { retry_s: 1 }

/** A site of one node with a second channel that is out of order before the node starts; both channels have a release. */
async function siteWith(breakIt: (path: string) => Promise<unknown>) {
  const site = await openSite({ nodes: 1, node: impatient, channels: { other: { path: 'parent/other' } } })
  const node = site.nodes[0]!
  await node.stop()
  const path = join(node.target, '..', 'parent', 'other')
  await rm(join(path, '..'), { recursive: true })
  await breakIt(path)
  await site.publish(await writePayload(site.home, MiB, 1))
  await publishOther(site)
  await node.start()
  return { site, node, path }
}

async function publishOther(site: Site): Promise<void> {
  const source = await writeTree(join(site.home, 'other'), { 'rules.yar': 'rule nothing { condition: false }\n' })
  await site.publish(source, undefined, { to: 'other' })
}

const statusOf = async (node: SiteNode, name: string) =>
  (await controlClient(join(node.target, '..', 'control.sock')).status()).channels.find(each => each.channel === name)!

describe('the directory of one channel cannot be used', () => {
  test.each<[string, RegExp, (path: string) => Promise<() => Promise<unknown>>]>([
    [
      'its parent is a file',
      /^disk_failed$/,
      async path => {
        await writeFile(join(path, '..'), '')
        return () => rm(join(path, '..'))
      },
    ],
    [
      'another process installs there',
      /^state_busy$/,
      async path => {
        await mkdir(join(path, '.sigmesh'), { recursive: true, mode: 0o700 })
        const lock = await lockDirectory(join(path, '.sigmesh'))
        return () => lock.stop()
      },
    ],
    [
      'it holds the releases of another channel',
      /^install_failed$/,
      async path => {
        const record = {
          format: 1,
          channel: 'third',
          installed: null,
          previous: null,
          next: null,
          reloadPending: false,
        }
        await writeTree(path, { '.sigmesh/install.json': JSON.stringify(record) })
        return () => rm(path, { recursive: true })
      },
    ],
  ])(
    '%s: the node runs, status says so at once, the other channel installs, and this one when it is mended',
    async (_, code, breakIt) => {
      let mend: (() => Promise<unknown>) | undefined
      const { node, path } = await siteWith(async target => {
        mend = await breakIt(target)
      })
      expect(await statusOf(node, 'other')).toMatchObject({
        installed: null,
        failure: {
          code: expect.stringMatching(code),
          message: expect.stringContaining(path.slice(0, -'/other'.length)),
        },
      })
      const client = controlClient(join(node.target, '..', 'control.sock'))
      expect(await client.update(undefined)).toMatchObject([
        { channel, outcome: 'installed', sequence: 1 },
        { channel: 'other', outcome: 'failed', sequence: 0, error: { code: expect.stringMatching(code) } },
      ])
      await mend!()
      await expect.poll(async () => (await statusOf(node, 'other')).installed?.sequence, { timeout: 20_000 }).toBe(1)
      await expect.poll(async () => (await statusOf(node, 'other')).failure).toBeNull()
      expect(await readFile(join(path, 'current', 'rules.yar'), 'latin1')).toContain('rule nothing')
    },
  )
})

test('the directory of a channel is removed under the running node: it is made and filled again', async () => {
  const site = await openSite({ nodes: 1, node: impatient })
  const node = site.nodes[0]!
  const source = await writePayload(site.home, MiB, 1)
  await site.publish(source)
  await node.update()
  await rm(node.target, { recursive: true })
  await node.update()
  await expect.poll(async () => (await node.status()).installed?.sequence, { timeout: 20_000 }).toBe(1)
  expect(contents(await node.installed())).toEqual(contents(await readTree(source)))
})

test('a release that will never fit the quota: what is in place is served on', async () => {
  const site = await openSite({ nodes: 1, node: { store: { quota_mib: 16 } } })
  const node = site.nodes[0]!
  await site.publish(await writePayload(site.home, 2 * MiB, 1))
  await node.update()
  const { serving } = await node.status()
  await site.publish(await writePayload(site.home, 17 * MiB, 2))
  expect(await node.update()).toMatchObject({ outcome: 'failed', sequence: 1, error: { code: 'quota_exceeded' } })
  expect(await node.status()).toMatchObject({ serving, installed: { sequence: 1 } })
})

test('a node that is stopped before it could serve again what it served, does so after the next start', async () => {
  const site = await openSite({ nodes: 1 })
  const node = site.nodes[0]!
  await writeTree(join(site.home, 'big'), { data: noise(24 * MiB, 1) })
  await site.publish(join(site.home, 'big'))
  await node.update()
  const { serving } = await node.status()
  await node.stop()
  await node.start()
  await node.stop() // it had no time to look through the pieces
  await node.start()
  await expect.poll(async () => (await node.status()).serving, { timeout: 20_000 }).toEqual(serving)
})
