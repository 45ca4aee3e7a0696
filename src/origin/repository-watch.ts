/**
 * Sees a publish as soon as it is done: timestamp.json is the one file that a publish replaces, and it replaces it last. The system tells of
 * it where it can (inotify); where it cannot, on a network disk or while there is no repository yet, a look each second has to do.
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
import type { Catalogue } from './catalogue.ts'

const lookMs = second

export interface WatchParts {
  /** The repository. */
  readonly directory: string
  readonly catalogue: Pick<Catalogue, 'news'>
  readonly clock: Clock
  readonly log: Log
}

/** @param tell Hears of each change, not of what was in force at the start. */
export function watchRepository(
  { directory, catalogue, clock, log }: WatchParts,
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
    for (let told = await catalogue.news(); ; ) {
      // Listen before looking, or a publish between the two would wait for the next look.
      const change = moved.heardWithin(lookMs, clock, ended.signal)
      change.catch(() => {}) // awaited below
      const news = await catalogue.news()
      if (news && (news.timestamp !== told?.timestamp || news.snapshot !== told.snapshot)) tell(news)
      told = news ?? told
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
