/** The house keeps its shape: the import table, the owners of packages, who may mint `Verified`, and that a node cannot sign. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { longestFileLines, owners, rooms, violations } from './support/import-rules.ts'
import { findCycle, parseSource, reachable, readSources } from './support/source-graph.ts'

const top = join(import.meta.dirname, '..')
const sources = readSources(top, ['src', 'bin'])
const packageJson = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8'))

describe('the sources', () => {
  test('keep every rule', () => {
    expect(sources.length).toBeGreaterThan(50)
    expect(violations(sources)).toEqual([])
  })

  test('have no import cycle', () => {
    expect(findCycle(sources)).toBeUndefined()
  })

  test('the programs in bin are three lines', () => {
    const bins = sources.filter(({ path }) => path.startsWith('bin/'))
    expect(bins.map(({ path }) => path)).toEqual(['bin/sigmesh.ts', 'bin/sigmeshd.ts'])
    for (const { text, imports } of bins) {
      expect(text.split('\n').filter(line => line.trim() !== '')).toHaveLength(3)
      for (const { target } of imports) expect(target).toMatch(/^src\/cli\//)
    }
  })

  test('every dependency has an owner, and every owner is a dependency', () => {
    const emptied = ['utp-native', 'webrtc-polyfill'] // local empty packages, for webtorrent only
    expect(Object.keys(owners).sort()).toEqual(
      Object.keys(packageJson.dependencies)
        .filter(name => !emptied.includes(name))
        .sort(),
    )
  })

  test('every owner is needed: its package is imported there', () => {
    const imported = new Set(sources.flatMap(({ imports }) => imports.map(({ target }) => target)))
    expect(Object.keys(owners).filter(name => !imported.has(name))).toEqual([])
  })

  test('every room exists', () => {
    for (const room of Object.keys(rooms))
      expect(
        sources.some(({ path }) => path.startsWith(`src/${room}/`)),
        room,
      ).toBe(true)
  })
})

describe('the rules can fail', () => {
  test.each([
    ['a room that climbs', 'src/core/x.ts', "import { a } from '../store/durable.ts'", 'core may not import'],
    [
      'a type is an import too',
      'src/swarm/x.ts',
      "import type { A } from '../signing/rules.ts'",
      'swarm may not import',
    ],
    ['a re-export', 'src/store/x.ts', "export * from '../install/unpack.ts'", 'store may not import'],
    ['a named re-export', 'src/store/x.ts', "export { a } from '../install/unpack.ts'", 'store may not import'],
    ['a dynamic import', 'src/daemon/x.ts', "const x = await import('../origin/server.ts')", 'daemon may not import'],
    [
      'an import type expression',
      'src/origin/x.ts',
      "let x: import('../daemon/node.ts').Node",
      'origin may not import',
    ],
    [
      'an import deep inside a function',
      'src/install/x.ts',
      "function f() { return () => import('../swarm/engine.ts') }",
      'install may not import',
    ],
    ['a computed import', 'src/daemon/x.ts', 'const x = await import(name)', 'daemon may not import *'],
    ['a test in the product', 'src/cli/x.ts', "import '../../test/support/x.ts'", 'cli may not import'],
    ['a room that nobody planned', 'src/utils/x.ts', '', 'no room is called utils'],
    ['a package outside its owner', 'src/daemon/x.ts', "import { z } from 'zod'", 'zod belongs to src/core/schema.ts'],
    ['a package by a deep path', 'src/cli/x.ts', "import 'fastify/lib/x.js'", 'fastify belongs to src/origin/'],
    ['a package that nobody owns', 'src/cli/x.ts', "import chalk from 'chalk'", 'chalk has no owner'],
    ['I/O in core', 'src/core/x.ts', "import { readFile } from 'node:fs/promises'", 'core does no I/O'],
    ['I/O in core by the old name', 'src/core/x.ts', "import fs from 'fs'", 'core does no I/O'],
    ['I/O in signing', 'src/signing/x.ts', "import { createServer } from 'node:net'", 'signing does no I/O'],
    ['a clock in signing', 'src/signing/x.ts', 'const now = Date.now()', 'signing has no clock'],
    ['network in store', 'src/store/x.ts', "import 'node:https'", 'store has no network'],
    [
      'minting the proof elsewhere',
      'src/install/x.ts',
      "import { markVerified } from '../core/verified.ts'",
      'may mint Verified',
    ],
    [
      'minting it under another name',
      'src/install/x.ts',
      "import { markVerified as m } from '../core/verified.ts'",
      'may mint Verified',
    ],
    [
      'minting it by the whole module',
      'src/install/x.ts',
      "import * as v from '../core/verified.ts'",
      'may mint Verified',
    ],
    [
      'handing the mint on',
      'src/signing/x.ts',
      "export { markVerified } from '../core/verified.ts'",
      'may mint Verified',
    ],
    ['the heavy way to HTTP', 'src/daemon/x.ts', "import { createServer, type Server } from 'node:http'", 'comes from'],
    ['a file too long', 'src/core/x.ts', '\n'.repeat(longestFileLines + 1), 'lines are more than'],
  ])('%s', (_, path, text, complaint) => {
    expect(violations([parseSource(path, text)])).toEqual([expect.stringContaining(complaint)])
  })

  test.each([
    ['node:crypto in core', 'src/core/x.ts', "import { hash } from 'node:crypto'"],
    ['the type of the proof', 'src/install/x.ts', "import type { Verified } from '../core/verified.ts'"],
    [
      'the version from package.json',
      'src/core/x.ts',
      "import manifest from '../../package.json' with { type: 'json' }",
    ],
    ['an import in a comment', 'src/core/x.ts', "// import '../store/durable.ts'"],
    ['an import in a string', 'src/core/x.ts', 'const x = "import \'../store/durable.ts\'"'],
    ['a file of the longest length', 'src/core/x.ts', '\n'.repeat(longestFileLines)],
  ])('%s is allowed', (_, path, text) => {
    expect(violations([parseSource(path, text)])).toEqual([])
  })

  test('a private key within reach of the node, by a way around two corners', () => {
    const chain = [
      parseSource('src/cli/commands/node.ts', "const { a } = await import('../../daemon/a.ts')"),
      parseSource('src/daemon/a.ts', "import '../signing/b.ts'"),
      parseSource('src/signing/b.ts', "export * from './private-key.ts'"),
      parseSource('src/signing/private-key.ts', ''),
    ]
    expect(violations(chain)).toEqual(['src/signing/private-key.ts: within reach of the node, by src/signing/b.ts'])
    expect(reachable(chain, ['src/signing/b.ts']).size).toBe(2)
  })

  test('a package that an idle node would load for nothing, by a way around a corner', () => {
    const chain = (way: string) => [
      parseSource('src/daemon/node.ts', way),
      parseSource('src/swarm/webtorrent/engine.ts', "import WebTorrent from 'webtorrent'"),
    ]
    expect(violations(chain("import '../swarm/webtorrent/engine.ts'"))).toEqual([
      'src/swarm/webtorrent/engine.ts: webtorrent would be loaded by every idle node',
    ])
    expect(violations(chain("await import('../swarm/webtorrent/engine.ts')"))).toEqual([])
    expect(violations(chain("import type { A } from '../swarm/webtorrent/engine.ts'"))).toEqual([])
  })

  test('a cycle, and none when one side is only a type', () => {
    const ring = (back: string) => [
      parseSource('src/core/a.ts', "import './b.ts'"),
      parseSource('src/core/b.ts', "import { type A, c } from './c.ts'"),
      parseSource('src/core/c.ts', back),
    ]
    expect(findCycle(ring("import { type B } from './b.ts'"))).toEqual([
      'src/core/b.ts',
      'src/core/c.ts',
      'src/core/b.ts',
    ])
    expect(findCycle(ring("export * from './b.ts'"))).toBeDefined()
    expect(findCycle(ring("import type { B } from './b.ts'"))).toBeUndefined()
    expect(findCycle(ring("export type { B } from './b.ts'"))).toBeUndefined()
  })
})

describe('the lock file', () => {
  const lock: {
    packages: Record<
      string,
      { version?: string; resolved?: string; integrity?: string; link?: boolean; hasInstallScript?: boolean }
    >
  } = JSON.parse(readFileSync(join(top, 'package-lock.json'), 'utf8'))
  const installed = Object.entries(lock.packages).filter(([path]) => path.includes('node_modules/'))
  const versionsOf = (name: string) =>
    installed.filter(([path]) => path.endsWith(`node_modules/${name}`)).map(([, { version }]) => version ?? '')

  // GHSA advisories and the conformance of frames: below these, a peer or a pattern can stop the process.
  test.each([
    ['ws', '8.21.0'],
    ['minimatch', '10.2.3'],
    ['brace-expansion', '5.0.9'],
  ])('%s is at least %s wherever it is installed', (name, floor) => {
    const versions = versionsOf(name)
    expect(versions).not.toEqual([])
    expect(versions.filter(version => isBelow(version, floor))).toEqual([])
  })

  test('no native WebRTC or uTP comes in by the back door', () => {
    expect(versionsOf('node-datachannel')).toEqual([])
    for (const name of ['webrtc-polyfill', 'utp-native']) {
      const entries = installed.filter(([path]) => path.endsWith(`node_modules/${name}`)).map(([, entry]) => entry)
      expect(entries).toEqual([expect.objectContaining({ link: true, resolved: `vendor/empty-${name}` })])
    }
  })

  test('names no registry, so that it works with any mirror', () => {
    expect(installed.filter(([, { resolved }]) => resolved?.includes('://')).map(([path]) => path)).toEqual([])
  })

  test('every package from outside has its hash', () => {
    expect(installed.filter(([, { integrity, link }]) => !integrity && !link).map(([path]) => path)).toEqual([])
  })

  test('no install script is run', () => {
    expect(readFileSync(join(top, '.npmrc'), 'utf8').split('\n')).toContain('ignore-scripts=true')
  })

  test.each([
    ['8.20.9', '8.21.0', true],
    ['8.21.0', '8.21.0', false],
    ['10.0.0', '8.21.0', false],
    ['5.0.10', '5.0.9', false],
    ['8.21.0-rc.1', '8.21.0', true],
  ])('%s below %s: %s', (version, floor, expected) => {
    expect(isBelow(version, floor)).toBe(expected)
  })

  function isBelow(version: string, floor: string): boolean {
    if (version.includes('-')) return isBelow(version.split('-')[0]!, floor) || version.startsWith(`${floor}-`)
    return version.localeCompare(floor, 'en', { numeric: true }) < 0
  }
})
