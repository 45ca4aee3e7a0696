/**
 * Attacks on metadata against a node as it stands: rules, driver, HTTP, trusted state on the disk, a release in force. Each time the error
 * code is the documented one, no artifact is asked for, and disk and release are as before. Numbers are those of docs/attacks.md.
 */
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { day } from '../../src/core/units.ts'
import { runCycle } from '../../src/daemon/cycle.ts'
import { nobody } from '../../src/daemon/neighbourhood.ts'
import { refresh as refreshFrom } from '../../src/daemon/refresh.ts'
import { Trust } from '../../src/daemon/trust.ts'
import type { JsonObject } from '../../src/signing/json.ts'
import { limitBytes } from '../../src/signing/rules.ts'
import { RootFiles } from '../../src/store/root-files.ts'
import { openTrustStore } from '../../src/store/trust-store.ts'
import { OriginClient } from '../../src/swarm/origin-client.ts'
import { FileServer } from '../support/file-server.ts'
import { bench, inForce } from '../support/install-bench.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { releaseOf } from '../support/release.ts'
import { readTree, scratchDir } from '../support/scratch.ts'
import { keyNamed, noon, TrustRepository } from '../support/trust-repository.ts'

const never = new AbortController().signal
const stateFiles = ['metadata/a', 'metadata/b', 'floor/a', 'floor/b']

/** A node that has installed release 1, whose repository has gone on to release 2, which the node has seen. */
async function victim() {
  const repository = new TrustRepository()
  repository.publish([1])
  const yesterday = repository.snapshot()
  const server = await new FileServer().start()
  onTestFinished(() => server.stop())
  server.answer = path => repository.serve(path.replace('metadata/', ''))
  const origin = new OriginClient(server.url)
  onTestFinished(() => origin.stop())
  const home = await scratchDir()
  const [state, rootFile] = [join(home, 'trust'), join(home, 'root.json')]
  await writeFile(rootFile, repository.pinned)
  const clock = new ManualClock(noon)
  const { path, installer, install } = await bench()
  await install(releaseOf({ 'daily.ndb': 'Eicar:0:*:58354f' }))

  const asked: number[] = []
  const cycle = async () => {
    const roots = new RootFiles(join(home, 'roots'))
    const trust = new Trust({ store: await openTrustStore(state), roots, rootFile, clock })
    await roots.load()
    const look = { trust, origin, neighbourhood: () => nobody, log: silentLog }
    const refresh = (signal: AbortSignal) => refreshFrom('clamav', look, signal)
    const reserve = async () => ({ async [Symbol.asyncDispose]() {} })
    const obtain = async ({ sequence }: { sequence: number }) => {
      asked.push(sequence)
      throw new Error('as far as this goes')
    }
    const verify = () => Promise.reject(new Error('unreachable: nothing was obtained'))
    return runCycle({ refresh, reserve, obtain, verify, installer, enter: () => {} }, never)
  }
  expect(await cycle()).toEqual({ outcome: 'current', sequence: 1 })
  repository.publish([1, 2])
  await expect(cycle()).rejects.toThrow('as far as this goes')
  const kept = async () => (await openTrustStore(state)).load()
  return { repository, yesterday, server, clock, state, asked, cycle, kept, installed: () => inForce(path) }
}

type Victim = Awaited<ReturnType<typeof victim>>
type Change = (signed: JsonObject) => JsonObject

const thief = keyNamed('thief')
/** Of the two online keys, which is what a break-in at the origin gives. */
const newTimestamp =
  (change: Change) =>
  ({ repository }: Victim) =>
    repository.forge('timestamp.json', signed => ({ ...signed, version: 99, ...change(signed) }), [
      repository.keys.timestamp,
    ])
const manifest =
  (change: Change, keys: (it: Victim['repository']) => Parameters<TrustRepository['forge']>[2]) =>
  ({ repository }: Victim) =>
    repository.forgeBelowTimestamp('clamav', change, keys(repository))
const text =
  (change: (text: string) => string) =>
  ({ repository: { files } }: Victim) =>
    files.set('timestamp.json', Buffer.from(change(Buffer.from(files.get('timestamp.json')!).toString())))
const empty: Change = signed => ({ ...signed, targets: {} })
/** The node asks for what it has not seen. */
const renewed = (attack: (it: Victim) => unknown) => (it: Victim) => {
  it.repository.publish([1, 2, 3])
  return attack(it)
}
const withoutChannel = ({ repository }: Victim) =>
  repository.forgeBelowTimestamp(
    'snapshot',
    signed => {
      const { 'clamav.json': _, ...meta } = signed.meta as Record<string, JsonObject>
      return { ...signed, meta }
    },
    [repository.keys.snapshot],
  )
