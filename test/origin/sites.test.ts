import { describe, expect, test } from 'vitest'
import { lanAddress, siteKey } from '../../src/origin/sites.ts'

describe('the site of a request', () => {
  test('a name is a name, wherever the request comes from', () => {
    expect(siteKey('berlin', '203.0.113.7', '10.1.2.3')).toBe('berlin')
  })

  test.each<[string, [string, string?], [string, string?], boolean]>([
    ['two nodes behind one NAT', ['203.0.113.7'], ['203.0.113.7'], true],
    ['two NATs', ['203.0.113.7'], ['203.0.113.8'], false],
    ['one NAT, one subnet', ['203.0.113.7', '10.1.2.3'], ['203.0.113.7', '10.1.2.99'], true],
    ['one NAT, two subnets', ['203.0.113.7', '10.1.2.3'], ['203.0.113.7', '10.1.3.3'], false],
    ['the same private subnet in two branches', ['203.0.113.7', '10.1.2.3'], ['203.0.113.8', '10.1.2.4'], false],
    ['no NAT, one subnet', ['10.1.2.3', '10.1.2.3'], ['10.1.2.4', '10.1.2.4'], true],
    ['no NAT, two subnets', ['10.1.2.3'], ['10.1.3.3'], false],
    ['IPv6, one /64', ['2001:db8:1:2::3'], ['2001:db8:1:2:ffff::4'], true],
    ['IPv6, two /64', ['2001:db8:1:2::3'], ['2001:db8:1:3::3'], false],
    ['IPv4 in IPv6', ['::ffff:203.0.113.7'], ['203.0.113.7'], true],
  ])('auto: %s', (_, [a, lanA], [b, lanB], same) => {
    expect(siteKey('auto', a, lanA) === siteKey('auto', b, lanB)).toBe(same)
  })

  test('no name can be made to look like what auto gives', () => {
    expect(siteKey('auto', '203.0.113.7', undefined)).toContain(' ')
  })
})

test.each<[string, string | undefined, string, string]>([
  ['names a private address', '10.1.2.3', '203.0.113.7', '10.1.2.3'],
  ['names a unique local one', 'fd00::1', '2001:db8::1', 'fd00::1'],
  ['names nothing', undefined, '203.0.113.7', '203.0.113.7'],
  ['names a victim', '198.51.100.1', '203.0.113.7', '203.0.113.7'],
  ['names a victim in IPv6 clothes', '::ffff:198.51.100.1', '203.0.113.7', '203.0.113.7'],
  ['names loopback from afar', '127.0.0.1', '203.0.113.7', '203.0.113.7'],
  ['names loopback on this machine', '127.0.0.2', '::ffff:127.0.0.1', '127.0.0.2'],
  ['names the metadata service of a cloud', '169.254.169.254', '203.0.113.7', '203.0.113.7'],
  ['names a zone', 'fe80::1%eth0', '203.0.113.7', '203.0.113.7'],
  ['names a host', 'db.internal', '203.0.113.7', '203.0.113.7'],
  ['names an octal', '010.1.2.3', '203.0.113.7', '203.0.113.7'],
])('a node %s: it is listed by an address that only its own LAN can mean', (_, named, remote, listed) => {
  expect(lanAddress(named, remote)).toBe(listed)
})
