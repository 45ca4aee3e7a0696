/**
 * From a hint to a cycle. Somebody says that there is a newer snapshot: the origin by its event stream, a neighbour by its beacon. A hint
 * proves nothing, so all it can do is make this node look now and not later, and not more often than once a second.
 *
 *   not newer than what is held       nothing
 *   what is being looked for already  nothing, for a minute: the cycle under way will tell, and a failed one comes again by itself
 *   else                              a cycle of every channel, at once
 */
import type { Clock } from '../core/clock.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import { minute, second } from '../core/units.ts'

export interface WakeUpParts {
  /** The snapshot that this node has verified. */
  held(): number
  /** Look for news. */
  wake(): void
  readonly clock: Clock
}

const patienceMs = minute
const shortestPauseMs = second

export class WakeUp implements Stoppable {
  readonly #parts: WakeUpParts
  readonly #over = new AbortController()
  #sought = { snapshot: 0, at: Number.NEGATIVE_INFINITY }
  #wokenAt = Number.NEGATIVE_INFINITY
  #planned: Promise<void> | undefined

  constructor(parts: WakeUpParts) {
    this.#parts = parts
  }

  /** @returns Whether this node looks for it now, or soon. */
  hear(snapshot: number): boolean {
    const { held, clock } = this.#parts
    const now = clock.monotonic()
    if (snapshot <= held()) return false
    // Not `<=`: somebody who made up a far too high number would silence who tells the truth.
    if (snapshot === this.#sought.snapshot && now - this.#sought.at < patienceMs) return false
    this.#sought = { snapshot, at: now }
    const pauseMs = this.#wokenAt + shortestPauseMs - now
    if (pauseMs <= 0) this.#wake()
    else this.#planned ??= this.#wakeIn(pauseMs)
    return true
  }

  async stop(): Promise<void> {
    this.#over.abort(new Error('the daemon is stopping'))
    await this.#planned
  }

  #wake(): void {
    this.#wokenAt = this.#parts.clock.monotonic()
    this.#parts.wake()
  }

  async #wakeIn(ms: number): Promise<void> {
    const over = this.#over.signal
    await this.#parts.clock.sleep(ms, over).catch(() => {})
    this.#planned = undefined
    if (!over.aborted) this.#wake()
  }
}
