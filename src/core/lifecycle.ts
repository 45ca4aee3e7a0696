/** Anything that was started: it holds sockets, timers or files until `stop()` resolves. `stop()` may be called twice. */
export interface Stoppable {
  stop(): Promise<void>
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
