/** Attack 40, spoof, replay and flood of LAN discovery: real multicast on the loopback interface. */
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { mostBeaconBytes, sealBeacon, siteKey } from '../../../src/swarm/beacon/datagram.ts'
import { mostDatagramsPerSecond } from '../../../src/swarm/beacon/multicast.ts'
import { beaconLab, key, told } from '../../support/beacons.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const infohash = 'ab'.repeat(20) as never

test('nodes hear each other as soon as they are there, and at once when one has something new', async () => {
  const lab = beaconLab()
  const first = lab.node('a')
  const second = lab.node('b', { snapshot: 1, artifacts: [infohash] })
  await expect.poll(() => first.heard.at(-1)).toMatchObject({ node: 'b', snapshot: 1, artifacts: [infohash] })
  await expect.poll(() => second.heard.at(-1)).toMatchObject({ node: 'a' })
  second.has.snapshot = 2
  second.beacon.announce()
  await expect.poll(() => first.heard.at(-1)).toMatchObject({ node: 'b', snapshot: 2 })
  expect(first.beacon.view()).toMatchObject({ state: 'on', neighbours: [{ node: 'b', snapshot: 2 }] })
})

test('attack 40: forged, replayed, moved and malformed beacons change nothing, and are counted by reason', async () => {
  const lab = beaconLab()
  const node = lab.node('a')
  const [send, fromElsewhere] = [await lab.attacker(), await lab.attacker('127.0.0.2')]
  const good = sealBeacon(told({ node: 'b' }), key)
  await expect
    .poll(async () => {
      await send(good)
      return node.heard.length
    })
    .toBe(1)

  const forged = Buffer.from(good)
  forged[20]! ^= 1
  await send(forged)
  await send(good)
  await send(sealBeacon(told({ node: 'c' }), siteKey(randomBytes(32))))
  await send(sealBeacon(told({ node: 'd', time: Date.now() - 600_000 }), key))
  await send(sealBeacon(told({ node: 'e', address: '169.254.169.254' }), key))
  await send(sealBeacon(told({ node: 'f', site: 'paris' }), key))
  await fromElsewhere(sealBeacon(told({ node: 'b', time: Date.now() + 1000 }), key))
  await send(Buffer.alloc(mostBeaconBytes + 1))
  await send(Buffer.alloc(0))
  await send(sealBeacon({ ...told({ node: 'g' }), http: 0 }, key))

  await expect
    .poll(() => node.beacon.view().dropped)
    .toMatchObject({
      forged: 1,
      other_key: 1,
      clock_skew: 1,
      misplaced: 3,
      malformed: 3,
    })
  expect(node.beacon.view().dropped.replayed).toBeGreaterThanOrEqual(1)
  expect(node.heard.map(({ node: name }) => name)).toEqual(['b'])
  expect(node.otherKeys).toBe(1)
})

test('attack 40: ten thousand datagrams in a row: after some hundred the node stops to listen, and hears again later', async () => {
  const lab = beaconLab()
  const node = lab.node('a')
  const send = await lab.attacker()
  await expect.poll(() => node.beacon.view().state).toBe('on')
  const junk = Buffer.alloc(200, 'SMB1')
  for (let count = 0; count < 10_000; count++) await send(junk)
  const { dropped } = node.beacon.view()
  expect(dropped.other_key).toBeLessThanOrEqual(10 * mostDatagramsPerSecond)
  expect(node.heard).toEqual([])
  await expect.poll(() => node.beacon.view().state).toBe('on')
  let time = Date.now()
  await expect
    .poll(async () => {
      await send(sealBeacon(told({ node: 'b', time: ++time }), key))
      return node.heard.length
    })
    .toBeGreaterThan(0)
})

