import { describe, expect, test } from 'vitest'
import { second } from '../../src/core/units.ts'
import {
  allowNetworks,
  canonicalAddress,
  followLanAddress,
  lanAddress,
  privateNetworks,
} from '../../src/swarm/networks.ts'
import { ManualClock } from '../support/manual-clock.ts'

describe('the private networks', () => {
  const networks = allowNetworks(privateNetworks)

  test.each([
    '10.0.0.1',
    '10.255.255.255',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    'fd00::1',
    'FD12:3456::1',
    '::ffff:10.0.0.1',
    '::ffff:a00:1',
  ])('%s is ours', address => {
    expect(networks.allowed(address)).toBe(true)
  })

  test.each([
    ['loopback', '127.0.0.1'],
    ['loopback, v6', '::1'],
    ['loopback, mapped', '::ffff:127.0.0.1'],
    ['loopback, mapped, in hex', '::ffff:7f00:1'],
    ['loopback, mapped, in full', '0:0:0:0:0:ffff:7f00:0001'],
    ['loopback, shortened', '127.1'],
    ['loopback, as a number', '2130706433'],
    ['loopback, in hex', '0x7f.0.0.1'],
    ['any', '0.0.0.0'],
    ['any, v6', '::'],
    ['metadata of a cloud', '169.254.169.254'],
    ['metadata of a cloud, mapped', '::ffff:a9fe:a9fe'],
    ['link-local', 'fe80::1'],
    ['link-local with a zone', 'fe80::1%eth0'],
    ['ours with a zone', 'fd00::1%eth0'],
    ['a private address, v4-compatible', '::10.0.0.1'],
    ['a private address behind NAT64', '64:ff9b::a00:1'],
    ['a private address in octal', '010.0.0.1'],
    ['multicast', '224.0.0.1'],
    ['broadcast', '255.255.255.255'],
    ['the victim', '192.0.2.1'],
    ['just outside', '172.32.0.0'],
    ['just outside, below', '9.255.255.255'],
    ['public v6', '2001:db8::1'],
    ['a name', 'localhost'],
    ['a name that looks like one of ours', '10.0.0.1.example.com'],
    ['a port', '10.0.0.1:80'],
    ['a CIDR', '10.0.0.0/8'],
    ['white space', ' 10.0.0.1'],
    ['nothing', ''],
  ])('%s (%s) is not', (_, address) => {
    expect(networks.allowed(address)).toBe(false)
  })
})

test.each([
  ['0.0.0.0/0', '8.8.8.8', true],
  ['0.0.0.0/0', '2001:db8::1', false],
  ['::/0', '2001:db8::1', true],
  ['10.1.2.3/32', '10.1.2.3', true],
  ['10.1.2.3/32', '10.1.2.4', false],
  ['fd00::/128', 'fd00::', true],
  ['127.0.0.0/8', '::ffff:127.0.0.1', true],
])('%s and %s: %s', (cidr, address, allowed) => {
  expect(allowNetworks([cidr]).allowed(address)).toBe(allowed)
})

test.each([
  '10.0.0.0',
  '10.0.0.0/',
  '10.0.0.0/33',
  '10.0.0.0/-1',
  '10.0.0.0/08',
  '10.0.0.0/8/8',
  '10.0.0/8',
  'fd00::/129',
  'example.com/8',
  '/8',
  '',
])('%j is no network', cidr => {
  expect(() => allowNetworks([cidr])).toThrow(TypeError)
})

test('an empty list is a mistake, not "all" or "none"', () => {
  expect(() => allowNetworks([])).toThrow(TypeError)
})

test.each([
  ['10.0.0.1', '10.0.0.1'],
  ['::FFFF:10.0.0.1', '10.0.0.1'],
  ['fd00:0:0::0001', 'fd00::1'],
  ['fd00::1%1', undefined],
  ['localhost', undefined],
])('%s is spelled %s', (address, canonical) => {
  expect(canonicalAddress(address)).toBe(canonical)
})

describe("this machine's address", () => {
  const info = (address: string) => {
    const common = { address, netmask: '', mac: '', internal: false, cidr: null }
    return address.includes(':')
      ? { ...common, family: 'IPv6' as const, scopeid: 0 }
      : { ...common, family: 'IPv4' as const }
  }
  const interfaces = {
    lo: [info('127.0.0.1')],
    wan: [info('203.0.113.5')],
    lan: [info('fd00::5'), info('192.168.7.5')],
  }

  test('is the one inside the networks, IPv4 first', () => {
    expect(lanAddress(allowNetworks(privateNetworks), interfaces)).toBe('192.168.7.5')
    expect(lanAddress(allowNetworks(['fc00::/7']), interfaces)).toBe('fd00::5')
  })

  test('is not made up when none is inside', () => {
    expect(lanAddress(allowNetworks(['10.0.0.0/8']), interfaces)).toBeUndefined()
  })

  test('asked for all the time, it is looked for once a second, and follows a laptop that moves', async () => {
    let looks = 0
    let there = interfaces
    const clock = new ManualClock()
    const address = followLanAddress(allowNetworks(privateNetworks), clock, () => {
      looks++
      return there
    })
    for (let asked = 0; asked < 100; asked++) expect(address()).toBe('192.168.7.5')
    expect(looks).toBe(1)
    there = { ...interfaces, lan: [info('10.1.2.3')] }
    await clock.advance(second)
    expect(address()).toBe('10.1.2.3')
  })

  test('is found on the real machine', () => {
    expect(lanAddress(allowNetworks(['127.0.0.0/8']))).toBe('127.0.0.1')
  })
})
