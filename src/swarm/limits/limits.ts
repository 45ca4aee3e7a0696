/**
 * The limits of one node, kept in step with the clock: three limiters that everything in the process shares, whatever the number of
 * channels, artifacts and neighbours. What an emergency release does is let through beside them, if this machine's configuration says so.
 */
import type { Clock } from '../../core/clock.ts'
import { inBackground, type Stoppable } from '../../core/lifecycle.ts'
import type { Release } from '../../core/release.ts'
import { second } from '../../core/units.ts'
import { Limiter } from './limiter.ts'
import { type Standing, Timetable, type TimetableConfig } from './timetable.ts'

export const limitNames = ['wan_down', 'lan_up', 'lan_down'] as const
export type LimitName = (typeof limitNames)[number]

export interface LimitsConfig extends TimetableConfig<LimitName> {
  readonly emergency_overrides: boolean
}

/** What one artifact obeys. */
export type LimiterSet = Readonly<Record<LimitName, Limiter>>

/** @param now Ms since 1970. @returns What is in force then. */
export function limitsAt(config: LimitsConfig, now: number): Readonly<Record<LimitName, Standing>> {
  return standings(new Timetable<LimitName>(config), now)
}

function standings(timetable: Timetable<LimitName>, now: number): Readonly<Record<LimitName, Standing>> {
  const at = (name: LimitName) => timetable.at(name, now)
  return { wan_down: at('wan_down'), lan_up: at('lan_up'), lan_down: at('lan_down') }
}

/** The wall clock is looked at this often: it may be set, and windows open and close in the middle of a transfer. */
const lookMs = second

export class Limits implements Stoppable {
  readonly #timetable: Timetable<LimitName>
  readonly #overrides: boolean
  readonly #clock: Clock
  readonly #limiters: LimiterSet = { wan_down: new Limiter(), lan_up: new Limiter(), lan_down: new Limiter() }
  readonly #none: LimiterSet = { wan_down: new Limiter(), lan_up: new Limiter(), lan_down: new Limiter() }
  readonly #looking: Stoppable

  constructor(config: LimitsConfig, clock: Clock) {
    this.#timetable = new Timetable<LimitName>(config)
    this.#overrides = config.emergency_overrides
    this.#clock = clock
    this.#looking = inBackground(ended => this.#run(ended))
  }

  /** What the exchange of this release has to obey. */
  of({ priority }: Pick<Release, 'priority'>): LimiterSet {
    return priority === 'emergency' && this.#overrides ? this.#none : this.#limiters
  }

  /** In force now. */
  view(): Readonly<Record<LimitName, Standing>> {
    return standings(this.#timetable, this.#clock.now())
  }

  async stop(): Promise<void> {
    await this.#looking.stop()
  }

  async #run(ended: AbortSignal): Promise<void> {
    for (;;) {
      const view = this.view()
      for (const name of limitNames) this.#limiters[name].setRate(view[name].bytesPerSecond)
      if (this.#timetable.isFixed) return // an idle node need not wake up for that
      await this.#clock.sleep(lookMs, ended)
    }
  }
}
