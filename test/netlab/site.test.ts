/** What the company is about, on the interface of a line: one copy for a branch, none from branch to branch, and the frames are few. */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Company } from '../../bench/netlab/company.ts'
import { namespaces } from '../../bench/netlab/namespaces.ts'
import { lineSince } from '../../bench/site/branch.ts'
import { MiB } from '../../src/core/units.ts'
import { needsNetlab } from '../support/needs.ts'

describe.skipIf(!needsNetlab())('two branches that start at once', () => {
  test('each pays for one copy, neither sends the other a byte, and nothing stays of the laboratory', async () => {
    const branch = { hosts: 3, line: { mbit: 20, latencyMs: 20 } }
    const company = await Company.open({ branches: [branch, { ...branch, nat: true }] })
    onTestFinished(() => company.stop())
    const source = join(company.home, 'source')
    await mkdir(source)
    const content = randomBytes(4 * MiB)
    await writeFile(join(source, 'daily.cvd'), content)
    const { release } = await company.publish(source)
    const lines = company.lab.branches.map(({ line }) => line)
    const before = await Promise.all(lines.map(line => line.count()))

    await Promise.all(company.machines.map(machine => machine.control.update(undefined)))

    for (const machine of company.machines) {
      const installed = await readFile(join(machine.current, 'daily.cvd'))
      expect(installed.equals(content), machine.name).toBe(true)
    }
    for (const [at, line] of lines.entries()) {
      const { down, up } = lineSince(before[at]!, await line.count())
      expect({ down: down.foreign, up: up.foreign }).toEqual({ down: 0, up: 0 })
      expect(down.artifact / release.full.length).toBeGreaterThanOrEqual(1)
      expect(down.artifact / release.full.length).toBeLessThanOrEqual(1.01)
      // Headers make 1.046; the rest is what three nodes ask and hear, once, whatever the size of the payload.
      expect(down.bytes / release.full.length).toBeLessThanOrEqual(1.08)
    }

    await company.stop()
    const left = (await namespaces()).filter(name => name.startsWith(`sml-${process.pid}-`))
    expect(left).toEqual([])
    await expect(readFile(join(company.home, 'origin.toml'))).rejects.toThrow('ENOENT')
  }, 120_000)
})