const manySignatures = ({ repository: { files } }: Victim) => {
  const { signed, signatures } = JSON.parse(Buffer.from(files.get('1.root.json')!).toString())
  const many = Array.from({ length: 2000 }, (_, at) => ({ ...signatures[0], keyid: at.toString(16).padStart(64, '0') }))
  files.set('2.root.json', Buffer.from(JSON.stringify({ signed, signatures: many })))
}

describe('the origin, or who sits on the line, offers', () => {
  test.each<[row: string, what: string, code: string, attack: (it: Victim) => unknown]>([
    [
      '2',
      'a timestamp that nobody signed',
      'metadata_unsigned',
      ({ repository }) => repository.forge('timestamp.json', s => s, []),
    ],
    [
      '2',
      'a timestamp that a stranger signed',
      'metadata_unsigned',
      ({ repository }) => repository.forge('timestamp.json', s => s, [thief]),
    ],
    ['2', 'a flipped byte', 'metadata_unsigned', text(all => all.replace(/"version": \d+/g, '"version": 98'))],
    [
      '3',
      'the repository of yesterday',
      'metadata_rollback',
      ({ repository, yesterday }) => repository.replay(yesterday),
    ],
    ['5', 'nothing new, for longer than a timestamp lives', 'metadata_expired', ({ clock }) => clock.advance(2 * day)],
    ['8', 'a timestamp that expires never', 'metadata_malformed', newTimestamp(() => ({ expires: 'never' }))],
    [
      '8',
      'a timestamp that expires in a thirteenth month',
      'metadata_malformed',
      newTimestamp(() => ({ expires: '2099-13-01T00:00:00Z' })),
    ],
    [
      '10',
      'a manifest of yesterday under the name of today',
      'metadata_mismatch',
      renewed(({ repository: { files } }) => files.set('4.clamav.json', files.get('3.clamav.json')!)),
    ],
    ['11', 'a snapshot that lists the channel no more', 'metadata_rollback', renewed(withoutChannel)],
    [
      '12',
      'a timestamp without end',
      'metadata_too_large',
      ({ repository }) => repository.files.set('timestamp.json', Buffer.alloc(limitBytes.timestamp + 1, 0x20)),
    ],
    [
      '12',
      'a root without end',
      'metadata_too_large',
      ({ repository }) => repository.files.set('2.root.json', Buffer.alloc(limitBytes.root + 1, 0x20)),
    ],
    [
      '14',
      'a new root of a stranger',
      'metadata_unsigned',
      ({ repository }) => repository.forge('1.root.json', s => ({ ...s, version: 2 }), [thief], '2.root.json'),
    ],
    [
      '14',
      'a root that skips a version',
      'metadata_mismatch',
      ({ repository }) =>
        repository.forge('1.root.json', s => ({ ...s, version: 3 }), [repository.keys.root], '2.root.json'),
    ],
    [
      '15',
      'a root with a threshold of 0',
      'metadata_malformed',
      ({ repository }) =>
        repository.forge(
          '1.root.json',
          s => ({ ...s, version: 2, roles: { ...(s.roles as JsonObject), timestamp: { keyids: [], threshold: 0 } } }),
          [repository.keys.root],
          '2.root.json',
        ),
    ],
    ['16', 'a root with as many signatures as fit', 'metadata_malformed', manySignatures],
    ['21', 'JSON that is no metadata', 'metadata_malformed', text(() => '[null, {"signed": 1}]')],
    [
      '22',
      'a key that stands there twice',
      'metadata_malformed',
      text(all => all.replace('"version":', '"version": 1, "version":')),
    ],
    [
      '22',
      'a number that is none for some',
      'metadata_malformed',
      text(all => all.replace(/"version": (\d+)/, '"version": $1.0')),
    ],
    [
      '26',
      'a manifest by who stole the online keys',
      'metadata_unsigned',
      renewed(manifest(empty, ({ keys }) => [keys.snapshot, keys.timestamp])),
    ],
    [
      '27',
      'a manifest by who stole the key of another role',
      'metadata_unsigned',
      renewed(manifest(empty, ({ keys }) => [keys.targets])),
    ],
  ])('%s: %s: %s', async (row, _, code, attack) => {
    const it = await victim()
    const [installed, kept] = [await it.installed(), await it.kept()]
    await attack(it)
    await expect(it.cycle()).rejects.toMatchObject({ code })
    expect(it.asked).toEqual([2])
    expect(await it.installed()).toEqual(installed)
    const after = (await it.kept())!
    // A thief of online keys may make the node believe his timestamp and his snapshot: what is installed hangs on neither.
    const believed = (name: string) =>
      ['10', '11', '26', '27'].includes(row) && ['timestamp.json', 'snapshot.json'].includes(name)
    for (const [name, bytes] of kept!.files) if (!believed(name)) expect(after.files.get(name), name).toEqual(bytes)
    for (const [role, version] of kept!.floor.versions)
      expect(after.floor.versions.get(role)).toBeGreaterThanOrEqual(version)
  })
})

