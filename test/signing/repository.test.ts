/** The operator's side: what it writes, in which order, and that nothing comes out which a node would refuse. */
import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PublishError, type SigmeshError } from '../../src/core/errors.ts'
import { day, hour } from '../../src/core/units.ts'
import { createRepository } from '../../src/signing/create-repository.ts'
import { rolesDue } from '../../src/signing/lifetimes.ts'
import { refreshTrust, releasesOf } from '../../src/signing/manifest.ts'
import { decodePrivateKey, PrivateKey } from '../../src/signing/private-key.ts'
import { ed25519Key } from '../../src/signing/public-key.ts'
import { addChannel, canSign, renew, signReleases } from '../../src/signing/publish-operations.ts'
import { readRepository } from '../../src/signing/repository.ts'
import { pinRoot } from '../../src/signing/root-chain.ts'
import { drive } from '../support/trust-driver.ts'
import { keyNamed, makeRelease, noon, roleOfKeys, TrustRepository } from '../support/trust-repository.ts'

const codeOf = (action: () => unknown): string => {
  try {
    action()
  } catch (error) {
    return (error as SigmeshError).code ?? (error as Error).name
  }
  return 'no error'
}

/** A node that takes part from the pinned root on. */
function node(repository: TrustRepository) {
  let state = pinRoot(repository.pinned)
  return (now: number, channel = 'clamav') => {
    const result = drive(refreshTrust(state, { now, channels: [channel] }), repository.serve)
    state = result.state
    return releasesOf(result.manifests[0]!).map(({ sequence }) => sequence)
  }
}

describe('what a publish writes', () => {
  test('init: every file under its version, the timestamp last', () => {
    const repository = new TrustRepository()
    expect([...repository.files.keys()]).toEqual([
      '1.root.json',
      '1.clamav.json',
      '1.targets.json',
      '1.snapshot.json',
      'timestamp.json',
    ])
  })

  test('a release: the channel, the snapshot, the timestamp, and nothing else', () => {
    const repository = new TrustRepository()
    const files = signReleases(repository.read(), 'clamav', [makeRelease('clamav', 1)], repository.signing(noon))
    expect(files.map(({ name }) => name)).toEqual(['2.clamav.json', '2.snapshot.json', 'timestamp.json'])
  })

  test('a release long after init: the targets role is renewed with it, before anybody notices', () => {
    const repository = new TrustRepository()
    const files = signReleases(repository.read(), 'clamav', [], repository.signing(noon + 60 * day))
    expect(files.map(({ name }) => name)).toEqual([
      '2.clamav.json',
      '2.targets.json',
      '2.snapshot.json',
      'timestamp.json',
    ])
  })

  test('the targets key is elsewhere: a release is published without it', () => {
    const repository = new TrustRepository()
    const { targets, root, ...online } = repository.keys
    const signing = { keyring: Object.values(online), now: noon + 60 * day }
    expect(canSign(repository.read(), 'targets', signing)).toBe(false)
    expect(signReleases(repository.read(), 'clamav', [], signing)[1]!.name).toBe('2.snapshot.json')
  })

  test('a timestamp is renewed alone, a snapshot with its timestamp', () => {
    const repository = new TrustRepository()
    const names = (roles: string[]) => renew(repository.read(), roles, repository.signing(noon)).map(({ name }) => name)
    expect(names([])).toEqual([])
    expect(names(['timestamp'])).toEqual(['timestamp.json'])
    expect(names(['snapshot', 'timestamp'])).toEqual(['2.snapshot.json', 'timestamp.json'])
    expect(names(['clamav'])).toEqual(['2.clamav.json', '2.snapshot.json', 'timestamp.json'])
  })

  test.each([
    [0, []],
    [13 * hour, ['timestamp']],
    [4 * day, ['snapshot', 'timestamp']],
    [46 * day, ['clamav', 'targets', 'snapshot', 'timestamp']],
  ])('%d ms after init, what is due is known', (later, due) => {
    expect(rolesDue(new TrustRepository().read(), noon + later)).toEqual(due)
  })

  test('whatever an operator does, in whatever order, a node follows and ends with the newest releases', () => {
    const action = fc.oneof(
      fc.record({ do: fc.constant('release' as const), count: fc.integer({ min: 0, max: 3 }) }),
      fc.record({ do: fc.constantFrom('channel' as const, 'renew' as const, 'sleep' as const), count: fc.nat(3) }),
    )
    fc.assert(
      fc.property(fc.array(action, { maxLength: 6 }), actions => {
        const repository = new TrustRepository()
        const refresh = node(repository)
        let now = noon
        let sequence = 0
        let offered: number[] = []
        for (const { do: what, count } of actions) {
          now += hour
          if (what === 'release') {
            offered = Array.from({ length: count }, () => ++sequence)
            repository.publish(offered, now)
          } else if (what === 'channel') {
            if (!repository.read().channels.has(`other-${count}`)) repository.addChannel(`other-${count}`, now)
          } else if (what === 'renew') {
            repository.renew(['timestamp', 'snapshot', 'targets', 'clamav'].slice(0, count + 1), now)
          } else continue // this time the node is not there
          expect(refresh(now)).toEqual(offered)
        }
      }),
      { seed: 4, numRuns: 5 },
    )
  })
})

