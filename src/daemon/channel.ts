/**
 * One channel on this node: its cycles and what is remembered of them. The cycle itself is in cycle.ts; here is what stands around it:
 * bytes by source, the failure that `sigmesh status` shows, history, the report to the origin. None of that makes a cycle fail.
 *
 * The directory that it installs into may be missing, full, read-only or somebody else's, at the start or later. That is this
 * channel's failure and nobody else's; each cycle tries to open it again.
 */
import type { Clock } from '../core/clock.ts'
import { adviceFor, describeError, StoreError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import type { Release } from '../core/release.ts'
import type { NodeReport } from '../core/report.ts'
import { second } from '../core/units.ts'
import type { Verified } from '../core/verified.ts'
import type { Hold, Standing } from '../install/install-record.ts'
import type { InstalledRelease, Installer } from '../install/installer.ts'
import type { Journal } from '../store/journal.ts'
import { runCycle } from './cycle.ts'
import type { Exchanges } from './exchanges.ts'
import {
  addBytes,
  type ChannelLedger,
  type Ledger,
  noBytes,
  noteRelease,
  readNote,
  type ServedRelease,
  subtractBytes,
} from './ledger.ts'
import type { Refreshed } from './refresh.ts'
import type { Activity, Bytes, CycleResult, HistoryEntry } from './status.ts'

export interface ChannelParts {
  refresh(channel: string, signal: AbortSignal): Promise<Refreshed>
  readonly exchanges: Exchanges
  openInstaller(): Promise<Installer>
  readonly ledger: Ledger
  readonly history: Journal<HistoryEntry>
  report(report: Omit<NodeReport, 'node' | 'site' | 'version'>, signal: AbortSignal): Promise<void>
  readonly clock: Clock
  readonly log: Log
}

const reportTimeoutMs = 10 * second

export class Channel implements Stoppable {
  readonly name: string
  readonly #parts: ChannelParts
  readonly #entry: ChannelLedger
  #activity: { readonly name: Activity; readonly since: number }
  #offered: Release | undefined
  #installed: InstalledRelease | undefined
  #standing: Pick<Standing, 'refused' | 'hold'> = { refused: null, hold: null }
  #installer: Installer | undefined
  /** Whether what a crash cut off was finished or undone since `#installer` was opened. */
  #recovered = false
  /** What a former run served and this one does not serve yet. */
  readonly #unresumed: Set<ServedRelease>

  constructor(name: string, parts: ChannelParts) {
    this.name = name
    this.#parts = parts
    this.#entry = parts.ledger.channel(name)
    this.#unresumed = new Set(this.#entry.served)
    this.#activity = { name: 'idle', since: parts.clock.now() }
  }

  /** What is known now, for channel-status.ts. */
  get facts() {
    this.#settleBytes()
    const { refused, hold } = this.#standing
    return {
      entry: this.#entry,
      activity: this.#activity,
      offered: this.#offered,
      installed: this.#installed,
      refused,
      hold,
    }
  }

  /** Ms since 1970, by the channel's clock. */
  now(): number {
    return this.#parts.clock.now()
  }

  /** Take the channel's directory, and see what is installed. When that fails, `sigmesh status` says so from the start. Never throws. */
  async open(): Promise<void> {
    try {
      await this.#open()
    } catch (error) {
      const { code, message } = describeError(error)
      this.#parts.log.warn({ channel: this.name, code, err: error }, `the channel is out of order: ${message}`)
      this.#entry.failure = { at: iso(this.#parts.clock.now()), code, message, advice: adviceFor(code) }
    }
  }

  /** Keep the figures, and give the directory free. Runs of `cycle` must be over; what it serves must not be. */
  async stop(): Promise<void> {
    await this.save()
    await this.#close()
  }

  /** Serve again what a former run served. What goes wrong is logged: the origin may be away, and is needed only for what has gone bad. */
  async serveAgain(signal: AbortSignal): Promise<void> {
    const { exchanges, clock, log } = this.#parts
    const serve = async (note: ServedRelease) => {
      const release = note.until > clock.now() ? readNote(this.name, note) : undefined
      if (release) await exchanges.serve(release, note.until, signal)
    }
    const resume = (note: ServedRelease) =>
      serve(note).finally(() => {
        if (!signal.aborted) this.#unresumed.delete(note) // a daemon that is stopped too soon tries again next time
      })
    const settled = await Promise.allSettled([...this.#unresumed].map(resume))
    for (const { reason } of settled.filter(result => result.status === 'rejected')) {
      if (!signal.aborted)
        log.warn({ channel: this.name, ...describeError(reason) }, 'an artifact of before is not served whole')
    }
  }

  /** One cycle, and everything that is to be told about it. Never throws. One that is stopped in the middle is told to nobody. */
  async cycle(signal: AbortSignal): Promise<CycleResult> {
    const startedAt = this.#parts.clock.now()
    this.#settleBytes()
    const before = this.#entry.bytes
    const result = await this.#attempt(signal)
    if (!signal.aborted) {
      this.#settleBytes()
      this.#enter('reporting')
      await this.#tell(result, subtractBytes(this.#entry.bytes, before), startedAt, signal)
    }
    this.#enter('idle')
    return result
  }

  /** Go back to the release before, as an admin wishes, and tell of it as of a cycle. Never throws. */
  async rollBack(signal: AbortSignal): Promise<CycleResult> {
    const startedAt = this.#parts.clock.now()
    const result = await this.#conclude(signal, async installer => {
      await installer.rollBack(signal)
      return { outcome: 'installed', sequence: (await installer.installed())?.sequence ?? 0 }
    })
    // Nothing was tried: that is the asker's matter, and no failure of the channel.
    if (result.error?.code !== 'rollback_unavailable' && !signal.aborted)
      await this.#tell(result, noBytes, startedAt, signal)
    return result
  }

  /** @param until As `Installer.hold`. @returns What holds now. @throws StoreError, InstallError. */
  async hold(until: number | null | undefined): Promise<Hold | null> {
    const installer = await this.#open()
    await installer.hold(until)
    return (await this.#look(installer)).hold
  }

  /** Forget what failed here, so that the next cycle tries it again. @throws StoreError, InstallError. */
  async retry(): Promise<void> {
    const installer = await this.#open()
    await installer.retry()
    await this.#look(installer)
  }

  /** Bring the book up to date and on the disk. Losing it loses figures only, so a full disk is logged and no more. */
  async save(): Promise<void> {
    const { exchanges, ledger, log } = this.#parts
    this.#settleBytes()
    const served = exchanges
      .of(this.name)
      .flatMap(({ exchange, serveUntil }) => (serveUntil ? [noteRelease(exchange.release, serveUntil)] : []))
    const known = new Set(served.map(({ sha256 }) => sha256))
    this.#entry.served = [...served, ...[...this.#unresumed].filter(({ sha256 }) => !known.has(sha256))]
    await ledger.save().catch(error => log.warn({ ...describeError(error) }, 'the ledger was not written'))
  }

  async #open(): Promise<Installer> {
    if (this.#installer) return this.#installer
    const installer = await this.#parts.openInstaller()
    this.#installer = installer
    this.#recovered = false
    await this.#look(installer)
    return installer
  }

  async #close(): Promise<void> {
    await this.#installer?.stop()
    this.#installer = undefined
  }

  /** Recovery hashes the installed tree, which may take minutes: the daemon is up meanwhile, and says what it does. */
  async #recover(signal: AbortSignal): Promise<Installer> {
    const installer = await this.#open()
    if (this.#recovered) return installer
    this.#enter('checking')
    await installer.recover(signal)
    this.#recovered = true
    await this.#look(installer)
    return installer
  }

  async #attempt(signal: AbortSignal): Promise<CycleResult> {
    const { exchanges } = this.#parts
    const refresh = () => this.#parts.refresh(this.name, signal)
    const enter = (activity: Activity, offered?: Release) => this.#enter(activity, offered)
    const obtain = (release: Verified<Release>) => exchanges.obtain(release, signal)
    const verify = (release: Verified<Release>) => exchanges.verify(release, signal)
    return this.#conclude(signal, installer => {
      const reserve = async (release: Verified<Release>) =>
        exchanges.reserve(release, await installer.demand(release), signal)
      return runCycle({ refresh, reserve, obtain, verify, installer, enter }, signal)
    })
  }

  /** Do something with the installer, and say how it went. Never throws. */
  async #conclude(
    signal: AbortSignal,
    work: (installer: Installer) => Promise<{ outcome: 'installed' | 'current'; sequence: number }>,
  ): Promise<CycleResult> {
    const { log } = this.#parts
    try {
      const installer = await this.#recover(signal)
      const { outcome, sequence } = await work(installer)
      const { refused } = await this.#look(installer)
      log.info({ channel: this.name, outcome, sequence }, 'the cycle is over')
      // The newest release is not the one in place, since it failed here: that stays a failure until something better comes.
      const error = refused?.code
        ? { code: refused.code, message: refused.message, advice: adviceFor(refused.code) }
        : null
      return { channel: this.name, outcome, sequence, error }
    } catch (error) {
      const { code, message } = describeError(error)
      if (!signal.aborted) log.warn({ channel: this.name, code, err: error }, `the cycle failed: ${message}`)
      // A reload that failed may have left the new release in place.
      if (this.#installer) await this.#look(this.#installer).catch(() => {})
      else this.#installed = undefined
      // The directory may have been unmounted, or removed, under us: what we hold of it is worth nothing then.
      if (error instanceof StoreError && error.code === 'disk_failed') await this.#close()
      const failure = { code, message, advice: adviceFor(code) }
      return { channel: this.name, outcome: 'failed', sequence: this.#installed?.sequence ?? 0, error: failure }
    }
  }

  /** Keep for `sigmesh status` what the disk and the record say. */
  async #look(installer: Installer): Promise<Standing> {
    this.#installed = await installer.installed()
    const standing = await installer.standing()
    this.#standing = standing
    this.#parts.exchanges.countInstalled(this.name, await installer.keptBytes())
    return standing
  }

  async #tell(result: CycleResult, bytes: Bytes, startedAt: number, signal: AbortSignal): Promise<void> {
    const { clock, history, log } = this.#parts
    const at = iso(clock.now())
    const { outcome, sequence, error } = result
    this.#entry.lastCheck = at
    // A refused release is told with the time at which it failed.
    const { failure } = this.#entry
    const known = outcome !== 'failed' && failure?.code === error?.code && failure?.message === error?.message
    if (!known) this.#entry.failure = error && { at, ...error }
    if (outcome !== 'failed') this.#entry.lastSuccess = at
    const short = error && { code: error.code, message: error.message }
    if (outcome !== 'current') {
      const durationMs = Math.max(0, clock.now() - startedAt)
      const label = this.#installed?.label ?? null
      await history
        .append({ at, channel: this.name, outcome, sequence, label, durationMs, bytes, error: short })
        .catch(cause => log.warn({ ...describeError(cause) }, 'the history was not written'))
    }
    await this.save()
    const patience = AbortSignal.any([signal, AbortSignal.timeout(reportTimeoutMs)])
    await this.#parts
      .report(
        { channel: this.name, outcome, sequence, at: `${at.slice(0, 19)}Z`, bytes, ...(short && { error: short }) },
        patience,
      )
      .catch(cause => log.debug({ ...describeError(cause) }, 'the report did not reach the origin'))
  }

  #enter(name: Activity, offered?: Release): void {
    this.#activity = { name, since: this.#parts.clock.now() }
    if (offered) this.#offered = offered
  }

  #settleBytes(): void {
    this.#entry.bytes = addBytes(this.#entry.bytes, this.#parts.exchanges.drainBytes(this.name))
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
