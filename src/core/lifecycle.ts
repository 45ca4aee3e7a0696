/** Anything that was started: it holds sockets, timers or files until `stop()` resolves. `stop()` may be called twice. */
export interface Stoppable {
  stop(): Promise<void>
}

/**
 * Work that goes on beside everything else until it is stopped.
 *
 * @param work Has to end, or to reject, soon after its signal aborts: that is no failure. Any other rejection is a fault of ours, and ends the
 *   process as an unhandled one.
 */
export function inBackground(work: (ended: AbortSignal) => Promise<void>): Stoppable {
  const over = new AbortController()
  const done = work(over.signal).catch(error => {
    if (!over.signal.aborted) throw error
  })
  return {
    async stop() {
      over.abort(new DOMException('stopped', 'AbortError'))
      await done
    },
  }
}

/**
 * Stop everything, the last started first, and do not let one failure keep the rest running.
 *
 * @throws AggregateError with every failure, after all have been tried.
 */
export async function stopAll(started: readonly Stoppable[]): Promise<void> {
  const failures: unknown[] = []
  for (const part of [...started].reverse()) {
    try {
      await part.stop()
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, 'not everything stopped cleanly')
}