test.each<[string, string, (clock: ManualClock) => ManualClock | Promise<void>]>([
  ['6: a year back, and nothing new', 'clock_rollback', () => new ManualClock(noon - 365 * day)],
  ['7: ten years ahead', 'metadata_expired', () => new ManualClock(noon + 3650 * day)],
])('the clock of the node is %s: %s, and all is well when it is right again', async (_, code, set) => {
  const it = await victim()
  const [installed, kept] = [await it.installed(), await it.kept()]
  const wrong = (set(it.clock) as ManualClock).now()
  const now = it.clock.now
  it.clock.now = () => wrong
  await expect(it.cycle()).rejects.toMatchObject({ code })
  expect([await it.installed(), await it.kept()]).toEqual([installed, kept])
  it.clock.now = now.bind(it.clock)
  await expect(it.cycle()).rejects.toThrow('as far as this goes')
})

test('9: thieves of the online keys sign the last of all versions: a new root takes their keys away, and the node follows', async () => {
  const it = await victim()
  const { repository } = it
  const installed = await it.installed()
  const honest = repository.snapshot()
  newTimestamp(signed => {
    const { 'snapshot.json': snapshot } = signed.meta as Record<string, JsonObject>
    return { version: Number.MAX_SAFE_INTEGER, meta: { 'snapshot.json': snapshot! } }
  })(it)
  await expect(it.cycle()).rejects.toThrow('as far as this goes')
  repository.replay(honest)
  await expect(it.cycle()).rejects.toMatchObject({ code: 'metadata_rollback' })
  repository.rotateTimestampKey(keyNamed('timestamp after the theft'))
  await expect(it.cycle()).rejects.toThrow('as far as this goes')
  expect(await it.installed()).toEqual(installed)
})

test('4: any state file cut at every length, then the repository of yesterday: always refused, and nothing is installed', async () => {
  const it = await victim()
  const { repository, yesterday, state } = it
  const installed = await it.installed()
  repository.replay(yesterday)
  const intact = new Map(
    await Promise.all(stateFiles.map(async name => [name, await readFile(join(state, name))] as const)),
  )
  // What is loaded is the same for most lengths; the rules, which are pure, are asked once for each that differs.
  const judged = new Map<string, string>()
  for (const [name, bytes] of intact) {
    for (let length = bytes.length - 1; length >= 0; length--) {
      await truncate(join(state, name), length)
      const { files, floor } = (await (await openTrustStore(state)).load())! // as after a restart
      const left = JSON.stringify([
        [...files].map(([file, { length }]) => [file, length]),
        floor.time,
        [...floor.versions],
      ])
      if (!judged.has(left)) {
        const refusal = it.cycle().then(
          () => 'accepted',
          error => error.code ?? error.message,
        )
        judged.set(left, await refusal)
      }
    }
    await writeFile(join(state, name), bytes)
  }
  expect(new Set(judged.values())).toEqual(new Set(['metadata_rollback']))
  expect(judged.size).toBeGreaterThan(1)
  expect([it.asked, await it.installed()]).toEqual([[2], installed])
})

test('4: any of the state files lost, alone or with others, then the repository of yesterday: refused', async () => {
  const it = await victim()
  it.repository.replay(it.yesterday)
  const { state } = it
  const intact = await Promise.all(
    stateFiles.map(async name => [join(state, name), await readFile(join(state, name))] as const),
  )
  for (let lost = 1; lost < 2 ** stateFiles.length - 1; lost++) {
    for (const [at, [path, bytes]] of intact.entries()) await writeFile(path, lost & (1 << at) ? '' : bytes)
    const left = stateFiles.filter((_, at) => !(lost & (1 << at)))
    await expect(it.cycle(), `left: ${left}`).rejects.toMatchObject({ code: 'metadata_rollback' })
  }
  for (const [path] of intact) await writeFile(path, '')
  await expect(it.cycle()).rejects.toMatchObject({ code: 'trust_damaged' })
  expect(Object.keys(await readTree(state)).length).toBeGreaterThan(0)
  expect(it.asked).toEqual([2])
})

test('the state directory holds nothing but these files', async () => {
  const { state } = await victim()
  const names = (await readdir(state, { recursive: true })).filter(name => name.includes('/')).sort()
  expect(names).toEqual([...stateFiles].sort())
})
