/** What both services of `sigmeshd` share: start, tell systemd, run until a signal, stop in order. */
import type { Stoppable } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import { second } from '../core/units.ts'
import { startNotifier } from '../daemon/notify.ts'
import { Interrupted } from './exit-codes.ts'
import { interruption } from './interruption.ts'

/** Below TimeoutStopSec of the units: systemd need not kill what has already given up. */
export const stopTimeoutMs = 20 * second
const statusIntervalMs = 5 * second

export interface Service extends Stoppable {
  /** One line for `systemctl status`, as things stand now. */
  summary(): string
}

/**
 * Run until SIGTERM or SIGINT; resolves when all has stopped. A second signal ends the process at once.
 *
 * @param start Rejects when the service cannot start. Its signal aborts when the service is to end before it has started.
 */
export async function runService(start: (signal: AbortSignal) => Promise<Service>, log: Log): Promise<void> {
  using interrupted = interruption()
  const notifier = startNotifier(process.env, log)
  try {
    const service = await start(interrupted.signal)
    notifier.ready(service.summary())
    while (!interrupted.signal.aborted) {
      await interrupted.sleep(statusIntervalMs)
      if (!interrupted.signal.aborted) notifier.status(service.summary())
    }
    notifier.stopping()
    // What hangs is cut off: its state is crash-safe, and a service that does not end is killed anyhow.
    const tooLate = setTimeout(() => process.exit(1), stopTimeoutMs)
    await service.stop()
    clearTimeout(tooLate)
  } catch (error) {
    // Told to end before it had started: for a service that is an orderly end.
    if (!(error instanceof Interrupted)) throw error
  } finally {
    await notifier.stop()
  }
}
