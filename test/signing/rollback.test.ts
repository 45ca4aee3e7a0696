/** Older metadata than a node has trusted: replayed, after losses, and the one recovery that lowers versions. Tests carry the numbers of the attack list. */
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/signing/json.ts'
import { pinRoot } from '../../src/signing/root-chain.ts'
import { bottom } from '../../src/signing/trust-floor.ts'
import { seen, TrustNode, versionsOf } from '../support/trust-node.ts'
import { keyNamed, noon, TrustRepository } from '../support/trust-repository.ts'

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
