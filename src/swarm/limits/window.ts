/**
 * Windows: when a limit of its own holds, by the clock on the wall and the day of the week. Pure.
 *
 *   days = ["mon", "fri"]  from = "08:00"  to = "18:00"     8:00 to 17:59:59 on both days
 *   days = ["fri"]         from = "22:00"  to = "06:00"     from Friday night into Saturday morning: the day is that of the beginning
 *   days = ["sun"]         from = "00:00"  to = "24:00"     all of Sunday
 *
 * Only what the wall clock shows counts. When the clocks change, a window that spans the change is an hour shorter or longer, an hour
 * that the clock shows twice is in it twice, and one that it never shows is never.
 */
import { z } from '../../core/schema.ts'

export const weekdays = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const
export type Weekday = (typeof weekdays)[number]

const minutesPerDay = 24 * 60

/** `HH:MM`, as minutes since midnight. */
const wallTime = z
  .string()
  .regex(/^(?:[01]\d|2[0-3]):[0-5]\d$|^24:00$/, 'expected a time of day from "00:00" to "24:00"')
  .transform(text => Number(text.slice(0, 2)) * 60 + Number(text.slice(3)))

/** The keys of a window that say when. */
export const windowTimes = {
  /** On which it begins. Default: every day. */
  days: z
    .array(z.enum(weekdays))
    .min(1, 'expected at least one day, such as "mon"')
    .default([...weekdays]),
  from: wallTime.refine(minutes => minutes < minutesPerDay, 'expected a time of day before "24:00"'),
  to: wallTime.refine(minutes => minutes > 0, 'expected a time of day after "00:00", where a day ends at "24:00"'),
}

export interface Window {
  readonly days: readonly Weekday[]
  /** Minutes since midnight, 0 to 1439. */
  readonly from: number
  /** 1 to 1440. Not after `from`: of the next day. */
  readonly to: number
}

/** What a clock on the wall shows. */
export interface WallClock {
  readonly day: Weekday
  /** Since midnight, 0 to 1439. */
  readonly minute: number
}

export function isOpen({ days, from, to }: Window, { day, minute }: WallClock): boolean {
  if (from < to) return days.includes(day) && from <= minute && minute < to
  return (days.includes(day) && minute >= from) || (days.includes(dayBefore(day)) && minute < to)
}

function dayBefore(day: Weekday): Weekday {
  return weekdays[(weekdays.indexOf(day) + weekdays.length - 1) % weekdays.length]!
}

/** `mon, tue 08:00-18:00`; without the days when it is all of them. */
export function formatWindow({ days, from, to }: Window): string {
  const time = (minutes: number) =>
    `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`
  const span = `${time(from)}-${time(to)}`
  return days.length === weekdays.length ? span : `${days.join(', ')} ${span}`
}

export const timeZone = z.string().refine(isTimeZone, 'expected the name of a time zone, such as "Europe/Berlin"')

/**
 * A clock on the wall.
 *
 * @param zone IANA name. Default: where this machine is, as it was when the clock was hung.
 * @returns What it shows at `now`, ms since 1970.
 */
export function wallClock(zone?: string): (now: number) => WallClock {
  const format = new Intl.DateTimeFormat('en-GB', {
    ...(zone !== undefined && { timeZone: zone }),
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  })
  return now => {
    const shown = new Map(format.formatToParts(now).map(({ type, value }) => [type, value]))
    const day = shown.get('weekday')!.toLowerCase() as Weekday
    return { day, minute: Number(shown.get('hour')) * 60 + Number(shown.get('minute')) }
  }
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-GB', { timeZone: name })
    return true
  } catch {
    return false
  }
}
