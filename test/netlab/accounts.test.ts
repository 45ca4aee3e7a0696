/** What `sigmesh status` says of bytes, against what the interfaces of the machines and of the line have counted. */
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Company } from '../../bench/netlab/company.ts'
import type { Machine } from '../../bench/netlab/machine.ts'
import { KiB, MiB } from '../../src/core/units.ts'
import { needsNetlab } from '../support/needs.ts'

/** Ethernet, IPv4, TCP with timestamps. */
const frameHeaderBytes = 66
const payload = 2 * MiB

/** Bytes on TCP, as the interface tells them: of each packet that it has counted, without its headers. */
async function counted({ host }: Machine) {
  const [link] = JSON.parse(await host.run('ip', '-j', '-s', 'link', 'show', 'dev', 'lan'))
  const { rx, tx } = link.stats64
  return {
    bytesIn: rx.bytes - frameHeaderBytes * rx.packets,
    bytesOut: tx.bytes - frameHeaderBytes * tx.packets,
    packets: rx.packets + tx.packets,
  }
}

async function told({ control }: Machine) {
  const { wan, lan } = (await control.status()).traffic
  return { bytesIn: wan.bytesIn + lan.bytesIn, bytesOut: wan.bytesOut + lan.bytesOut, wan, lan }
}

/** Both at one moment: looked at again when something has moved meanwhile. */
async function looked(machine: Machine) {
  for (;;) {
    const [before, ours, kernel] = [await counted(machine), await told(machine), await counted(machine)]
    if (before.packets === kernel.packets) return { kernel, ours }
  }
}

describe.skipIf(!needsNetlab())('neighbours', () => {
  test('a firewall on one machine: whom it asks says that it cannot be dialled, and the others can', async () => {
    const company = await Company.open({ branches: [{ hosts: 2, line: { mbit: 50, latencyMs: 10 } }] })
    onTestFinished(() => company.stop())
    const [walled, open] = company.machines
    for (const { control } of company.machines)
      await expect.poll(async () => (await control.status()).beacon!.neighbours).toBe(1)
    await walled!.host.run(
      'nft',
      'table ip wall { chain in { type filter hook input priority 0; tcp dport 6889 drop; }; }',
    )
    expect(await walled!.control.reach()).toMatchObject([{ node: open!.name, outcome: 'timeout' }])
    expect(await open!.control.reach()).toMatchObject([{ node: walled!.name, outcome: 'reached' }])
    await walled!.host.run('nft', 'flush ruleset')
    await walled!.host.run(
      'nft',
      'table ip wall { chain in { type filter hook input priority 0; tcp dport 6890 drop; }; }',
    )
    expect(await open!.control.reach()).toMatchObject([{ outcome: 'silent' }])
  }, 60_000)
})

describe.skipIf(!needsNetlab())('accounts', () => {
  test('every byte of the interfaces is in the accounts of the nodes, and the parts are the sum', async () => {
    const company = await Company.open({
      branches: [{ hosts: 3, line: { mbit: 50, latencyMs: 10 } }],
      node: () => ({ push: false }),
    })
    onTestFinished(() => company.stop())
    const { line } = company.lab.branches[0]!
    const look = async () => ({
      machines: await Promise.all(company.machines.map(looked)),
      line: (await line.count()).down,
    })
    for (const { control } of company.machines)
      await expect.poll(async () => (await control.status()).beacon!.neighbours).toBe(2)
    const before = await look()
    const source = join(company.home, 'source')
    await mkdir(source)
    await writeFile(join(source, 'noise'), randomBytes(payload))
    await company.publish(source)
    // One is told; the others hear it from there, and ask there for metadata before they ask the origin.
    const [first, ...others] = company.machines
    await first!.control.update(undefined)
    await Promise.all(others.map(({ control }) => control.update(undefined)))
    const after = await look()
    expect(after.machines.reduce((sum, { ours }) => sum + ours.lan.metadata.bytesOut, 0)).toBeGreaterThan(8 * KiB)

    for (const [at, { kernel, ours }] of after.machines.entries()) {
      const start = before.machines[at]!
      for (const way of ['bytesIn', 'bytesOut'] as const) {
        const difference = ours[way] - start.ours[way] - (kernel[way] - start.kernel[way])
        // Frames of another size: the first of a connection, acknowledgements of what came out of order, ARP, beacons.
        const packets = kernel.packets - start.kernel.packets
        expect(Math.abs(difference), `${way} of machine ${at}`).toBeLessThan(packets + 2 * KiB)
      }
      const { payload, metadata, seats, tracker, news, reports, protocol } = ours.wan
      const parts = [payload, metadata, seats, tracker, news, reports, protocol]
      expect(parts.reduce((sum, { bytesIn }) => sum + bytesIn, 0)).toBe(ours.wan.bytesIn)
      const { pieces, metadata: shown, beacons, neighbours } = ours.lan
      expect(pieces.bytesOut + shown.bytesOut + beacons.bytesOut).toBe(ours.lan.bytesOut)
      expect(neighbours.reduce((sum, { bytesOut }) => sum + bytesOut, beacons.bytesOut)).toBe(ours.lan.bytesOut)
      expect(beacons.bytesIn).toBeGreaterThan(0)
      // Who says to have talked to somebody is named by that one too.
      const named = ours.lan.neighbours.map(({ address }) => address).sort()
      const naming = after.machines.flatMap(({ ours: { lan } }, other) => {
        const names = lan.neighbours.some(({ address }) => address === company.machines[at]!.host.address)
        return names ? [company.machines[other]!.host.address] : []
      })
      expect(named).toEqual(naming.sort())
      expect(named.length).toBeGreaterThan(0)
    }

    const sum = (all: typeof after.machines, of: (wan: (typeof all)[number]['ours']['wan']) => number) =>
      all.reduce((total, { ours }) => total + of(ours.wan), 0)
    const gained = (of: Parameters<typeof sum>[1]) => sum(after.machines, of) - sum(before.machines, of)
    // One copy, and what the line has carried for all of them together.
    expect(gained(({ payload }) => payload.bytesIn) / payload).toBeLessThan(1.05)
    const onLine = after.line.bytes - before.line.bytes - frameHeaderBytes * (after.line.frames - before.line.frames)
    expect(Math.abs(gained(({ bytesIn }) => bytesIn) - onLine)).toBeLessThan(0.01 * payload)
  }, 120_000)
})
