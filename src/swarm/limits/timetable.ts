/**
 * Limits by the time of day, as a configuration file names them, and what is in force now. The first window that is open and names a limit
 * decides it; where none does, what stands outside the windows holds; where nothing does, there is no limit.
 *
 *   [limits]
 *   wan_down = "10Mbit"
 *
 *   [[limits.window]]
 *   days = ["mon", "tue", "wed", "thu", "fri"]
 *   from = "08:00"
 *   to = "18:00"
 *   wan_down = "4Mbit"
 */
import { z } from '../../core/schema.ts'
import { formatWindow, isOpen, timeZone, type Window, wallClock, windowTimes } from './window.ts'

const mostWindows = 100

type Rates<Name extends string> = Readonly<Partial<Record<Name, number | undefined>>>
type LimitWindow<Name extends string> = Window & Rates<Name>
export type TimetableConfig<Name extends string> = Rates<Name> & {
  readonly timezone?: string | undefined
  readonly window: readonly LimitWindow<Name>[]
}

/** The keys of a table of limits. @param rates A schema for each limit, as `rateOf` makes them. */
export function timetableKeys<Name extends string>(rates: Readonly<Record<Name, z.ZodType<number>>>) {
  const names = Object.keys(rates) as Name[]
  const limits = Object.fromEntries(names.map(name => [name, rates[name].optional()])) as {
    [each in Name]: z.ZodOptional<z.ZodType<number>>
  }
  const window = z.strictObject({ ...windowTimes, ...limits }).superRefine((value, context) => {
    const open = value as unknown as LimitWindow<Name>
    if (open.from === open.to) {
      const message = 'expected another time than `from`; a whole day is from "00:00" to "24:00"'
      context.addIssue({ code: 'custom', path: ['to'], message })
    }
    if (names.every(name => open[name] === undefined))
      context.addIssue({ code: 'custom', message: `expected a limit: ${names.join(', ')}` })
  }) as unknown as z.ZodType<LimitWindow<Name>>
  return {
    ...limits,
    /** Whose clock on the wall counts. Default: this machine's. */
    timezone: timeZone.optional(),
    window: z.array(window).max(mostWindows).default([]),
  }
}

/** A limit in force. */
export interface Standing {
  /** `Infinity`: none. */
  readonly bytesPerSecond: number
  /** The window that says so, for people; undefined: what holds outside the windows. */
  readonly window: string | undefined
}

export class Timetable<Name extends string> {
  readonly #config: TimetableConfig<Name>
  readonly #wallClock: ReturnType<typeof wallClock>

  constructor(config: TimetableConfig<Name>) {
    this.#config = config
    this.#wallClock = wallClock(config.timezone)
  }

  /** Does nothing ever change, as there are no windows? */
  get isFixed(): boolean {
    return this.#config.window.length === 0
  }

  /** Which limit of that name is in force at `now`, ms since 1970. */
  at(name: Name, now: number): Standing {
    const shown = this.isFixed ? undefined : this.#wallClock(now)
    const open = shown && this.#config.window.find(window => window[name] !== undefined && isOpen(window, shown))
    const bytesPerSecond = open?.[name] ?? this.#config[name] ?? Number.POSITIVE_INFINITY
    return { bytesPerSecond, window: open && formatWindow(open) }
  }
}
