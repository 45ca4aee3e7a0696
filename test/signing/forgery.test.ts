/** Whose signatures count: forged metadata, chains of roots, thresholds. Tests carry the numbers of the attack list. */
import { describe, expect, test } from 'vitest'
import { hour } from '../../src/core/units.ts'
import type { JsonObject } from '../../src/signing/json.ts'
import { readMetadata } from '../../src/signing/metadata.ts'
import type { PrivateKey } from '../../src/signing/private-key.ts'
import { keyId } from '../../src/signing/public-key.ts'
import { seen, TrustNode, versionsOf } from '../support/trust-node.ts'
import { keyNamed, noon, TrustRepository } from '../support/trust-repository.ts'

describe('2: metadata that nobody signed', () => {
  const files = ['2.root.json', 'timestamp.json', '3.snapshot.json', '2.targets.json', '3.clamav.json'] as const
  const stranger = keyNamed('stranger')

  test.each([
    ['no signature', []],
    ["a stranger's signature", [stranger]],
    ["another role's signature", [keyNamed('targets'), keyNamed('snapshot')]],
  ])('%s: nothing is accepted from the first forged file on', (_, keys) => {
    const { repository, node } = seen()
    const before = node.state
    repository.forge('timestamp.json', signed => ({ ...signed, version: 9 }), keys)
    expect(node.refresh(noon + hour)).toBe('metadata_unsigned')
    expect(node.state).toBe(before)
  })

  test.each(files)('%s forged, and everything above it by thieves of the online keys: refused all the same', name => {
    const { repository } = seen()
    repository.renew(['targets'], noon)
    const role = name.replace(/^\d+\./, '').replace('.json', '')
    if (role === 'root')
      repository.forge('1.root.json', signed => ({ ...signed, version: 2 }), [stranger], '2.root.json')
    else if (role === 'timestamp') repository.forge(name, signed => ({ ...signed, version: 9 }), [stranger])
    else repository.forgeBelowTimestamp(role, signed => ({ ...signed, 'x-evil': true }), [stranger])
    expect(new TrustNode(repository).refresh()).toBe('metadata_unsigned')
  })

  test('one byte of any signed file flipped on the way: refused, and the next refresh is fine', () => {
    const { repository } = seen()
    for (const name of ['timestamp.json', '3.snapshot.json', '1.targets.json', '3.clamav.json']) {
      const whole = repository.files.get(name)!
      const node = new TrustNode(repository)
      const evil = Buffer.from(whole)
      const at = evil.indexOf('"version"') - 20
      evil[at] = evil[at]! ^ 1
      repository.files.set(name, evil)
      expect(node.refresh(), name).toMatch(/^metadata_(unsigned|malformed|mismatch)$/)
      repository.files.set(name, whole)
      expect(node.refresh(), name).toEqual([1, 2])
    }
  })
})

test.each([
  ['are missing', { signed: {} }, 'expected a list of signatures'],
  ['are no list', { signed: {}, signatures: {} }, 'expected a list of signatures'],
  ['are too many', { signed: {}, signatures: Array(65).fill({}) }, 'more than 64 signatures'],
])('a file whose signatures %s: the sentence says so', (_, file, sentence) => {
  expect(() => readMetadata('root', 'root.json', Buffer.from(JSON.stringify(file)))).toThrow(
    expect.objectContaining({ code: 'metadata_malformed', message: expect.stringMatching(`signatures: ${sentence}$`) }),
  )
})

describe('14: the chain of roots', () => {
  const [oldRoot, newRoot] = [keyNamed('root'), keyNamed('root 2')]
  const next = (signed: JsonObject, version = 2): JsonObject => ({
    ...signed,
    version,
    keys: { ...(signed.keys as JsonObject), [newRoot.public.id]: newRoot.public.json },
    roles: { ...(signed.roles as JsonObject), root: { keyids: [newRoot.public.id], threshold: 1 } },
  })

  test.each([
    ['signed by old and new', 2, [oldRoot, newRoot], [], 2],
    ['signed by the old key only', 2, [oldRoot], 'metadata_unsigned', 1],
    ['signed by the new key only', 2, [newRoot], 'metadata_unsigned', 1],
    ['skips a version', 3, [oldRoot, newRoot], 'metadata_mismatch', 1],
    ['is the old version again', 1, [oldRoot, newRoot], 'metadata_rollback', 1],
  ] as const)('a new root %s', (_, version, keys, outcome, trusted) => {
    const repository = new TrustRepository()
    repository.forge('1.root.json', signed => next(signed, version), keys, '2.root.json')
    const node = new TrustNode(repository)
    expect(node.refresh()).toEqual(outcome)
    expect(versionsOf(node.state).root).toBe(trusted)
  })

  test('a chain that breaks in the middle: the roots before are kept, and the next refresh goes on from there', () => {
    const repository = new TrustRepository()
    repository.forge('1.root.json', signed => next(signed), [oldRoot, newRoot], '2.root.json')
    repository.forge('2.root.json', signed => ({ ...signed, version: 3 }), [oldRoot], '3.root.json')
    const node = new TrustNode(repository)
    expect(node.refresh()).toBe('metadata_unsigned')
    repository.forge('2.root.json', signed => ({ ...signed, version: 3 }), [newRoot], '3.root.json')
    expect(node.refresh()).toEqual([])
    expect(node.requests[0]).toBe('3.root.json')
  })

  test('an expired root in the middle of the chain does no harm', () => {
    const repository = new TrustRepository()
    repository.forge(
      '1.root.json',
      s => ({ ...s, version: 2, expires: '2020-01-01T00:00:00Z' }),
      [oldRoot],
      '2.root.json',
    )
    repository.forge('1.root.json', s => ({ ...s, version: 3 }), [oldRoot], '3.root.json')
    expect(new TrustNode(repository).refresh()).toEqual([])
  })
})

