/** 18 and 19: patterns that another matcher, platform or regular expression would read differently. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sha256 } from '../../src/core/digest.ts'
import type { Root, Targets } from '../../src/signing/metadata.ts'
import { matchesPattern } from '../../src/signing/path-pattern.ts'
import { mostRolesVisited } from '../../src/signing/rules.ts'
import { findTarget, grants } from '../../src/signing/target-search.ts'
import type { TrustWalk } from '../../src/signing/trust-step.ts'
import { drive } from '../support/trust-driver.ts'

test.each([
  ['clamav/*', 'clamav/42.full.pack', true],
  ['clamav/*', 'clamav/.hidden', true],
  ['clamav/*', 'clamav/', true],
  ['clamav/*', 'clamav', false],
  ['clamav/*', 'clamav/a/b', false],
  ['clamav/*', 'CLAMAV/42.full.pack', false],
  ['clamav/*', 'clamav\\42.full.pack', false],
  ['*', 'a', true],
  ['*', 'a/b', false],
  ['*/*', 'a/b', true],
  ['**', 'a/b', false],
  ['**', 'abc', true],
  ['foo-?.tgz', 'foo-2.tgz', true],
  ['foo-?.tgz', 'foo-.tgz', false],
  ['foo-?.tgz', 'foo-10.tgz', false],
  ['a?b', 'a/b', false],
  ['*.tgz', 'a.tgz', true],
  ['*.tgz', 'axtgz', false],
  ['*a*b*c', 'xxaxxbxxc', true],
  ['*a*b*c', 'xxaxxbxx', false],
  ['!a', 'b', false],
  ['{a,b}', 'a', false],
  ['[ab]', 'a', false],
  ['[ab]', '[ab]', true],
  ['a.c', 'abc', false],
  ['(a+)+$', 'aaaa', false],
  ['', '', true],
])('%j against %j: %s', (pattern, path, expected) => {
  expect(matchesPattern(pattern, path)).toBe(expected)
})

test('a pattern that would keep a backtracking matcher busy for ever', () => {
  expect(matchesPattern('*a'.repeat(500), 'a'.repeat(499) + 'b'.repeat(525))).toBe(false)
})

test('agrees with the plain definition', () => {
  const letters = fc.array(fc.constantFrom('a', 'b', '*', '?', '/'), { maxLength: 8 }).map(parts => parts.join(''))
  fc.assert(
    fc.property(letters, letters, (pattern, path) => {
      const source = pattern.replace(/[*?]/g, wild => (wild === '*' ? '[^/]*' : '[^/]'))
      expect(matchesPattern(pattern, path)).toBe(new RegExp(`^${source}$`).test(path))
    }),
    { seed: 19, numRuns: 2000 },
  )
})

describe('what a delegation grants', () => {
  const role = { threshold: 1, keys: new Map() }
  const base = { name: 'x', role, terminating: false }

  test('neither patterns nor prefixes: nothing', () => {
    expect(grants(base, 'a')).toBe(false)
    expect(grants({ ...base, paths: [] }, 'a')).toBe(false)
    expect(grants({ ...base, pathHashPrefixes: [] }, 'a')).toBe(false)
  })

  test('prefixes of the hash of the path', () => {
    const hash = sha256(Buffer.from('a/b'))
    expect(grants({ ...base, pathHashPrefixes: ['zz', hash.slice(0, 3)] }, 'a/b')).toBe(true)
    expect(grants({ ...base, pathHashPrefixes: [hash.slice(1, 5)] }, 'a/b')).toBe(false)
  })
})

describe('18: a search that would never end', () => {
  const role = { threshold: 1, keys: new Map() }
  const root = { roles: { targets: role } } as unknown as Root
  const search = (delegates: (name: string) => readonly string[]) => {
    const visited: string[] = []
    const repository = {
      root,
      *targets(name: string): TrustWalk<Targets> {
        visited.push(name)
        const delegations = delegates(name).map(next => ({ name: next, role, terminating: false, paths: ['*'] }))
        return { version: 1, expires: 0, targets: new Map(), delegations }
      },
    }
    expect(drive(findTarget(repository, 'a'), () => undefined)).toBeUndefined()
    return visited
  }

  test('each role delegates to the next one, for ever', () => {
    expect(search(name => [`${name}x`])).toHaveLength(mostRolesVisited)
  })

  test('one role delegates to a thousand', () => {
    expect(search(name => (name === 'targets' ? Array.from({ length: 1000 }, (_, at) => `r${at}`) : []))).toHaveLength(
      mostRolesVisited,
    )
  })

  test('a cycle', () => {
    expect(search(name => ({ targets: ['a', 'b'], a: ['b'], b: ['a', 'targets'] })[name] ?? [])).toEqual([
      'targets',
      'a',
      'b',
    ])
  })
})
