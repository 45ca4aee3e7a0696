/** Beacons as bytes: whatever strangers make of them, only what a member has made is one. */
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { mostBeaconBytes, openBeacon, sealBeacon, siteKey } from '../../../src/swarm/beacon/datagram.ts'
import { key, told } from '../../support/beacons.ts'

const infohash = 'ab'.repeat(20) as never

test('what was sealed is opened, by who has the key', () => {
  const beacon = told({ artifacts: [infohash] })
  expect(openBeacon(sealBeacon(beacon, key), key)).toEqual(beacon)
  expect(openBeacon(sealBeacon(beacon, key), siteKey(randomBytes(32)))).toBe('other_key')
})

test('one byte changed, anywhere: thrown away', () => {
  const sealed = sealBeacon(told(), key)
  fc.assert(
    fc.property(fc.nat(sealed.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const forged = Buffer.from(sealed)
      forged[at]! ^= change
      expect(['malformed', 'other_key', 'forged']).toContain(openBeacon(forged, key))
    }),
  )
})

test('any bytes, also behind a right head: a word of refusal, and no error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1500 }), fc.nat(30), (bytes, kept) => {
      const behind = Buffer.concat([sealBeacon(told(), key).subarray(0, kept), bytes])
      expect(['malformed', 'other_key', 'forged']).toContain(openBeacon(behind, key))
    }),
  )
})

test.each<[string, object]>([
  ['a port that is none', { port: 0 }],
  ['a name of the network', { address: 'origin.example' }],
  ['more artifacts than anybody tells', { artifacts: Array(17).fill(infohash) }],
  ['a version below zero', { snapshot: -1 }],
  ['a word too much', { command: 'rm' }],
])('a member that says %s: malformed', (_, change) => {
  expect(openBeacon(sealBeacon({ ...told(), ...change }, key), key)).toBe('malformed')
})

test('the size is looked at before anything else', () => {
  const long = { ...told(), node: 'x'.repeat(mostBeaconBytes) }
  expect(openBeacon(sealBeacon(long, key), key)).toBe('malformed')
  expect(openBeacon(sealBeacon(told(), key).subarray(0, 28), key)).toBe('malformed')
  expect(openBeacon(new Uint8Array(), key)).toBe('malformed')
})
