/**
 * What a whole site may take over its line. The origin is where the bytes of all its seats come from, so here is where they are paced:
 * one limiter a site, which all transfers to it pass in turn. So a limit is divided among whoever is fetching at the moment, to the byte, and
 * who goes leaves his part to the rest. Sent at a pace, bytes do not wait in the router's queue, where they would hold up everything else.
 *
 *   [sites.berlin]            for this site           [sites."*"]        for each one that is not named, also where nodes say `auto`
 *   wan_down = "8Mbit"                                wan_down = "20Mbit"
 */
import type { Clock } from '../core/clock.ts'
import { inBackground, type Stoppable } from '../core/lifecycle.ts'
import type { Release } from '../core/release.ts'
import { second } from '../core/units.ts'
import { Limiter } from '../swarm/limits/limiter.ts'
import { Timetable, type TimetableConfig } from '../swarm/limits/timetable.ts'

export interface SiteConfig extends TimetableConfig<'wan_down'> {
  readonly emergency_overrides: boolean
}

interface Ruled {
  readonly timetable: Timetable<'wan_down'>
  readonly overrides: boolean
}

/** A site with transfers under way, or some not long ago: what the last one owes, the next one pays. */
interface Busy {
  readonly limiter: Limiter
  readonly ruled: Ruled
  transfers: number
}

/** A transfer's turn at the limit of its site; give it back when the transfer ends. */
export interface Turn {
  readonly limiter: Limiter
  giveBack(): void
}

const everyOther = '*'
/** Windows open and close in the middle of a transfer. */
const lookMs = second

export class SiteLimits implements Stoppable {
  readonly #ruled: ReadonlyMap<string, Ruled>
  readonly #clock: Clock
  readonly #busy = new Map<string, Busy>()
  readonly #looking: Stoppable

  constructor(sites: Readonly<Record<string, SiteConfig>>, clock: Clock) {
    this.#ruled = new Map(
      Object.entries(sites).map(([site, config]) => [
        site,
        { timetable: new Timetable<'wan_down'>(config), overrides: config.emergency_overrides },
      ]),
    )
    this.#clock = clock
    this.#looking = inBackground(ended => this.#run(ended))
  }

  /** A transfer to `site` begins. @param site See `siteKey`. @returns undefined: it has no limit, now or later. */
  begin(site: string, release: Pick<Release, 'priority'>): Turn | undefined {
    const ruled = this.#ruleOf(site, release)
    if (!ruled) return undefined
    const busy = this.#busy.get(site) ?? { limiter: new Limiter(this.#rate(ruled)), ruled, transfers: 0 }
    this.#busy.set(site, busy)
    busy.transfers++
    return {
      limiter: busy.limiter,
      giveBack: () => {
        busy.transfers--
      },
    }
  }

  /** Bytes a second for the whole site; `Infinity` for no limit. */
  of(site: string, release: Pick<Release, 'priority'>): number {
    const ruled = this.#ruleOf(site, release)
    return ruled ? this.#rate(ruled) : Number.POSITIVE_INFINITY
  }

  async stop(): Promise<void> {
    await this.#looking.stop()
  }

  #ruleOf(site: string, { priority }: Pick<Release, 'priority'>): Ruled | undefined {
    const ruled = this.#ruled.get(site) ?? this.#ruled.get(everyOther)
    return priority === 'emergency' && ruled?.overrides ? undefined : ruled
  }

  #rate({ timetable }: Ruled): number {
    return timetable.at('wan_down', this.#clock.now()).bytesPerSecond
  }

  async #run(ended: AbortSignal): Promise<void> {
    for (;;) {
      await this.#clock.sleep(lookMs, ended)
      for (const [site, { limiter, ruled, transfers }] of this.#busy) {
        limiter.setRate(this.#rate(ruled))
        if (transfers === 0 && limiter.take(0)) this.#busy.delete(site)
      }
    }
  }
}