test('a node that has news all the time speaks five times, and then every two seconds', async () => {
  const lab = beaconLab()
  const [talker, listener] = [lab.node('a'), lab.node('b')]
  await expect.poll(() => listener.heard.length).toBeGreaterThan(0)
  for (let snapshot = 2; snapshot < 2000; snapshot++) {
    talker.has.snapshot = snapshot
    talker.beacon.announce()
    await new Promise(resolve => setImmediate(resolve))
  }
  expect(talker.beacon.view().sent).toBeLessThanOrEqual(7)
  await expect.poll(() => listener.heard.at(-1)!.snapshot).toBe(1999)
})

test('where many say the same, one more is silent', async () => {
  const lab = beaconLab()
  const node = lab.node('a')
  const send = await lab.attacker()
  await expect.poll(() => node.beacon.view().sent).toBeGreaterThan(0)
  for (let number = 0; number < 8; number++) await send(sealBeacon(told({ node: `n${number}`, snapshot: 2 }), key))
  await expect.poll(() => node.heard).toHaveLength(8)
  const { sent } = node.beacon.view()
  node.has.snapshot = 2
  node.beacon.announce()
  await new Promise(resolve => setImmediate(resolve))
  expect(node.beacon.view().sent).toBe(sent)
})

test('more artifacts than a datagram holds: the newest are told', async () => {
  const lab = beaconLab()
  const listener = lab.node('a')
  const artifacts = Array.from({ length: 100 }, (_, at) => at.toString(16).padStart(40, '0') as never)
  lab.node('b'.repeat(128), { artifacts })
  await expect.poll(() => listener.heard.length).toBeGreaterThan(0)
  const [heard] = listener.heard
  expect(heard!.artifacts.length).toBeGreaterThan(10)
  expect(heard!.artifacts).toEqual(artifacts.slice(0, heard!.artifacts.length))
})

test('where some say the same, one joins in a little later, and not when enough others have by then', async () => {
  const lab = beaconLab()
  const clock = new ManualClock(Date.now())
  const node = lab.node('a', {}, clock)
  const send = await lab.attacker()
  await expect.poll(() => node.beacon.view().sent).toBeGreaterThan(0)
  const say = async (from: number, to: number, snapshot: number) => {
    for (let number = from; number < to; number++)
      await send(sealBeacon(told({ node: `n${number}`, snapshot, time: clock.now() + 1000 * snapshot }), key))
    const voices = () => node.heard.filter(each => each.snapshot === snapshot).length
    await expect.poll(voices).toBe(to)
  }
  await say(0, 8, 1)
  await clock.advance(250)
  const { sent } = node.beacon.view() // with the answer to newcomers
  await say(0, 3, 2)
  node.has.snapshot = 2
  node.beacon.announce()
  await clock.advance(0)
  expect(node.beacon.view().sent).toBe(sent)
  await clock.advance(1000)
  expect(node.beacon.view().sent).toBe(sent + 1)
  await say(0, 3, 3)
  node.has.snapshot = 3
  node.beacon.announce()
  await say(3, 8, 3)
  await clock.advance(1000)
  expect(node.beacon.view().sent).toBe(sent + 1)
})

test('one that was silent, since many said the same, joins in when there is something new again', async () => {
  const lab = beaconLab()
  const clock = new ManualClock(Date.now())
  const node = lab.node('a', {}, clock)
  const send = await lab.attacker()
  await expect.poll(() => node.beacon.view().sent).toBeGreaterThan(0)
  const say = async (voices: number, snapshot: number) => {
    for (let number = 0; number < voices; number++)
      await send(sealBeacon(told({ node: `n${number}`, snapshot, time: clock.now() + 1000 * snapshot }), key))
    await expect.poll(() => node.heard.filter(each => each.snapshot === snapshot)).toHaveLength(voices)
  }
  await say(8, 2)
  await clock.advance(250)
  node.has.snapshot = 2
  node.beacon.announce()
  await clock.advance(1000)
  const { sent } = node.beacon.view()
  await say(1, 3)
  node.has.snapshot = 3
  node.beacon.announce()
  await clock.advance(1000)
  expect(node.beacon.view().sent).toBe(sent + 1)
})
