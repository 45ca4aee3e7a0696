/** A node whose whole disk is a few megabytes, and gets full. Root only. */
import { cp, mkdir, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { KiB, MiB } from '../../src/core/units.ts'
import { writePayload } from '../support/payload.ts'
import { openSite, type SiteNode } from '../support/site.ts'
import { canMount, mountPoint } from '../support/small-disk.ts'

/** Put state and releases of a node that is stopped on one tmpfs. */
async function moveToSmallDisk({ stateDir, target }: SiteNode, bytes: number) {
  const disk = join(stateDir, '../disk')
  await mkdir(disk)
  mountPoint(disk, '-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs')
  for (const [name, path] of [
    ['state', stateDir],
    ['target', target],
  ] as const) {
    await mkdir(path, { recursive: true })
    await cp(path, join(disk, name), { recursive: true })
    mountPoint(path, '--bind', join(disk, name))
  }
  const ballast = join(disk, 'ballast')
  return {
    /** To the last byte. */
    fill: () => writeFile(ballast, Buffer.alloc(bytes)).catch(() => {}),
    empty: () => rm(ballast),
    free: async () => {
      const { bavail, bsize } = await statfs(disk)
      return bavail * bsize
    },
  }
}

test.skipIf(!canMount).each([1, 8])(
  'a disk of %d MiB gets full: the daemon stays up, the old release stays, and the new one comes when there is space',
  async megabytes => {
    const site = await openSite({ nodes: 1, processes: true })
    const node = site.nodes[0]!
    await node.stop()
    const disk = await moveToSmallDisk(node, megabytes * MiB)
    await node.start()
    const publish = async (sequence: number, bytes: number) =>
      site.publish(await writePayload(site.home, bytes, sequence), `release ${sequence}`)
    const small = megabytes * 100 * KiB
    await publish(1, small)
    expect(await node.update()).toMatchObject({ outcome: 'installed', sequence: 1, error: null })
    const old = await node.installed()
    const full = { outcome: 'failed', sequence: 1, error: { code: 'disk_full' } }

    await publish(2, small)
    await disk.fill()
    expect(await disk.free()).toBe(0)
    expect(await node.update()).toMatchObject(full)
    expect(await node.update()).toMatchObject(full)
    await node.kill()
    await node.start()
    expect(await node.status()).toMatchObject({ installed: { sequence: 1 } })
    expect(await node.update()).toMatchObject(full)
    expect(await node.installed()).toEqual(old)
    await disk.empty()
    expect(await node.update()).toMatchObject({ outcome: 'installed', sequence: 2, error: null })

    const two = await node.installed()
    const sent = site.origin.stats().artifactBytes
    await publish(3, megabytes * MiB)
    const tooLarge = await node.update()
    expect(tooLarge).toMatchObject({ outcome: 'failed', sequence: 2, error: { code: 'disk_full' } })
    expect(tooLarge.error!.message).toMatch(/needs [\d.]+ [KM]iB.*[\d.]+ [KM]?i?B free/)
    expect(site.origin.stats().artifactBytes).toBe(sent) // refused before the first byte
    expect(await node.installed()).toEqual(two)
    await publish(4, small)
    expect(await node.update()).toMatchObject({ outcome: 'installed', sequence: 4, error: null })
    await node.stop()
  },
)
