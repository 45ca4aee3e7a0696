/** What the doctor makes of beacons and of neighbours who were asked to dial this node: by value, each thing that can be wrong. */
import { createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { ControlError } from '../../src/core/errors.ts'
import { nodeConfig } from '../../src/daemon/config.ts'
import type { Verdict } from '../../src/daemon/doctor/finding.ts'
import { examineBeacon, examinePort, type Reached } from '../../src/daemon/doctor/neighbour-checks.ts'
import type { NodeStatus, ReachList } from '../../src/daemon/status.ts'
import { nodeStatus } from './sample-status.ts'

type Beacon = NonNullable<NodeStatus['beacon']>
type Outcome = ReachList[number]['outcome']

const config = nodeConfig.parse({ origin: 'http://o', root: '/r', channels: { a: { path: '/a' } } })
const healthy = nodeStatus()
const away = new ControlError('daemon_unreachable', 'no daemon runs here')
const oldDaemon = new ControlError('daemon_refused', 'no such path')

function daemon(beacon: Partial<Beacon> | null): NodeStatus {
  return { ...healthy, beacon: beacon && { ...healthy.beacon!, ...beacon } }
}

/** pc-1, pc-2, … were asked. */
function asked(...outcomes: readonly Outcome[]): ReachList {
  return outcomes.map((outcome, at) => ({ node: `pc-${at + 1}`, address: `10.0.1.${at + 1}`, http: 6890, outcome }))
}

const silent: Partial<Beacon> = { heard: 0, neighbours: 0, heardLast: [] }

test.each<[what: string, Partial<Beacon> | null, Reached, Verdict, RegExp]>([
  ['all is well', {}, asked('reached'), 'ok', /40 sent to 239.*800 heard, 7 neighbours now; pc-1 heard this node/],
  ['well, as far as an older daemon tells', {}, oldDaemon, 'ok', /7 neighbours now$/],
  ['none is heard', silent, [], 'warning', /0 heard, 0 neighbours now$/],
  ['some were heard, but are gone', { neighbours: 0 }, [], 'warning', /800 heard, 0 neighbours now$/],
  ['what it sends reaches nobody', {}, asked('unheard', 'silent'), 'warning', /pc-1 answered, and heard nothing/],
  ['one of two has not heard it yet', {}, asked('unheard', 'refused'), 'ok', /pc-2 heard this node/],
  ['the doctor was asked a moment ago', {}, asked('unheard', 'busy'), 'ok', /pc-2 heard this node/],
  ['there is no key, or no interface', { ...silent, state: 'closed' }, [], 'warning', /closed$/],
  ['somebody floods the group', { state: 'flooded' }, [], 'bad', /flooded$/],
  ['the beacon is off', null, [], 'skipped', /off by node.toml/],
])('multicast: %s', (_, beacon, reached, verdict, saw) => {
  const [finding] = examineBeacon(daemon(beacon), reached)
  expect(finding).toMatchObject({ check: 'multicast', verdict, saw: expect.stringMatching(saw) })
  expect(finding!.advice === '').toBe(verdict === 'ok' || verdict === 'skipped')
})

test('neighbours of another site are told of', () => {
  const dropped = healthy.beacon!.dropped
  const site = (other_key: number) => examineBeacon(daemon({ dropped: { ...dropped, other_key } }), [])[1]
  expect(site(0)).toMatchObject({ check: 'site', verdict: 'ok', saw: expect.stringContaining('berlin') })
  expect(site(3)).toMatchObject({ verdict: 'warning', saw: expect.stringContaining('3 beacons of another site') })
})

test.each<[what: string, Reached, Verdict, RegExp]>([
  ['all who were asked could', asked('reached', 'reached'), 'ok', /^pc-1 and pc-2 just dialled 10\.0\.0\.7:6889$/],
  ['one could, one could not', asked('reached', 'timeout'), 'warning', /pc-1 just.*pc-2 \(10\.0\.1\.2\) could not/],
  [
    'a firewall drops',
    asked('timeout', 'busy'),
    'bad',
    /^pc-1 \(10\.0\.1\.1\) could not: no answer.* at 10\.0\.0\.7:6889$/,
  ],
  ['nobody listens', asked('refused'), 'bad', /could not: refused/],
  [
    'nobody could say, but one has connected before',
    asked('silent', 'unheard', 'busy'),
    'ok',
    /10\.0\.0\.8 has connected/,
  ],
  ['an older daemon', oldDaemon, 'ok', /10\.0\.0\.8 has connected/],
])('port: %s', async (_, reached, verdict, saw) => {
  expect(await examinePort(healthy, reached, config)).toMatchObject({ verdict, saw: expect.stringMatching(saw) })
})

test('port: nobody was asked and nobody has connected: that it is open here is told for what it is', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  const lan = { ...healthy.traffic.lan, lastCaller: null }
  const alone = { ...healthy, lanAddress: `127.0.0.1:${port}`, traffic: { ...healthy.traffic, lan } }
  expect(await examinePort(alone, [], config)).toMatchObject({
    verdict: 'warning',
    saw: expect.stringContaining('no neighbour has connected'),
    advice: expect.stringMatching(`^If neighbours run: let TCP port ${port} in`),
  })
  await new Promise(resolve => server.close(resolve))
  expect(await examinePort(alone, [], config)).toMatchObject({ verdict: 'bad' })
})

test('without a daemon nothing of it is looked at', async () => {
  expect(await examinePort(away, away, config)).toMatchObject({ verdict: 'skipped' })
  expect(examineBeacon(away, away)).toMatchObject([{ check: 'multicast', verdict: 'skipped' }])
})
