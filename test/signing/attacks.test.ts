/** What hostile origins, stolen online keys and broken disks try on a node, by the numbers of the attack list. */
import { describe, expect, test } from 'vitest'
import type { TrustState } from '../../src/core/trust-state.ts'
import { day, hour } from '../../src/core/units.ts'
import type { JsonObject } from '../../src/signing/json.ts'
import type { PrivateKey } from '../../src/signing/private-key.ts'
import { keyId } from '../../src/signing/public-key.ts'
import { pinRoot } from '../../src/signing/root-chain.ts'
import { limitBytes } from '../../src/signing/rules.ts'
import { bottom } from '../../src/signing/trust-floor.ts'
import { TrustNode } from '../support/trust-node.ts'
import { keyNamed, noon, TrustRepository } from '../support/trust-repository.ts'

/** A repository that has published releases 1 and 2, and a node that has seen them. Made once, and given out as copies. */
function seen() {
  const repository = new TrustRepository()
  repository.replay(published)
  return { repository, node: new TrustNode(repository, trusted) }
}

const { published, trusted } = (() => {
  const repository = new TrustRepository()
  repository.publish([1])
  repository.publish([1, 2])
  const node = new TrustNode(repository)
  expect(node.refresh()).toEqual([1, 2])
  return { published: repository.snapshot(), trusted: node.state }
})()

const versionsOf = ({ floor }: TrustState) => Object.fromEntries(floor.versions)

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

describe('3: rollback', () => {
  test('the whole repository of yesterday is replayed', () => {
    const repository = new TrustRepository()
    repository.publish([1])
    const yesterday = repository.snapshot()
    repository.publish([1, 2])
    const node = new TrustNode(repository)
    node.refresh()
    const before = node.state
    repository.replay(yesterday)
    expect(node.refresh()).toBe('metadata_rollback')
    expect(node.state).toBe(before)
  })

  test('a thief of the timestamp key signs an old snapshot as the newest', () => {
    const repository = new TrustRepository()
    repository.publish([1])
    const old = repository.signed('timestamp.json').meta!
    repository.publish([1, 2])
    const node = new TrustNode(repository)
    node.refresh()
    repository.forge('timestamp.json', signed => ({ ...signed, version: 99, meta: old }), [repository.keys.timestamp])
    expect(node.refresh()).toBe('metadata_rollback')
    expect(versionsOf(node.state).timestamp).toBe(3)
  })

  test.each(['clamav.json', 'targets.json'])('thieves of both online keys list an older %s', file => {
    const repository = new TrustRepository()
    repository.renew(['targets', 'clamav'], noon)
    const node = new TrustNode(repository)
    node.refresh()
    const version = 2
    repository.renew(['timestamp', 'snapshot'], noon)
    const older = (signed: JsonObject) => {
      const meta = signed.meta as Record<string, JsonObject>
      return { ...signed, meta: { ...meta, [file]: { ...meta[file], version: version - 1 } } }
    }
    repository.forgeBelowTimestamp('snapshot', older, [repository.keys.snapshot])
    expect(node.refresh()).toBe('metadata_rollback')
  })
})

