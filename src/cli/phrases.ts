/** The small sentences that several commands share. Times are ISO 8601; all are relative to the daemon's clock, not to this process's. */
import { formatSpan, second } from '../core/units.ts'
import type { ChannelStatus } from '../daemon/status.ts'

/** `3 h ago`, `in 14 min`, `just now`. */
export function relative(time: string, now: string): string {
  const elapsedMs = Date.parse(now) - Date.parse(time)
  if (Math.abs(elapsedMs) < second) return 'just now'
  return elapsedMs > 0 ? `${formatSpan(elapsedMs)} ago` : `in ${formatSpan(-elapsedMs)}`
}

/** How long a state has lasted: `12 s`. Never negative, whatever the clocks do. */
export function since(time: string, now: string): string {
  return formatSpan(Math.max(0, Date.parse(now) - Date.parse(time)))
}

/** `2026-11-22 09:00:00Z`: sorts, and leaves no doubt about the zone. A publisher may sign a date that does not exist: it stays as it is. */
export function instant(time: string): string {
  const ms = Date.parse(time)
  return Number.isNaN(ms) ? time : `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}Z`
}

/** `release 42 "daily 27810"`. */
export function release({ sequence, label }: { readonly sequence: number; readonly label: string | null }): string {
  return `release ${sequence}${label === null ? '' : ` "${label}"`}`
}

/** `[##########----------]` for 0 to 1. */
export function bar(fraction: number, width = 20): string {
  const full = Math.max(0, Math.min(width, Math.floor(fraction * width)))
  return `[${'#'.repeat(full)}${'-'.repeat(width - full)}]`
}

/** Rounded down, so that 100 % means the whole. An artifact of no bytes does not exist. */
export function percent(part: number, whole: number): string {
  return whole === 0 ? '0 %' : `${Math.floor((part * 100) / whole)} %`
}

/** What is left at the present rate, or undefined when nothing moves. */
export function timeLeft({
  bytesTotal,
  bytesHave,
  bytesPerSecond,
}: NonNullable<ChannelStatus['progress']>): string | undefined {
  if (bytesPerSecond === 0) return undefined
  return formatSpan(Math.ceil((bytesTotal - bytesHave) / bytesPerSecond) * second)
}
