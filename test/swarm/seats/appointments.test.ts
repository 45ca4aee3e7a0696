/** When nodes without a seat are told to come again, as they do what they are told for a minute. */
import { expect, test } from 'vitest'
import { minute, second } from '../../../src/core/units.ts'
import { Appointments } from '../../../src/swarm/seats/appointments.ts'
import { longestWaitMs, seatlessMs, waitingApartMs } from '../../../src/swarm/seats/rules.ts'

/** All ask within this second, and then come when they are told. @returns How many come in each second, from when all have asked twice. */
function comings(nodes: number): number[] {
  const appointments = new Appointments()
  const all = Array.from({ length: nodes }, () => ({ comesAt: Number.NEGATIVE_INFINITY }))
  const due = Array.from({ length: nodes }, (_, node) => (node * second) / nodes)
  const perSecond = new Array<number>(minute / second).fill(0)
  for (;;) {
    const now = Math.min(...due)
    if (now >= minute) return perSecond.slice(12)
    perSecond[Math.floor(now / second)]!++
    const node = due.indexOf(now)
    const waitMs = appointments.nextMs(all[node]!, now, seatlessMs)
    expect(waitMs).toBeGreaterThanOrEqual(seatlessMs)
    expect(waitMs).toBeLessThanOrEqual(longestWaitMs)
    due[node] = now + waitMs
  }
}

test('fifteen come one after the other', () => {
  expect(Math.max(...comings(15))).toBeLessThanOrEqual(Math.ceil(second / waitingApartMs))
})

test.each([50, 200])('more than there are appointments (%i): some at once, and never all', nodes => {
  expect(Math.max(...comings(nodes))).toBeLessThan(nodes / 4)
})
