/**
 * Sees a publish as soon as it is done: timestamp.json is the one file that a publish replaces, and it replaces it last. The system tells of
 * it where it can (inotify); where it cannot, on a network disk or while there is no repository yet, a look each second has to do. That
 * look sees a revocation too, which a command writes beside the running origin.
 */
import { type FSWatcher, watch } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { describeError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import { second } from '../core/units.ts'
import { Bell } from '../swarm/bell.ts'
import type { OriginNews } from '../swarm/events/protocol.ts'

const lookMs = second

export interface WatchParts {
  /** The repository. */
  readonly directory: string
  /** What is in force at this moment. */
  news(): Promise<OriginNews>
  readonly clock: Clock
  readonly log: Log
}

/** @param tell Hears of each change, not of what was in force at the start. */
export function watchRepository(
  { directory, news: look, clock, log }: WatchParts,
  tell: (news: OriginNews) => void,
): Stoppable {
  const ended = new AbortController()
  const moved = new Bell()
  let watcher: FSWatcher | undefined
  const unwatch = () => {
    watcher?.close()
    watcher = undefined
  }
  const listen = () => {
    try {
      watcher ??= watch(join(directory, 'metadata'), { persistent: false }, () => moved.ring()).on('error', unwatch)
    } catch {
      // There is no such directory yet, or the system has no watch left: the look each second does.
    }
  }
  const run = async () => {
    listen()
    for (let told = JSON.stringify(await look()); ; ) {
      // Listen before looking, or a publish between the two would wait for the next look.
      const change = moved.heardWithin(lookMs, clock, ended.signal)
      change.catch(() => {}) // awaited below
      const news = await look()
      if (JSON.stringify(news) !== told) tell(news)
      told = JSON.stringify(news)
      await change
      listen()
    }
  }
  const done = run().catch(error => {
    if (!ended.signal.aborted) log.error(describeError(error), 'nodes hear of news by their schedule only')
  })
  return {
    async stop() {
      ended.abort(new Error('the watch was stopped'))
      unwatch()
      await done
    },
  }
}
