/** Time: expired metadata, wrong clocks, and dates that readers could read differently. Tests carry the numbers of the attack list. */
import { describe, expect, test } from 'vitest'
import { day, hour } from '../../src/core/units.ts'
import type { JsonObject } from '../../src/signing/json.ts'
import { seen, TrustNode } from '../support/trust-node.ts'
import { noon, TrustRepository } from '../support/trust-repository.ts'

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