describe('what is refused before it is published', () => {
  const repository = new TrustRepository()
  const signing = repository.signing(noon)

  test('a keyring without the key of a role', () => {
    const { timestamp, ...rest } = repository.keys
    const poor = { keyring: Object.values(rest), now: noon }
    expect(codeOf(() => signReleases(repository.read(), 'clamav', [], poor))).toBe('key_unusable')
  })

  test('a root that has expired: nodes would refuse whatever is published below it', () => {
    const late = repository.signing(noon + 400 * day)
    expect(codeOf(() => signReleases(repository.read(), 'clamav', [], late))).toBe('repository_refused')
  })

  test('a release that a node could not use', () => {
    const odd = makeRelease('clamav', 1, { full: { ...makeRelease('clamav', 1).full, pieceLength: 1000 } })
    expect(codeOf(() => signReleases(repository.read(), 'clamav', [odd], signing))).toBe('repository_refused')
  })

  test('a release twice, of another channel, of no channel', () => {
    const one = makeRelease('clamav', 1)
    expect(codeOf(() => signReleases(repository.read(), 'clamav', [one, one], signing))).toBe('TypeError')
    expect(codeOf(() => signReleases(repository.read(), 'clamav', [makeRelease('x', 1)], signing))).toBe('TypeError')
    expect(codeOf(() => signReleases(repository.read(), 'x', [makeRelease('x', 1)], signing))).toBe('TypeError')
    expect(codeOf(() => renew(repository.read(), ['x'], signing))).toBe('TypeError')
  })

  test.each(['root', 'timestamp', 'Clamav', '../x', '', 'a/b', '__proto__'])('a channel called %j', name => {
    expect(codeOf(() => addChannel(repository.read(), name, roleOfKeys([keyNamed('x')]), signing))).toBe('TypeError')
  })

  test('a channel that exists', () => {
    expect(codeOf(() => addChannel(repository.read(), 'clamav', roleOfKeys([keyNamed('x')]), signing))).toBe(
      'TypeError',
    )
  })

  test('a threshold of 0, of 1.5, or that one key listed twice would have to meet', () => {
    const key = keyNamed('x')
    for (const [keys, threshold] of [
      [[key], 0],
      [[key], 1.5],
      [[key], 2],
      [[key, key], 2],
      [[], 1],
    ] as const) {
      const setup = roleOfKeys(keys, threshold)
      expect(codeOf(() => addChannel(repository.read(), 'new', setup, signing))).toBe('TypeError')
    }
  })

  test('a key of small order', () => {
    const setup = { keys: [ed25519Key(new Uint8Array(32))], threshold: 1 }
    expect(codeOf(() => addChannel(repository.read(), 'new', setup, signing))).toBe('metadata_malformed')
  })
})

