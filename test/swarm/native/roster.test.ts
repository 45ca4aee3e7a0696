/** Who may connect when places are few. */
import { expect, test } from 'vitest'
import { minute } from '../../../src/core/units.ts'
import type { Peer } from '../../../src/swarm/native/peer.ts'
import { type Newcomer, Roster } from '../../../src/swarm/native/roster.ts'

const own = 'mmm'
const place = (roster: Roster, newcomer: Newcomer, usefulAt = 0, port = 1, listenPort?: number) => {
  const { host, id, direction } = newcomer
  const peer = {
    host,
    id,
    direction,
    usefulAt,
    listenPort,
    address: { host, port },
    closed: '',
    connection: {
      close(reason: string) {
        peer.closed = reason
        roster.delete(peer as unknown as Peer)
      },
    },
  }
  roster.add(peer as unknown as Peer)
  return peer
}
const from = (host: string, id = host, direction: 'in' | 'out' = 'in'): Newcomer => ({ host, id, direction })

test.each([
  ['we have the lower id and they dialled', 'zzz', 'out', 'in', false],
  ['we have the lower id and we dialled', 'zzz', 'in', 'out', true],
  ['we have the higher id and they dialled', 'aaa', 'out', 'in', true],
  ['we have the higher id and we dialled', 'aaa', 'in', 'out', false],
  ['the same side dialled twice', 'aaa', 'in', 'in', false],
] as const)('met twice, %s: both ends keep the same one', (_, id, first, second, replaced) => {
  const roster = new Roster(10, 4)
  const peer = place(roster, from('10.0.0.1', id, first))
  expect(roster.admit(from('10.0.0.1', id, second), own, 0, 0)).toBe(replaced)
  expect(peer.closed !== '').toBe(replaced)
})

test("another's peer id pushes nobody out", () => {
  const roster = new Roster(10, 4)
  const honest = place(roster, from('10.0.0.1', 'aaa', 'out'))
  expect(roster.admit(from('10.0.0.66', 'aaa'), own, 0, 0)).toBe(true)
  expect(honest.closed).toBe('')
})

test('one address has only so many connections; our own machine has no such limit', () => {
  const roster = new Roster(100, 4)
  for (let n = 0; n < 4; n++) place(roster, from('10.0.0.1', `${n}`))
  for (let n = 0; n < 9; n++) place(roster, from('127.0.0.1', `${n}`))
  expect(roster.admit(from('10.0.0.1', 'x'), own, 0, 0)).toBe(false)
  expect(roster.admit(from('10.0.0.2', 'x'), own, 0, 0)).toBe(true)
  expect(roster.admit(from('127.0.0.1', 'x'), own, 0, 0)).toBe(true)
})

test('those who dial us cannot take all places; those we dial can', () => {
  const roster = new Roster(10, 100)
  for (let n = 0; n < 8; n++) place(roster, from(`10.0.0.${n}`))
  expect(roster.admit(from('10.0.1.1'), own, 0, 0)).toBe(false)
  expect(roster.admit(from('10.0.1.1', 'x', 'out'), own, 0, 0)).toBe(true)
  expect(roster.admit(from('10.0.1.1', 'x', 'out'), own, 2, 0)).toBe(false)
})

test('full, the one that has been of no use for longest gives way, but nobody that was of use a moment ago', () => {
  const roster = new Roster(3, 100)
  const peers = [2 * minute, minute, 1.5 * minute].map((usefulAt, n) => place(roster, from(`10.0.0.${n}`), usefulAt))
  expect(roster.admit(from('10.0.1.1'), own, 0, minute + 1)).toBe(false)
  expect(roster.admit(from('10.0.1.1'), own, 0, 2 * minute)).toBe(true)
  expect(peers.map(({ closed }) => closed !== '')).toEqual([false, true, false])
})

test('whoever is connected is not dialled, whichever side dialled first', () => {
  const roster = new Roster(10, 4)
  place(roster, from('10.0.0.1', 'a', 'out'), 0, 46_001)
  place(roster, from('10.0.0.2', 'b', 'in'), 0, 55_555, 46_002)
  const connected = (host: string, port: number) => roster.isConnected({ host, port })
  expect([connected('10.0.0.1', 46_001), connected('10.0.0.2', 46_002)]).toEqual([true, true])
  expect([connected('10.0.0.2', 55_555), connected('10.0.0.1', 46_002)]).toEqual([false, false])
})