describe('15 and 16: thresholds and signatures', () => {
  const forgeTimestampRole = (change: (role: { keyids: string[]; threshold: number }) => unknown) => {
    const repository = new TrustRepository()
    repository.forge(
      '1.root.json',
      signed => {
        const roles = signed.roles as Record<string, { keyids: string[]; threshold: number }>
        return { ...signed, version: 2, roles: { ...roles, timestamp: change(roles.timestamp!) } } as JsonObject
      },
      [repository.keys.root],
      '2.root.json',
    )
    return new TrustNode(repository)
  }

  test.each([0, -1, '1', null, true, 2 ** 31])('a threshold of %j', threshold => {
    expect(forgeTimestampRole(role => ({ ...role, threshold })).refresh()).toBe(
      threshold === 2 ** 31 ? 'metadata_unsigned' : 'metadata_malformed',
    )
  })

  test('a key id listed twice, or one that the root does not have', () => {
    expect(forgeTimestampRole(({ keyids }) => ({ keyids: [...keyids, ...keyids], threshold: 1 })).refresh()).toBe(
      'metadata_malformed',
    )
    expect(forgeTimestampRole(() => ({ keyids: ['ab'.repeat(32)], threshold: 1 })).refresh()).toBe('metadata_malformed')
  })

  test('one key under two key ids: still one vote', () => {
    const repository = new TrustRepository()
    const { root, timestamp } = repository.keys
    const twin = { ...timestamp.public.json, 'x-twin': 1 }
    const twinId = keyId(twin)
    repository.forge(
      '1.root.json',
      signed =>
        ({
          ...signed,
          version: 2,
          keys: { ...(signed.keys as JsonObject), [twinId]: twin },
          roles: {
            ...(signed.roles as JsonObject),
            timestamp: { keyids: [timestamp.public.id, twinId], threshold: 2 },
          },
        }) as JsonObject,
      [root],
      '2.root.json',
    )
    const asTwin = {
      public: { ...timestamp.public, id: twinId },
      sign: (m: Uint8Array) => timestamp.sign(m),
    } as unknown as PrivateKey
    repository.forge('timestamp.json', signed => signed, [timestamp, asTwin])
    expect(new TrustNode(repository).refresh()).toBe('metadata_unsigned')
  })

  test('a key under the id of another', () => {
    const repository = new TrustRepository()
    repository.forge(
      '1.root.json',
      signed => {
        const keys = signed.keys as JsonObject
        return {
          ...signed,
          version: 2,
          keys: { ...keys, [repository.keys.timestamp.public.id]: keyNamed('x').public.json },
        }
      },
      [repository.keys.root],
      '2.root.json',
    )
    expect(new TrustNode(repository).refresh()).toBe('metadata_malformed')
  })

  test('a signature twice, and 65 signatures: refused before one is verified', () => {
    const repository = new TrustRepository()
    const { timestamp } = repository.keys
    repository.forge('timestamp.json', signed => signed, [timestamp, timestamp])
    expect(new TrustNode(repository).refresh()).toBe('metadata_malformed')
    const strangers = Array.from({ length: 64 }, (_, at) => keyNamed(`stranger ${at}`))
    repository.forge('timestamp.json', signed => signed, [...strangers.slice(1), timestamp])
    expect(new TrustNode(repository).refresh()).toEqual([])
    repository.forge('timestamp.json', signed => signed, [...strangers, timestamp])
    expect(new TrustNode(repository).refresh()).toBe('metadata_malformed')
  })
})
