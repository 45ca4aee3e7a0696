import { expect, test } from 'vitest'
import { type Customer, judge, turnMs, uploadSlots } from '../../../src/swarm/native/choker.ts'

const customer = (interested: boolean, choked: boolean, since = 0): Customer => ({ interested, choked, since })

test('all who want something are served while there are slots', () => {
  const waiting = [1, 2, 3].map(() => customer(true, true))
  expect(judge([...waiting, customer(false, true)], 0)).toEqual({ choke: [], unchoke: waiting })
})

test('never more than the slots at a time, whatever has been and whoever comes', () => {
  for (let served = 0; served <= uploadSlots; served++)
    for (const now of [0, turnMs]) {
      const peers = [
        ...Array.from({ length: served }, () => customer(true, false)),
        ...Array.from({ length: 2 * uploadSlots }, () => customer(true, true)),
      ]
      const { choke, unchoke } = judge(peers, now)
      expect(served - choke.length + unchoke.length).toBe(uploadSlots)
    }
})

test('after a turn the longest served gives way to the longest waiting, and only when somebody waits', () => {
  const served = [1, 2, 3].map(since => customer(true, false, since))
  const waiting = [6, 5].map(since => customer(true, true, since))
  expect(judge(served, turnMs + 9, 3)).toEqual({ choke: [], unchoke: [] })
  expect(judge([...served, ...waiting], turnMs - 1, 3)).toEqual({ choke: [], unchoke: [] })
  expect(judge([...served, ...waiting], turnMs + 9, 3)).toEqual({
    choke: [served[0], served[1]],
    unchoke: [waiting[1], waiting[0]],
  })
})

test('who wants nothing more gives its slot back, first of all, and only when somebody waits', () => {
  const idle = customer(false, false)
  const served = customer(true, false)
  const next = customer(true, true)
  expect(judge([idle, served], turnMs, 2)).toEqual({ choke: [], unchoke: [] })
  expect(judge([idle, served, next], turnMs, 2)).toEqual({ choke: [idle], unchoke: [next] })
  expect(judge([idle, next], 0, 2)).toEqual({ choke: [], unchoke: [next] })
})
