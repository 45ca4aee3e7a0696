/** What a node does beside its cycles: figures to the disk, old artifacts off it, and after a restart to serve again what it served. */
import type { Clock } from '../core/clock.ts'
import { describeError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
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
  const ended = new AbortController()
  const serving = Promise.all(channels.map(channel => channel.serveAgain(ended.signal)))
  const done = (async () => {
    for (;;) {
      await clock.sleep(intervalMs, ended.signal)
      await exchanges.expire(clock.now()).catch(error => log.warn({ ...describeError(error) }, 'old artifacts stay'))
      for (const channel of channels) await channel.save()
    }
  })().catch(error => {
    if (!ended.signal.aborted) throw error
  })
  return {
    async stop() {
      ended.abort(new DOMException('the daemon is stopping', 'AbortError'))
      await Promise.all([done, serving])
    },
  }
}
