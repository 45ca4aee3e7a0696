import { expect, test } from 'vitest'
import { nodeConfig } from '../../src/daemon/config.ts'

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