describe('4: rollback after the state was lost or torn', () => {
  function replayed() {
    const repository = new TrustRepository()
    repository.publish([1])
    const old = repository.snapshot()
    repository.publish([1, 2])
    const node = new TrustNode(repository)
    node.refresh()
    const newest = repository.snapshot()
    repository.replay(old)
    return { repository, node, newest }
  }

  test.each([[[]], [['timestamp.json']], [['snapshot.json']], [['timestamp.json', 'snapshot.json', 'clamav.json']]])(
    'lost %j, the floor stands: refused, and mended by the newest',
    names => {
      const { repository, node, newest } = replayed()
      node.lose(...names)
      if (names.length === 0) node.state = pinRoot(repository.pinned, node.state.floor)
      expect(node.refresh()).toBe('metadata_rollback')
      repository.replay(newest)
      expect(node.refresh()).toEqual([1, 2])
    },
  )

  test('the floor is lost and the files are whole: they are the floor', () => {
    const { node } = replayed()
    node.state = { files: node.state.files, floor: bottom }
    expect(node.refresh()).toBe('metadata_rollback')
  })

  test('any one file torn at any length', () => {
    const { repository, node } = replayed()
    const { files, floor } = node.state
    for (const [name, bytes] of files) {
      for (let length = 0; length < bytes.length; length += 97) {
        const torn = new TrustNode(repository, { files: new Map(files).set(name, bytes.subarray(0, length)), floor })
        expect(torn.refresh(), `${name} torn at ${length}`).toBe(
          name === 'root.json' ? 'trust_damaged' : 'metadata_rollback',
        )
      }
    }
  })

  test('an old chain of roots is replayed to a node that was pinned again', () => {
    const { repository, node } = replayed()
    repository.rotateTimestampKey(keyNamed('timestamp 2'))
    node.refresh()
    expect(versionsOf(node.state).root).toBe(2)
    repository.files.delete('2.root.json')
    node.state = pinRoot(repository.pinned, node.state.floor)
    expect(node.refresh()).toBe('metadata_rollback')
  })

  test('a rotation is walked again after a loss: it does not make the versions start anew once more', () => {
    const repository = new TrustRepository()
    const node = new TrustNode(repository)
    repository.rotateTimestampKey(keyNamed('timestamp 2'))
    const old = repository.snapshot()
    repository.publish([1])
    expect(node.refresh()).toEqual([1])
    repository.replay(old)
    node.state = pinRoot(repository.pinned, node.state.floor)
    expect(node.refresh()).toBe('metadata_rollback')
  })
})

describe('5: freeze', () => {
  test.each(['root', 'timestamp', 'snapshot', 'targets', 'clamav'] as const)(
    'a %s that is new and expired, well signed: refused, and the release that was trusted stays trusted',
    role => {
      const { repository, node } = seen()
      const { files } = node.state
      const expire = (signed: JsonObject) => ({ ...signed, expires: '2026-11-22T12:00:00Z' })
      if (role === 'root') {
        const next = (signed: JsonObject) => ({ ...expire(signed), version: 2 })
        repository.forge('1.root.json', next, [repository.keys.root], '2.root.json')
      } else {
        repository.renew([role], noon)
        if (role === 'timestamp') repository.forge('timestamp.json', expire, [repository.keys.timestamp])
        else repository.forgeBelowTimestamp(role, expire, [repository.keys[role]])
      }
      expect(node.refresh()).toBe('metadata_expired')
      expect(node.state.files.get('clamav.json')).toEqual(files.get('clamav.json'))
    },
  )

  test('the timestamp expires in this very millisecond: expired; one earlier: good', () => {
    const repository = new TrustRepository()
    expect(new TrustNode(repository).refresh(noon + day - 1)).toEqual([])
    expect(new TrustNode(repository).refresh(noon + day)).toBe('metadata_expired')
  })
})

describe('6 and 7: the clock of the node is wrong', () => {
  test('set back by a year: nothing expired becomes valid again', () => {
    const { node } = seen()
    node.refresh(noon + 23 * hour)
    node.state = { files: node.state.files, floor: { ...node.state.floor, time: noon + 30 * hour } }
    expect(node.refresh(noon - 365 * day)).toBe('clock_rollback')
  })

  test('set back by a year, and nothing new: "nothing new" is not believed', () => {
    const { node } = seen()
    expect(node.refresh(noon - 365 * day)).toBe('clock_rollback')
    expect(node.refresh(noon)).toEqual([1, 2])
  })

  test('set back by a year, and a new release: that is signed, and it is taken', () => {
    const { repository, node } = seen()
    repository.publish([3], noon + hour)
    expect(node.refresh(noon - 365 * day)).toEqual([3])
    expect(node.state.floor.time).toBe(noon)
  })

  test('set back by an hour: no alarm, and time does not go back', () => {
    const { node } = seen()
    expect(node.refresh(noon - hour)).toEqual([1, 2])
    expect(node.state.floor.time).toBe(noon)
  })

  test('ten years ahead: everything is expired, and all is well again when the clock is', () => {
    const { node } = seen()
    const before = node.state
    expect(node.refresh(noon + 3650 * day)).toBe('metadata_expired')
    expect(node.state).toBe(before)
    expect(node.refresh(noon + hour)).toEqual([1, 2])
  })

  test('half a day ahead, then set right: no alarm', () => {
    const { node } = seen()
    expect(node.refresh(noon + 12 * hour)).toEqual([1, 2])
    expect(node.refresh(noon + 5)).toEqual([1, 2])
  })
})

