/** Real antivirus: a real clamd, whose database directory is the link that sigmesh switches, loads what was published. */
import { appendFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ndbLine, scan, startClamd } from '../support/clamd.ts'
import { needs } from '../support/needs.ts'
import { scratchDir } from '../support/scratch.ts'
import { openSite } from '../support/site.ts'

const patterns = { first: 'sigmesh-first-pattern-7f3a', second: 'sigmesh-second-pattern-91cc' }

test.skipIf(!needs('clamd', 'clamdscan'))(
  'clamd finds what a release brings, and what the next one adds, without a restart',
  async () => {
    const home = await scratchDir()
    const config = join(home, 'clamd.conf')
    const socket = join(home, 'clamd.sock')
    // On the very first install there is no clamd yet: it cannot start before it has a database.
    const reload = ['/bin/sh', '-c', `[ ! -S ${socket} ] || exec clamdscan --config-file=${config} --reload`]
    const site = await openSite({ nodes: 3, channel: name => (name === 'node-1' ? { reload } : {}) })
    const source = join(home, 'signatures')
    await mkdir(source)
    const updateAll = async () => {
      const results = await Promise.all(site.nodes.map(node => node.update()))
      return results.map(({ outcome, sequence }) => `${outcome} ${sequence}`)
    }

    await writeFile(join(source, 'company.ndb'), ndbLine('Company.First', patterns.first))
    await site.publish(source, 'one pattern')
    expect(await updateAll()).toEqual(['installed 1', 'installed 1', 'installed 1'])
    const clamd = await startClamd(config, socket, join(site.nodes[0]!.target, 'current'))
    expect(await scan(socket, `before ${patterns.first} after`)).toBe('stream: Company.First.UNOFFICIAL FOUND')
    expect(await scan(socket, patterns.second)).toBe('stream: OK')

    await appendFile(join(source, 'company.ndb'), ndbLine('Company.Second', patterns.second))
    await site.publish(source, 'two patterns')
    expect(await updateAll()).toEqual(['installed 2', 'installed 2', 'installed 2'])
    // clamd answers RELOADING at once and loads behind it.
    await expect
      .poll(() => scan(socket, patterns.second), { timeout: 120_000, interval: 100 })
      .toBe('stream: Company.Second.UNOFFICIAL FOUND')
    expect(await scan(socket, patterns.first)).toBe('stream: Company.First.UNOFFICIAL FOUND')
    expect(clamd.exitCode).toBeNull() // the same process all along
  },
  240_000,
)
