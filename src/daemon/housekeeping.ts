/** What a node does beside its cycles: figures to the disk, old artifacts off it, and after a restart to serve again what it served. */
import type { Clock } from '../core/clock.ts'
import { describeError } from '../core/errors.ts'
import { inBackground, type Stoppable, stopAll } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import { minute } from '../core/units.ts'
import type { Channel } from './channel.ts'
import type { Exchanges } from './exchanges.ts'

const intervalMs = minute

export interface HousekeepingParts {
  readonly channels: readonly Channel[]
  readonly exchanges: Exchanges
  readonly clock: Clock
  readonly log: Log
}

export function startHousekeeping({ channels, exchanges, clock, log }: HousekeepingParts): Stoppable {
  const serving = inBackground(async ended => {
    await Promise.all(channels.map(channel => channel.serveAgain(ended)))
  })
  const tidying = inBackground(async ended => {
    for (;;) {
      await clock.sleep(intervalMs, ended)
      await exchanges.expire(clock.now()).catch(error => log.warn({ ...describeError(error) }, 'old artifacts stay'))
      for (const channel of channels) await channel.save()
    }
  })
  return { stop: () => stopAll([serving, tidying]) }
}
