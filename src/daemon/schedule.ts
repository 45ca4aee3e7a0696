/**
 * When cycles run: by the clock (node-cron, with jitter so that a company does not ask all at once), at once on demand, and after
 * a failure again with growing pauses. One runner a channel, one run at a time.
 */
import { createTask, validate } from 'node-cron'
import type { Clock } from '../core/clock.ts'
import { inBackground, type Stoppable } from '../core/lifecycle.ts'
import { minute } from '../core/units.ts'

export function isSchedule(expression: string): boolean {
  return validate(expression)
}

export interface Schedule extends Stoppable {
  /** When it triggers next, ms since 1970. */
  readonly nextAt: number
}

/** The wall clock is looked at this often: it may be set, and a machine may sleep, while we wait for a time of day. */
const lookMs = minute

/**
 * Call `trigger` by the clock. node-cron only says when; the waiting is ours, since clocks jump:
 *
 *   the machine slept, or the clock was set ahead   a time that was missed is made up for, once: else a nightly schedule would never
 *                                                   run on a machine that is asleep every night
 *   the clock was set back                          it triggers, and waits for the next time by the new clock: a machine that
 *                                                   started in 2036 and was put right must not wait for 2036
 *
 * @param expression As `isSchedule` has it; in local time.
 * @param jitterMs Each call comes up to this much late, evenly spread. Longer than the interval, it thins the calls out.
 */
export function startSchedule(
  expression: string,
  jitterMs: number,
  trigger: () => void,
  { clock, random }: { clock: Clock; random: () => number },
): Schedule {
  const task = createTask(expression, () => {}) // never started
  const plan = () => task.getNextRuns(1)[0]!.getTime() + random() * jitterMs
  let nextAt = plan()
  const running = inBackground(async ended => {
    for (let seen = clock.now(); ; seen = clock.now()) {
      await clock.sleep(Math.min(lookMs, Math.max(0, nextAt - seen)), ended)
      const now = clock.now()
      if (now < nextAt && now > seen - lookMs) continue
      trigger()
      nextAt = plan()
    }
  })
  return {
    get nextAt() {
      return nextAt
    },
    async stop() {
      await running.stop()
      await task.destroy()
    },
  }
}

const longestRetryMs = 15 * minute

export interface Runner<Result> extends Stoppable {
  /** Run now, or join the run under way. */
  run(): Promise<Result>
  /**
   * As `run`, but the run under way does not do: it may have looked before the news that somebody knows of. Then one more comes after it,
   * however many ask for it meanwhile. When the runner is stopped before that, the result of the run under way.
   */
  runAfresh(): Promise<Result>
  /** Wall time of the retry that is planned after a failure, ms since 1970. */
  readonly retryAt: number | undefined
}

/**
 * Runs `work` one at a time, and again by itself after a failure: after `retryMs`, then twice as long each time, up to 15 minutes,
 * each pause shortened by up to a quarter at random.
 *
 * @param work Never throws; its outcome is `failed` or something better.
 * @param random In [0, 1).
 */
export function startRunner<Result extends { readonly outcome: string }>(
  work: (signal: AbortSignal) => Promise<Result>,
  { retryMs, clock, random }: { retryMs: number; clock: Clock; random: () => number },
): Runner<Result> {
  const ended = new AbortController()
  let running: Promise<Result> | undefined
  let following: Promise<Result> | undefined
  let failures = 0
  let planned: { cancel: AbortController; at: number } | undefined

  const run = (): Promise<Result> => {
    running ??= once().finally(() => {
      running = undefined
    })
    return running
  }

  const runAfresh = (): Promise<Result> => {
    if (!running) return run()
    following ??= running.then(result => {
      following = undefined
      return ended.signal.aborted ? result : run()
    })
    return following
  }

  const once = async (): Promise<Result> => {
    planned?.cancel.abort()
    planned = undefined
    const result = await work(ended.signal)
    const failed = result.outcome === 'failed'
    failures = failed ? failures + 1 : 0
    if (failed && !ended.signal.aborted) planRetry()
    return result
  }

  const planRetry = (): void => {
    const pauseMs = Math.min(longestRetryMs, retryMs * 2 ** Math.min(failures - 1, 10)) * (1 - random() / 4)
    const cancel = new AbortController()
    planned = { cancel, at: clock.now() + pauseMs }
    clock.sleep(pauseMs, AbortSignal.any([cancel.signal, ended.signal])).then(
      () => void run(),
      () => {}, // cancelled: another run came first, or the daemon stops
    )
  }

  return {
    run,
    runAfresh,
    get retryAt() {
      return planned?.at
    },
    async stop() {
      ended.abort(new DOMException('the daemon is stopping', 'AbortError'))
      await running?.catch(() => {})
    },
  }
}
