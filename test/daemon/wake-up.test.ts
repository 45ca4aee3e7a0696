/** What hints can make a node do: look now, and not too often. */
import { expect, onTestFinished, test } from 'vitest'
import { minute } from '../../src/core/units.ts'
import { WakeUp } from '../../src/daemon/wake-up.ts'
import { ManualClock } from '../support/manual-clock.ts'

function sleeper() {
  const clock = new ManualClock()
  const node = { held: 5, woken: 0, clock }
  const wakeUp = new WakeUp({ held: () => node.held, wake: () => node.woken++, clock })
  onTestFinished(() => wakeUp.stop())
  return { ...node, node, hear: (snapshot: number) => wakeUp.hear(snapshot), wakeUp }
}

test('what is not newer than what is held wakes nobody', () => {
  const { node, hear } = sleeper()
  expect([0, 4, 5].map(hear)).toEqual([false, false, false])
  expect(node.woken).toBe(0)
})

test('news wakes at once, and the same news from many neighbours only once', () => {
  const { node, hear } = sleeper()
  expect(hear(6)).toBe(true)
  expect(node.woken).toBe(1)
  for (let time = 0; time < 40; time++) expect(hear(6)).toBe(false)
  expect(node.woken).toBe(1)
})

test('news that was looked for in vain is looked for again after a minute, if somebody still speaks of it', async () => {
  const { node, clock, hear } = sleeper()
  hear(6)
  await clock.advance(minute - 1)
  expect(hear(6)).toBe(false)
  await clock.advance(1)
  expect(hear(6)).toBe(true)
  expect(node.woken).toBe(2)
})

test('a flood of ever newer news wakes once a second, and the last of it is not lost', async () => {
  const { node, clock, hear } = sleeper()
  for (let version = 6; version < 10_000; version++) hear(version)
  expect(node.woken).toBe(1)
  await clock.advance(999)
  expect(node.woken).toBe(1)
  await clock.advance(1)
  expect(node.woken).toBe(2)
  await clock.advance(minute)
  expect(node.woken).toBe(2)
})

test('stopped before it was woken: nothing wakes any more', async () => {
  const { node, clock, hear, wakeUp } = sleeper()
  hear(6)
  hear(7)
  await wakeUp.stop()
  await clock.advance(minute)
  expect(node.woken).toBe(1)
})
