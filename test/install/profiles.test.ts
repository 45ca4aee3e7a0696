/** The ready-made tests, with the real programs, as the installer runs them. */
import { describe, expect, test } from 'vitest'
import { canaryPath, encodeCanary } from '../../src/core/canary.ts'
import { expandProfile } from '../../src/install/profiles.ts'
import { bench } from '../support/install-bench.ts'
import { needs } from '../support/needs.ts'
import { canaryFor, releaseOf } from '../support/release.ts'
import type { Tree } from '../support/scratch.ts'
import { haveVectors, readVector } from '../support/vectors.ts'

const ndb = 'Company.First:0:*:7369676d6573682d66697273742d7061747465726e\n'
const rule = 'rule found { strings: $a = "abc" condition: $a }\n'

/** With the canary that publishing would have added. */
function withCanary(tree: Tree): Tree {
  return { ...tree, [canaryPath]: encodeCanary(canaryFor(tree)) }
}

async function tested(command: readonly string[] | undefined, tree: Tree, about: { test_memory_mib?: number } = {}) {
  const it = await bench({ test: command!, ...about })
  const error = await it.install(releaseOf(tree)).catch(caught => caught)
  return { error, tried: (await it.installer.eligible([releaseOf(tree).release])).length === 1 }
}

describe.skipIf(!needs('clamscan'))('of ClamAV', () => {
  const { test: command } = expandProfile('clamav', {}, undefined)
  const { test: withoutClamd } = expandProfile('clamav', { clamd_socket: 'none' }, undefined)

  test('a release with its canary passes; where there is no clamd, it needs none', async () => {
    expect(await tested(command, withCanary({ 'company.ndb': ndb }))).toMatchObject({ error: undefined })
    expect(await tested(withoutClamd, { 'company.ndb': ndb })).toMatchObject({ error: undefined })
  })

  test.each<[string, Tree, RegExp]>([
    [
      'a malformed database',
      withCanary({ 'company.ndb': 'Company.First:0:*\n' }),
      /exit status 2: .*Malformed database/,
    ],
    ['no canary', { 'company.ndb': ndb }, /exit status 1: the release has no sigmesh-canary.hsb/],
    [
      'a canary that nobody finds',
      { 'company.ndb': ndb, [canaryPath]: `${'0'.repeat(64)}:1:Sigmesh.Canary.x\n` },
      /exit status 1: .*do not find their canary/,
    ],
    ['a canary that is no database', { 'company.ndb': ndb, [canaryPath]: '$(touch /tmp/x)' }, /exit status 2: /],
  ])('%s is refused, and not tried again', async (_, tree, message) => {
    const { error, tried } = await tested(command, tree)
    expect(error).toMatchObject({ code: 'install_test_failed', message: expect.stringMatching(message) })
    expect(tried).toBe(false)
  })

  test.skipIf(!haveVectors)('a signed database of ClamAV passes, and with one byte changed it does not', async () => {
    const signed = readVector('clamav-cvd/test-6.cvd')
    expect(await tested(command, withCanary({ 'test.cvd': signed }))).toMatchObject({ error: undefined })
    const changed = Buffer.from(signed)
    changed[5000]! ^= 1
    const { error } = await tested(command, withCanary({ 'test.cvd': changed }))
    expect(error).toMatchObject({ message: expect.stringContaining("Can't verify database integrity") })
  })

  test('too little memory is no verdict', async () => {
    const tree = withCanary({ 'company.ndb': ndb.repeat(20_000) })
    const { error, tried } = await tested(command, tree, { test_memory_mib: 60 })
    expect(error).toMatchObject({ code: 'install_test_failed' })
    expect(tried).toBe(true)
  })
})

describe.skipIf(!needs('yarac'))('of YARA', () => {
  const { test: command } = expandProfile('yara', {}, undefined)

  test('rules that compile pass, also those that include others, under any name', async () => {
    const tree = { 'a b.yar': rule, 'index.yara': 'include "sub/-x.yar"', 'sub/-x.yar': rule, 'read.me': 'no rule' }
    expect(await tested(command, tree)).toMatchObject({ error: undefined })
  })

  test.each<[string, Tree, RegExp]>([
    ['one that does not compile, deep in the tree', { 'a.yar': rule, 'b/c/d.yar': 'rule {' }, /d\.yar.*syntax error/],
    ['one that includes what is not there', { 'a.yar': 'include "/etc/passwd2"' }, /do not compile: \.\/a\.yar/],
    ['no rules at all', { 'read.me': rule }, /no rules in the release/],
    [
      'a variable that nobody has',
      { 'a.yar': 'rule a { condition: filename == "x" }' },
      /undefined identifier "filename"/,
    ],
  ])('%s: refused, with the words of the compiler, and not tried again', async (_, tree, message) => {
    const { error, tried } = await tested(command, tree)
    expect(error).toMatchObject({ code: 'install_test_failed', message: expect.stringMatching(message) })
    expect(tried).toBe(false)
  })

  test('variables that the machine knows may be used', async () => {
    const { test: knowing } = expandProfile('yara', { yara_externals: ['filename', 'filepath'] }, undefined)
    expect(await tested(knowing, { 'a.yar': 'rule a { condition: filename == filepath }' })).toMatchObject({
      error: undefined,
    })
  })
})
