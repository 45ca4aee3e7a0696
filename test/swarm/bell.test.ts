import { expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { hour } from '../../src/core/units.ts'
import { Bell } from '../../src/swarm/bell.ts'

const never = new AbortController().signal

test('who waits for something in particular sleeps through the rings before it', async () => {
  const bell = new Bell()
  let count = 0
  let woken = false
  const waiting = bell.heardWithin(hour, systemClock, never, () => count === 3).then(() => (woken = true))
  for (count = 1; count < 3; count++) bell.ring()
  await new Promise(setImmediate)
  expect(woken).toBe(false)
  bell.ring()
  await waiting
})

test('news that does not come: the time ends the wait', async () => {
  const bell = new Bell()
  const waiting = bell.heardWithin(1, systemClock, never, () => false)
  bell.ring()
  await waiting
})

test('a wait that is called off says why, and hears no more', async () => {
  const bell = new Bell()
  const off = new AbortController()
  let asked = 0
  const waiting = bell.heard(off.signal, () => ++asked > 1)
  bell.ring()
  off.abort(new Error('called off'))
  await expect(waiting).rejects.toThrow('called off')
  bell.ring()
  expect(asked).toBe(1)
})
