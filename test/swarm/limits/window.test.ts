/** When a window is open: midnight, days of the week, and the two nights a year on which the clocks change. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hour, minute } from '../../../src/core/units.ts'
import { formatWindow, isOpen, type Window, wallClock, weekdays } from '../../../src/swarm/limits/window.ts'

const minutesPerDay = 24 * 60
const window = fc
  .record({
    days: fc.uniqueArray(fc.constantFrom(...weekdays), { minLength: 1 }),
    from: fc.integer({ min: 0, max: minutesPerDay - 1 }),
    to: fc.integer({ min: 1, max: minutesPerDay }),
  })
  .filter(({ from, to }) => from !== to)
const shown = fc.record({ day: fc.constantFrom(...weekdays), minute: fc.integer({ min: 0, max: minutesPerDay - 1 }) })

/** Minutes since Sunday midnight at which it is open, by adding up from its beginnings. */
function openMinutes({ days, from, to }: Window): Set<number> {
  const span = to > from ? to - from : to + minutesPerDay - from
  const open = new Set<number>()
  for (const day of days)
    for (let at = 0; at < span; at++)
      open.add((weekdays.indexOf(day) * minutesPerDay + from + at) % (7 * minutesPerDay))
  return open
}

describe('properties', () => {
  test('open is what is less than its length after one of its beginnings', () => {
    fc.assert(
      fc.property(window, fc.array(shown, { minLength: 1, maxLength: 50 }), (window, clocks) => {
        const open = openMinutes(window)
        for (const clock of clocks)
          expect(isOpen(window, clock)).toBe(open.has(weekdays.indexOf(clock.day) * minutesPerDay + clock.minute))
      }),
    )
  })

  test('a window over midnight is its two halves', () => {
    fc.assert(
      fc.property(
        window.filter(({ from, to }) => to <= from),
        shown,
        ({ days, from, to }, clock) => {
          const next = days.map(day => weekdays[(weekdays.indexOf(day) + 1) % 7]!)
          const halves = [
            { days, from, to: minutesPerDay },
            { days: next, from: 0, to },
          ]
          expect(isOpen({ days, from, to }, clock)).toBe(halves.some(half => isOpen(half, clock)))
        },
      ),
    )
  })

  test('at every instant of the year exactly one of two windows that share out the day is open, in every zone', () => {
    const zone = fc.constantFrom('Europe/Berlin', 'America/St_Johns', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'UTC')
    const instant = fc.integer({ min: Date.UTC(2026, 0, 1), max: Date.UTC(2027, 0, 1) })
    const days = [...weekdays]
    fc.assert(
      fc.property(zone, instant, window, (zone, instant, { from, to }) => {
        fc.pre(from > 0 && to < minutesPerDay)
        const clock = wallClock(zone)(instant)
        expect(isOpen({ days, from, to }, clock)).toBe(!isOpen({ days, from: to, to: from }, clock))
      }),
    )
  })
})

describe('the nights on which the clocks change, in Berlin', () => {
  const berlin = wallClock('Europe/Berlin')
  const openFor = (window: Window, from: number, hours: number) => {
    let minutes = 0
    for (let at = from; at < from + hours * hour; at += minute) if (isOpen(window, berlin(at))) minutes++
    return minutes / 60
  }
  const night = { days: ['sat' as const], from: 22 * 60, to: 6 * 60 }

  test.each([
    ['forward: the night is an hour shorter', Date.UTC(2026, 2, 28, 12), night, 7],
    ['back: the night is an hour longer', Date.UTC(2026, 9, 24, 12), night, 9],
    ['any other: eight hours', Date.UTC(2026, 5, 27, 12), night, 8],
    [
      'forward: an hour that is not shown',
      Date.UTC(2026, 2, 28, 12),
      { days: ['sun' as const], from: 120, to: 180 },
      0,
    ],
    ['back: an hour that is shown twice', Date.UTC(2026, 9, 24, 12), { days: ['sun' as const], from: 120, to: 180 }, 2],
  ])('%s', (_, noon, window, hours) => {
    expect(openFor(window, noon, 24)).toBe(hours)
  })

  test('midnight is 00:00 of the new day', () => {
    expect(berlin(Date.UTC(2026, 10, 22, 23, 0))).toEqual({ day: 'mon', minute: 0 })
    expect(berlin(Date.UTC(2026, 10, 22, 22, 59))).toEqual({ day: 'sun', minute: minutesPerDay - 1 })
  })
})

test('a window for people', () => {
  expect(formatWindow({ days: [...weekdays], from: 0, to: minutesPerDay })).toBe('00:00-24:00')
  expect(formatWindow({ days: ['fri', 'sat'], from: 22 * 60, to: 390 })).toBe('fri, sat 22:00-06:30')
})