describe('8: expires that readers could read differently', () => {
  test.each([
    'never',
    '2099-01-01T00:00:00',
    '2099-01-01T00:00:00.000Z',
    '2099-13-01T00:00:00Z',
    '2099-02-30T00:00:00Z',
    '2099-01-01T24:00:00Z',
    '2099-01-01T00:00:60Z',
    '2099-01-01t00:00:00z',
    '2099-01-01T00:00:00z',
    '2099-01-01T00:00:00+00:00',
    ' 2099-01-01T00:00:00Z',
    '2099-01-01T00:00:00Z\n',
    '+002099-01-01T00:00:00Z',
    '',
    4_070_908_800,
    null,
  ])('%j', expires => {
    const repository = new TrustRepository()
    repository.forge('timestamp.json', signed => ({ ...signed, expires }), [repository.keys.timestamp])
    expect(new TrustNode(repository).refresh()).toBe('metadata_malformed')
  })
})

describe('9: fast-forward, and the recovery from it', () => {
  const huge = Number.MAX_SAFE_INTEGER

  test('both online keys stolen, all versions at the end of the numbers: new keys in a new root bring the node back', () => {
    const { repository, node } = seen()
    const intact = repository.snapshot()
    const end = (signed: JsonObject): JsonObject => ({ ...signed, version: huge })
    repository.forge('timestamp.json', end, [repository.keys.timestamp])
    expect(node.refresh()).toEqual([1, 2])
    expect(versionsOf(node.state).timestamp).toBe(huge)
    repository.replay(intact)
    expect(node.refresh()).toBe('metadata_rollback')
    repository.rotateTimestampKey(keyNamed('timestamp 2'))
    expect(node.refresh()).toEqual([1, 2])
    expect(versionsOf(node.state)).toMatchObject({ root: 2, timestamp: 4, snapshot: 4, clamav: 3 })
  })

  test('the disk gives back files from before the recovery: they do not undo it', () => {
    const { repository, node } = seen()
    const intact = repository.snapshot()
    repository.forge('timestamp.json', signed => ({ ...signed, version: huge }), [repository.keys.timestamp])
    node.refresh()
    const forwarded = node.state.files
    repository.replay(intact)
    repository.rotateTimestampKey(keyNamed('timestamp 2'))
    node.refresh()
    node.state = { files: forwarded, floor: node.state.floor }
    expect(node.refresh()).toEqual([1, 2])
    expect(versionsOf(node.state).timestamp).toBe(4)
  })

  test('the power fails in the middle of the recovery: it goes on where it was', () => {
    const { repository, node } = seen()
    const intact = repository.snapshot()
    repository.renew(['snapshot'], noon)
    const forward = (signed: JsonObject) => {
      const meta = signed.meta as Record<string, JsonObject>
      return { ...signed, meta: { ...meta, 'clamav.json': { version: huge } } }
    }
    repository.forgeBelowTimestamp('snapshot', forward, [repository.keys.snapshot])
    expect(node.refresh()).toBe('metadata_missing')
    expect(versionsOf(node.state).clamav).toBe(huge)

    repository.replay(intact)
    repository.rotateTimestampKey(keyNamed('timestamp 2'))
    const newest = repository.snapshot()
    repository.files.delete('timestamp.json')
    expect(node.refresh()).toBe('metadata_missing')
    expect(versionsOf(node.state)).toEqual({ root: 2 })
    repository.replay(newest)
    expect(node.refresh()).toEqual([1, 2])
  })

  test('a key is only added: versions do not start anew, and the old repository is not accepted', () => {
    const { repository, node } = seen()
    const old = new TrustRepository()
    const second = keyNamed('timestamp 2')
    repository.forge(
      '1.root.json',
      signed => {
        const roles = signed.roles as Record<string, { keyids: string[] }>
        const keyids = [...roles.timestamp!.keyids, second.public.id]
        const keys = { ...(signed.keys as JsonObject), [second.public.id]: second.public.json }
        return { ...signed, version: 2, keys, roles: { ...roles, timestamp: { keyids, threshold: 1 } } } as JsonObject
      },
      [repository.keys.root],
      '2.root.json',
    )
    repository.files.set('timestamp.json', old.files.get('timestamp.json')!)
    expect(node.refresh()).toBe('metadata_rollback')
    expect(versionsOf(node.state)).toMatchObject({ root: 2, timestamp: 3 })
  })
})

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
