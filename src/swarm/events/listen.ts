/**
 * Keeps this node's ear at the origin: one connection, opened anew whenever it ends. Where others of the site listen already, it asks again
 * now and then, in case one of them has gone.
 *
 *   ended, or the line is cut    again after half a second, then twice as long each time, up to two minutes; of that, a random half
 *   turned away                  again after as long as the origin says, a quarter more or less
 */
import type { Clock } from '../../core/clock.ts'
import { DownloadError, describeError } from '../../core/errors.ts'
import type { Stoppable } from '../../core/lifecycle.ts'
import type { Log } from '../../core/log.ts'
import { minute } from '../../core/units.ts'
import { Backoff } from '../backoff.ts'
import type { OriginClient } from '../origin-client.ts'
import type { NodePlace, OriginNews } from './protocol.ts'

export interface ListenParts {
  readonly client: Pick<OriginClient, 'events'>
  /** Who listens, as it is now: a laptop's address changes. */
  request(): NodePlace
  /** Hears what the origin has in force, and each change of it. */
  onNews(news: OriginNews): void
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly log: Log
}

export interface EarView {
  /** `listening`: news comes at once. `spared`: others of the site listen. `waiting`: it could not be opened, and is tried again. */
  readonly state: 'connecting' | 'listening' | 'spared' | 'waiting'
  readonly lastError: DownloadError | null
}

export interface Ear extends Stoppable {
  view(): EarView
}

const longestBackoffMs = 2 * minute

/** Listen until stopped. Nothing that goes wrong on the way is an error of the caller's. */
export function listenToOrigin({ client, request, onNews, clock, random, log }: ListenParts): Ear {
  const over = new AbortController()
  const backoff = new Backoff(random, longestBackoffMs)
  let view: EarView = { state: 'connecting', lastError: null }

  /** @returns How long to wait before the next time. */
  const listenOnce = async (): Promise<number> => {
    const heard = (news: OriginNews) => {
      backoff.reset()
      view = { state: 'listening', lastError: null }
      onNews(news)
    }
    const opened = () => {
      view = { state: 'listening', lastError: null }
    }
    const spared = await client.events(request(), { onOpen: opened, onNews: heard, signal: over.signal })
    view = { state: spared ? 'spared' : 'waiting', lastError: null }
    return spared ? spared.retryAfterMs * (0.75 + random() / 2) : backoff.next()
  }

  const run = async () => {
    for (;;) {
      let waitMs: number
      try {
        waitMs = await listenOnce()
      } catch (error) {
        if (over.signal.aborted || !(error instanceof DownloadError)) throw error
        waitMs = backoff.next()
        view = { state: 'waiting', lastError: error }
        log.debug({ ...describeError(error), waitMs }, 'the origin does not tell of news')
      }
      await clock.sleep(waitMs, over.signal)
    }
  }
  const done = run().catch(error => {
    if (!over.signal.aborted) log.error(describeError(error), 'this node hears of news by beacon and schedule only')
  })
  return {
    view: () => view,
    async stop() {
      over.abort(new Error('the ear was stopped'))
      await done
    },
  }
}
