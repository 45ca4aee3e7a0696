import { expect, test } from 'vitest'
import { ReplayGuard } from '../../src/origin/replay-guard.ts'

const start = 1_000_000
const guard = () => new ReplayGuard(start)

test('the same nonce a second time is a replay; for another key, or in another second, it is not', () => {
  const it = guard()
  expect(it.judge('a', 'n', start, start)).toBe('fresh')
  expect(it.judge('a', 'n', start, start)).toBe('replayed')
  expect(it.judge('b', 'n', start, start)).toBe('fresh')
  expect(it.judge('a', 'n', start + 1, start)).toBe('fresh')
})

test.each([
  [-301, 'skewed'],
  [-300, 'fresh'],
  [300, 'fresh'],
  [301, 'skewed'],
])('a request made %i s from now: %s', (offset, verdict) => {
  expect(guard().judge('a', 'n', start + 1000 + offset, start + 1000)).toBe(verdict)
})

test('what was made before the origin started is refused: its nonces are forgotten', () => {
  expect(guard().judge('a', 'n', start - 1, start)).toBe('replayed')
})

test('an old request is refused for as long as it is in time, also when its nonce is forgotten', () => {
  const it = guard()
  expect(it.judge('a', 'first', start, start)).toBe('fresh')
  for (let at = 1; at <= 300; at++) it.judge('a', `later ${at}`, start + at, start + at)
  expect(it.size).toBeLessThan(70)
  for (let at = 0; at <= 300; at++)
    expect(it.judge('a', at === 0 ? 'first' : `later ${at}`, start + at, start + 300)).toBe('replayed')
})

test('requests may overtake each other by up to a minute', () => {
  const it = guard()
  expect(it.judge('a', 'late', start + 100, start + 100)).toBe('fresh')
  expect(it.judge('a', 'early', start + 40, start + 100)).toBe('fresh')
  expect(it.judge('a', 'too early', start + 39, start + 100)).toBe('replayed')
})

test('one key asks without end: what is kept of it is bounded, others are let in', () => {
  const it = guard()
  const verdicts = new Set(Array.from({ length: 20_000 }, (_, at) => it.judge('a', `${at}`, start, start)))
  expect(verdicts).toEqual(new Set(['fresh', 'full']))
  expect(it.size).toBe(8192)
  expect(it.judge('b', 'n', start, start)).toBe('fresh')
  expect(it.judge('a', 'n', start + 61, start + 61)).toBe('fresh')
})

test('keys that have fallen silent are forgotten', () => {
  const it = guard()
  for (let at = 0; at < 1000; at++) it.judge(`key ${at}`, 'n', start, start)
  expect(it.size).toBe(1000)
  expect(it.judge('other', 'n', start + 301, start + 301)).toBe('fresh')
  expect(it.size).toBe(1)
})
