/** What both services of `sigmeshd` share: start, tell systemd, run until a signal, stop in order. */
import type { Stoppable } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import { second } from '../core/units.ts'
import { startNotifier } from '../daemon/notify.ts'
import { exitCodes } from './exit-codes.ts'
import { interruption } from './interruption.ts'

/** Below TimeoutStopSec of the units: systemd need not kill what has already given up. */
export const stopTimeoutMs = 20 * second
const statusIntervalMs = 5 * second

export interface Service extends Stoppable {
  /** One line for `systemctl status`, as things stand now. */
  summary(): string
}

/** Run until SIGTERM or SIGINT; resolves when all has stopped. A second signal ends the process at once. @throws What `start` throws. */
export async function runService(start: () => Promise<Service>, log: Log): Promise<void> {
  using interrupted = interruption()
  const notifier = startNotifier(process.env, log)
  try {
    const service = await start()
    notifier.ready(service.summary())
    while (!interrupted.signal.aborted) {
      notifier.status(service.summary())
      await interrupted.sleep(statusIntervalMs)
    }
    notifier.stopping()
    // Whatever hangs then, or was left behind, is cut off: all state is crash-safe.
    setTimeout(() => process.exit(exitCodes.failed), stopTimeoutMs).unref()
    await service.stop()
    log.info({}, 'stopped')
  } finally {
    await notifier.stop()
  }
}
