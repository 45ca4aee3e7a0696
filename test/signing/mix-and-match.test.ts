/** Files that do not belong together, have no end, or have names that mean something else elsewhere. Tests carry the numbers of the attack list. */
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/signing/json.ts'
import { limitBytes } from '../../src/signing/rules.ts'
import { seen, TrustNode } from '../support/trust-node.ts'
import { noon, TrustRepository } from '../support/trust-repository.ts'

describe('10 and 11: files that do not belong together', () => {
  test.each(['2.snapshot.json', '1.targets.json', '2.clamav.json'])(
    'another %s, well signed, than the parent lists',
    name => {
      const repository = new TrustRepository()
      repository.publish([1])
      const role = name.split('.')[1] as 'snapshot' | 'targets' | 'clamav'
      repository.forge(name, signed => ({ ...signed, 'x-other': 1 }), [repository.keys[role]])
      expect(new TrustNode(repository).refresh()).toMatch(/^metadata_(mismatch|too_large)$/)
    },
  )

  test('a version in the file that is not the one in its name', () => {
    const repository = new TrustRepository()
    repository.forgeBelowTimestamp('clamav', signed => ({ ...signed, version: 7 }), [repository.keys.clamav])
    expect(new TrustNode(repository).refresh()).toBe('metadata_mismatch')
  })

  test('hashes that are empty, or of algorithms nobody knows: not "nothing to compare"', () => {
    for (const [hashes, code] of [
      [{}, 'metadata_malformed'],
      [{ md5: 'd41d8cd98f00b204e9800998ecf8427e' }, 'metadata_mismatch'],
    ] as const) {
      const repository = new TrustRepository()
      repository.forge('timestamp.json', signed => ({ ...signed, meta: { 'snapshot.json': { version: 1, hashes } } }), [
        repository.keys.timestamp,
      ])
      expect(new TrustNode(repository).refresh()).toBe(code)
    }
  })

  test('a role vanishes from the snapshot', () => {
    const { repository, node } = seen()
    repository.addChannel('other')
    node.refresh()
    repository.renew(['snapshot'], noon)
    const without = (signed: JsonObject) => {
      const { 'other.json': _, ...meta } = signed.meta as Record<string, JsonObject>
      return { ...signed, meta }
    }
    repository.forgeBelowTimestamp('snapshot', without, [repository.keys.snapshot])
    expect(node.refresh()).toBe('metadata_rollback')
  })

  test('a channel that the repository does not have', () => {
    expect(new TrustNode(new TrustRepository()).refresh(noon, 'unknown')).toBe('channel_unknown')
  })

  test('a delegated channel that the snapshot does not list', () => {
    const repository = new TrustRepository()
    const without = (signed: JsonObject) => ({
      ...signed,
      meta: { 'targets.json': (signed.meta as JsonObject)['targets.json']! },
    })
    repository.forgeBelowTimestamp('snapshot', without, [repository.keys.snapshot])
    expect(new TrustNode(repository).refresh()).toBe('metadata_mismatch')
  })
})

describe('12: endless metadata', () => {
  test.each(['2.root.json', 'timestamp.json', '1.snapshot.json', '1.targets.json', '1.clamav.json'])('%s', name => {
    const repository = new TrustRepository()
    repository.files.set(name, new Uint8Array(limitBytes.targets + 1).fill(0x20))
    expect(new TrustNode(repository).refresh()).toBe('metadata_too_large')
  })

  test('a signed parent that allows more than the limit', () => {
    const repository = new TrustRepository()
    repository.forge(
      'timestamp.json',
      signed => ({ ...signed, meta: { 'snapshot.json': { version: 1, length: limitBytes.snapshot + 1 } } }),
      [repository.keys.timestamp],
    )
    const node = new TrustNode(repository)
    expect(node.refresh()).toBe('metadata_too_large')
    expect(node.requests).toEqual(['2.root.json', 'timestamp.json'])
  })
})

describe('19 and 20: names and patterns that mean something else elsewhere', () => {
  const withTarget = (path: string) => {
    const repository = new TrustRepository()
    const target = { length: 1, hashes: { sha256: 'ab'.repeat(32) } }
    const targets: JsonObject = Object.defineProperty({}, path, { value: target, enumerable: true })
    repository.forgeBelowTimestamp('clamav', signed => ({ ...signed, targets }), [repository.keys.clamav])
    return new TrustNode(repository).refresh()
  }

  test.each([
    '../x',
    'clamav/../x',
    '/x',
    'clamav//x',
    'clamav/',
    'a\\b',
    'a\0b',
    'C:x',
    '',
    '.',
    'ä',
    'a\nb',
    'a'.repeat(1025),
  ])('a target called %j', path => expect(withTarget(path)).toBe('metadata_malformed'))

  test.each(['constructor', '__proto__', 'toString', 'clamav/constructor', 'other/1.full.pack', 'CLAMAV/1.full.pack'])(
    'a target called %j: a stranger, and no release',
    path => expect(withTarget(path)).toEqual([]),
  )

  test.each(['../clamav', 'a/b', 'root', 'snapshot', 'Clamav', '', 'a.json', '-a', '__proto__', 'a'.repeat(65)])(
    'a delegated role called %j',
    name => {
      const repository = new TrustRepository()
      const rename = (signed: JsonObject) => {
        const { keys, roles } = signed.delegations as { keys: JsonObject; roles: JsonObject[] }
        return { ...signed, delegations: { keys, roles: [...roles, { ...roles[0], name }] } }
      }
      repository.forgeBelowTimestamp('targets', rename, [repository.keys.targets])
      expect(new TrustNode(repository).refresh()).toBe('metadata_malformed')
    },
  )

  test.each(['!clamav/*', '{clamav,x}/*', '[c]lamav/*', 'clamav/../*', '/clamav/*', 'clamav\\*', 'clamav/**/', ''])(
    'a pattern %j',
    pattern => {
      const repository = new TrustRepository()
      const repaint = (signed: JsonObject) => {
        const { keys, roles } = signed.delegations as { keys: JsonObject; roles: JsonObject[] }
        return { ...signed, delegations: { keys, roles: [{ ...roles[0], paths: [pattern] }] } as JsonObject }
      }
      repository.forgeBelowTimestamp('targets', repaint, [repository.keys.targets])
      expect(new TrustNode(repository).refresh()).toBe('metadata_malformed')
    },
  )

  test('a channel signs releases that its delegation does not grant: nobody sees them', () => {
    const repository = new TrustRepository()
    repository.publish([1])
    const narrow = (signed: JsonObject) => {
      const { keys, roles } = signed.delegations as { keys: JsonObject; roles: JsonObject[] }
      return { ...signed, delegations: { keys, roles: [{ ...roles[0], paths: ['clamav/2.*'] }] } as JsonObject }
    }
    repository.forgeBelowTimestamp('targets', narrow, [repository.keys.targets])
    expect(new TrustNode(repository).refresh()).toEqual([])
  })
})