describe('reading a repository', () => {
  test('an empty folder is no repository', () => {
    expect(codeOf(() => readRepository(new Map()))).toBe('repository_missing')
  })

  test.each(['1.root.json', '1.targets.json', '1.clamav.json', '1.snapshot.json', 'timestamp.json'])(
    '%s is torn or gone: nothing is signed on top of it',
    name => {
      const repository = new TrustRepository()
      const whole = repository.files.get(name)!
      repository.files.set(name, whole.subarray(0, whole.length / 2))
      expect(codeOf(() => repository.read())).toBe('repository_damaged')
      repository.files.delete(name)
      expect(codeOf(() => repository.read())).toBe(name === '1.root.json' ? 'repository_missing' : 'repository_damaged')
    },
  )

  test('everything has expired long ago: it can be read, and renewed', () => {
    const repository = new TrustRepository()
    const later = noon + 200 * day
    repository.renew(['clamav', 'targets'], later)
    expect(rolesDue(repository.read(), later)).toEqual([])
  })

  test('fields that this version does not know survive a new signature', () => {
    const repository = new TrustRepository()
    repository.forgeBelowTimestamp('clamav', signed => ({ ...signed, 'x-future': { a: [1] } }), [
      repository.keys.clamav,
    ])
    repository.publish([1])
    expect(repository.signed('2.clamav.json')['x-future']).toEqual({ a: [1] })
  })
})

describe('private keys', () => {
  const key = keyNamed('round trip')

  test('a key file gives the key back', () => {
    const again = decodePrivateKey(key.encode(), 'k')
    expect(again.public).toEqual(key.public)
    expect(again.encode()).toEqual(key.encode())
    expect(Buffer.from(again.sign(Buffer.from('m')))).toEqual(Buffer.from(key.sign(Buffer.from('m'))))
  })

  test('neither a log nor JSON of a key contains the secret', () => {
    const secret = JSON.parse(Buffer.from(key.encode()).toString()).private
    for (const text of [inspect(key, { depth: 9, showHidden: true }), JSON.stringify(key), String(key)]) {
      expect(text).not.toContain(secret)
    }
  })

  test('a key file cut at any length, or with one digit changed, is unusable, and the error does not quote it', () => {
    const bytes = Buffer.from(key.encode())
    const secret = JSON.parse(bytes.toString()).private as string
    for (let length = 0; length < bytes.length - 2; length++) {
      expect(codeOf(() => decodePrivateKey(bytes.subarray(0, length), 'k'))).toBe('key_unusable')
    }
    for (const at of [bytes.indexOf(secret) + 3, bytes.indexOf('"public"') + 15, bytes.indexOf('"keyid"') + 15]) {
      const changed = Buffer.from(bytes)
      changed[at] = changed[at] === 0x61 ? 0x62 : 0x61
      const error = (() => {
        try {
          return decodePrivateKey(changed, 'k')
        } catch (caught) {
          return caught
        }
      })()
      expect(error).toBeInstanceOf(PublishError)
      expect(String(error)).not.toContain(secret.slice(0, 8))
    }
  })

  test('a seed of 31 or 33 bytes is no key', () => {
    for (const length of [0, 31, 33]) expect(() => new PrivateKey(new Uint8Array(length))).toThrow(TypeError)
  })

  test('two of three may sign, one may not', () => {
    const keys = ['a', 'b', 'c'].map(keyNamed)
    const twoOfThree = roleOfKeys(keys, 2)
    const roles = { root: twoOfThree, targets: twoOfThree, snapshot: twoOfThree, timestamp: twoOfThree }
    const create = (keyring: PrivateKey[]) => createRepository({ roles, channels: new Map() }, { keyring, now: noon })
    expect(create(keys.slice(1)).map(({ name }) => name)).toContain('timestamp.json')
    expect(codeOf(() => create(keys.slice(2)))).toBe('key_unusable')
  })
})
