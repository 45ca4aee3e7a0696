import { describe, expect, test } from 'vitest'
import { nodeConfig } from '../../src/daemon/config.ts'
import { isRoot } from '../../src/install/account.ts'

const least = {
  origin: 'https://sigmesh.example.com',
  root: '/etc/sigmesh/root.json',
  channels: { clamav: { path: '/var/lib/sigmesh/clamav' } },
}

test('the least that a node needs: where to ask, whom to trust, what to accept', () => {
  const config = nodeConfig.parse(least)
  expect(config).toMatchObject({ site: 'auto', state_dir: '/var/lib/sigmesh', engine: 'native' })
  expect(config.channels.clamav).toMatchObject({ action: 'directory', reload_timeout_s: 60 })
  expect(config.node).toMatch(/^[A-Za-z0-9][A-Za-z0-9._-]*$/)
})

describe('a profile', () => {
  const channelOf = (keys: object) => nodeConfig.parse({ ...least, channels: { c: keys } }).channels.c!

  test('of ClamAV needs nothing else', () => {
    expect(channelOf({ profile: 'clamav' })).toMatchObject({
      action: 'files',
      path: '/var/lib/clamav',
      owner: isRoot() ? 'clamav' : undefined,
      test: ['/bin/sh', '-c', expect.stringContaining('clamscan --database=. '), 'sh'],
      test_user: 'nobody',
      test_memory_mib: 4096,
      reload: expect.arrayContaining(['clamd', 'reload', '/run/clamav/clamd.ctl']),
      health: expect.arrayContaining(['clamd', 'canary', '/run/clamav/clamd.ctl', '{path}', '{previous}']),
    })
  })

  test('gives way to each key that is set beside it', () => {
    const keys = { owner: 'vscan', test: ['true'], health_timeout_s: 5, path: '/x' }
    expect(channelOf({ profile: 'clamav', ...keys })).toMatchObject({ action: 'files', ...keys })
  })

  test('of ClamAV where clamd may read the link itself: no owner, and no path of its own', () => {
    const entry = channelOf({ profile: 'clamav', action: 'directory', path: '/x', clamd_socket: '/run/x' })
    expect(entry).toMatchObject({ action: 'directory', path: '/x', reload: expect.arrayContaining(['/run/x']) })
    expect(entry).not.toHaveProperty('owner')
  })

  test('of ClamAV without clamd asks nobody afterwards', () => {
    const entry = channelOf({ profile: 'clamav', clamd_socket: 'none' })
    expect(entry).toHaveProperty('test')
    expect(entry).not.toHaveProperty('reload')
    expect(entry).not.toHaveProperty('health')
  })

  test('for a service of systemd', () => {
    expect(channelOf({ profile: 'generic', path: '/x', service: 'suricata.service' })).toMatchObject({
      action: 'directory',
      reload: ['systemctl', 'reload-or-restart', '--', 'suricata.service'],
      health: ['systemctl', 'is-active', '--quiet', '--', 'suricata.service'],
    })
    expect(channelOf({ profile: 'generic', path: '/x' })).not.toHaveProperty('reload')
  })

  test('of YARA tells the compiler of the variables that the rules use', () => {
    const { test: command } = channelOf({ profile: 'yara', path: '/x', yara_externals: ['filename'] })
    expect(command!.slice(-2)).toEqual(['-d', 'filename='])
  })
})

test('channels side by side, one named like the beginning of the other, are no trouble', () => {
  const channels = { a: { path: '/x/a' }, ab: { path: '/x/ab' } }
  expect(nodeConfig.safeParse({ ...least, channels }).success).toBe(true)
})

test.each([
  ['an unknown key, as a typo makes', { ...least, orign: 'x' }, 'orign'],
  ['an unknown key in a channel', { ...least, channels: { clamav: { path: '/x', command: ['rm'] } } }, 'command'],
  [
    'a reload that is a shell line',
    { ...least, channels: { clamav: { path: '/x', reload: 'clamdscan --reload' } } },
    'reload',
  ],
  ['a channel that is no role name', { ...least, channels: { '../up': { path: '/x' } } }, '../up'],
  ['a channel named like a TUF role', { ...least, channels: { snapshot: { path: '/x' } } }, 'snapshot'],
  ['a relative path', { ...least, channels: { clamav: { path: 'here' } } }, 'path'],
  ['no channel at all', { ...least, channels: {} }, 'channels'],
  [
    'two channels in one directory',
    { ...least, channels: { a: { path: '/x/a' }, b: { path: '/x/./a/' } } },
    'of its own',
  ],
  [
    'a channel inside another',
    { ...least, channels: { a: { path: '/x/a/releases' }, b: { path: '/x/a' } } },
    'of its own',
  ],
  [
    'an owner where no file is given away',
    { ...least, channels: { clamav: { path: '/x', owner: 'clamav' } } },
    'owner',
  ],
  ['a mode that is none', { ...least, channels: { clamav: { path: '/x', action: 'files', mode: '0999' } } }, 'mode'],
  ['setuid files', { ...least, channels: { clamav: { path: '/x', action: 'files', mode: '4755' } } }, 'mode'],
  ['a user who is an option', { ...least, channels: { clamav: { path: '/x', test_user: '-u0' } } }, 'test_user'],
  ['a command as one string', { ...least, channels: { clamav: { path: '/x', test: 'rm -rf /' } } }, 'test'],
  ['a profile that is none', { ...least, channels: { c: { path: '/x', profile: 'virus' } } }, 'profile'],
  ['a profile that lacks its path', { ...least, channels: { c: { profile: 'yara' } } }, '"c","path"'],
  ['no path', { ...least, channels: { c: { action: 'files' } } }, '"c","path"'],
  [
    "another profile's setting",
    { ...least, channels: { c: { path: '/x', profile: 'yara', service: 'x.service' } } },
    'service',
  ],
  ['a setting without its profile', { ...least, channels: { c: { path: '/x', clamd_socket: '/x' } } }, 'clamd_socket'],
  [
    'a service that is an option',
    { ...least, channels: { c: { path: '/x', profile: 'generic', service: '-H' } } },
    '"c","service"',
  ],
  [
    'a relative socket',
    { ...least, channels: { c: { profile: 'clamav', clamd_socket: 'clamd.ctl' } } },
    'clamd_socket',
  ],
  [
    'two channels in the directory of ClamAV',
    { ...least, channels: { a: { profile: 'clamav' }, b: { profile: 'clamav' } } },
    'of its own',
  ],
  ['a file URL for origin', { ...least, origin: 'file:///etc/passwd' }, 'origin'],
  ['a password in the origin', { ...least, origin: 'https://user:secret@example.com' }, 'origin'],
  ['a schedule that is none', { ...least, schedule: 'hourly' }, 'schedule'],
  ['a network that is none', { ...least, lan: { networks: ['10.0.0.0/33'] } }, 'networks'],
  ['a port beyond 65535', { ...least, lan: { port: 70_000 } }, 'port'],
])('%s is refused, and the key is named', (_, config, key) => {
  const { success, error } = nodeConfig.safeParse(config)
  expect(success).toBe(false)
  expect(JSON.stringify(error!.issues)).toContain(key)
})
