/** kill -9 at bad moments. Nodes are processes here, and what they leave on the disk is all that the next one knows. */
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { fileThread, record, tamper } from '../../bench/crash/strace.ts'
import { MiB } from '../../src/core/units.ts'
import { needs } from '../support/needs.ts'
import { writePayload } from '../support/payload.ts'
import { openSite } from '../support/site.ts'

const line = { bytesPerSecond: 3 * MiB, latencyMs: 5 }

test('killed in mid-transfer, a node finishes after its restart and fetches no piece twice', async () => {
  const site = await openSite({ nodes: 1, line, processes: true })
  const node = site.nodes[0]!
  await site.publish(await writePayload(site.home, 12 * MiB, 1))
  const cut = node.update().catch(() => 'killed')
  let had = 0
  for (let far = 0; far < 0.4; ) {
    const { progress } = await node.status()
    had = progress?.bytesHave ?? 0
    far = progress ? had / progress.bytesTotal : 0
  }
  await node.kill()
  expect(await cut).toBe('killed')

  const sent = site.origin.stats().artifactBytes
  await node.start()
  expect(await node.update()).toMatchObject({ outcome: 'installed', sequence: 1 })
  const { serving } = await node.status()
  const again = site.origin.stats().artifactBytes - sent
  expect(had).toBeGreaterThan(0)
  // What it had stored is not fetched again; only what was on its way when it died.
  expect(again).toBeLessThanOrEqual(serving!.bytes - had)
})

test.skipIf(!needs('strace'))(
  'killed at a system call, or failed by the disk, a node has the old release or the new one, tells which, and gets to the new one',
  async () => {
    vi.stubEnv('UV_THREADPOOL_SIZE', '1') // see bench/crash/strace.ts
    onTestFinished(() => void vi.unstubAllEnvs())
    const site = await openSite({ nodes: 1, processes: true })
    const node = site.nodes[0]!
    const folder = join(node.stateDir, '..')
    let sequence = 0
    const publishNext = async () => site.publish(await writePayload(site.home, 1 * MiB, ++sequence))
    const version = async () => /release (\d+)/.exec((await node.installed())!['meta/version.txt']!)?.[1]
    for (let first = 0; first < 2; first++) {
      await publishNext()
      await node.update()
    }
    await publishNext()
    const recorded = await record(fileThread(node.pid()), folder, join(site.home, 'calls'))
    await node.update()
    const calls = (await recorded({ goesOn: true })).filter(({ name }) => name !== 'write')
    expect(calls.length).toBeGreaterThan(80)

    for (const [at, fault] of (['KILL', 'ENOSPC', 'KILL', 'EIO', 'KILL', 'KILL'] as const).entries()) {
      await publishNext()
      const call = calls[Math.floor(((at + 0.7) / 6) * calls.length)]!
      const met = await tamper(fileThread(node.pid()), folder, join(site.home, 'calls'), call, fault)
      const result = await node.update().catch(() => undefined)
      // What it was exactly depends on who comes first of those that wait for the disk: it is enough that it was one of this node's calls.
      expect(await met({ goesOn: fault !== 'KILL' }), call.words).toContain('HOME')
      if (fault === 'KILL') {
        expect(result).toBeUndefined()
        await node.kill()
        await node.start()
      }
      if (result?.error) expect(result.error.code).toBe(fault === 'ENOSPC' ? 'disk_full' : 'disk_failed')
      const { installed } = await node.status()
      expect([sequence - 1, sequence]).toContain(installed!.sequence)
      expect(await version()).toBe(String(installed!.sequence))
      expect(await node.update()).toMatchObject({ sequence, error: null })
      expect(await version()).toBe(String(sequence))
    }
  },
)
