import { expect, test } from 'vitest'
import { grantsFor, type Standing } from '../../../src/swarm/native/trust.ts'

const fresh: Standing = { good: 0, strikes: 0, held: 0, resting: false }
const proven: Standing = { good: 3, strikes: 0, held: 0, resting: false }
const struck: Standing = { good: 3, strikes: 1, held: 0, resting: false }
const probing: Standing = { good: 0, strikes: 0, held: 1, resting: false }
const clean = { good: 0, bad: 0, unstarted: 100 }

test('a new peer brings one piece, and only then more', () => {
  expect(grantsFor(fresh, [], clean)).toEqual({ start: true, help: false })
  expect(grantsFor(probing, [], clean)).toMatchObject({ start: false })
  expect(grantsFor({ ...proven, held: 3 }, [], clean)).toMatchObject({ start: true })
  expect(grantsFor({ ...proven, held: 4 }, [], clean)).toMatchObject({ start: false })
})

test('before anybody is proven, only a few are tried at a time', () => {
  const probes = (count: number) => Array<Standing>(count).fill(probing)
  expect(grantsFor(fresh, probes(7), clean).start).toBe(true)
  expect(grantsFor(fresh, probes(8), clean).start).toBe(false)
  expect(grantsFor(fresh, [...probes(30), proven], clean).start).toBe(true)
})

test('once there is poison, proven peers do the work and others are tried one at a time, within the loss that is borne', () => {
  const poisoned = { good: 16, bad: 5, unstarted: 100 }
  for (const suspect of [fresh, struck]) {
    expect(grantsFor(suspect, [proven], poisoned)).toEqual({ start: true, help: false })
    expect(grantsFor(suspect, [proven, probing], poisoned).start).toBe(false)
    expect(grantsFor(suspect, [proven], { ...poisoned, bad: 6 }).start).toBe(false)
  }
  expect(grantsFor(proven, [proven], { ...poisoned, bad: 1000 })).toEqual({ start: true, help: false })
  expect(grantsFor({ ...proven, held: 2 }, [proven], poisoned).start).toBe(false)
})

test('poison and nobody proven: whoever is left is tried, a few at a time', () => {
  const poisoned = { good: 0, bad: 1000, unstarted: 100 }
  expect(grantsFor(struck, [fresh, struck], poisoned).start).toBe(true)
  expect(grantsFor(struck, Array<Standing>(4).fill(probing), poisoned).start).toBe(false)
})

test('who has just brought a bad piece rests, even when nobody else is left', () => {
  const poisoned = { good: 0, bad: 1, unstarted: 100 }
  expect(grantsFor({ ...struck, resting: true }, [], poisoned)).toEqual({ start: false, help: false })
})

test('blocks beside others: from the proven always, from the new only at the end and without poison', () => {
  expect(grantsFor(proven, [], clean).help).toBe(true)
  expect(grantsFor(fresh, [], clean).help).toBe(false)
  expect(grantsFor(fresh, [], { ...clean, unstarted: 0 }).help).toBe(true)
  expect(grantsFor(fresh, [], { ...clean, unstarted: 0, bad: 1 }).help).toBe(false)
})
