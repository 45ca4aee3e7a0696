/** Factor names, so that a quantity reads with its unit: `4 * MiB`, `2 * minute`. Bytes and milliseconds throughout. */
export const KiB = 1024
export const MiB = 1024 * KiB
export const GiB = 1024 * MiB

export const second = 1000
export const minute = 60 * second
export const hour = 60 * minute
export const day = 24 * hour

/** Bytes for people: `512 B`, `1.4 MiB`. Binary factors, one decimal from KiB up. */
export function formatBytes(bytes: number): string {
  if (bytes < KiB) return `${bytes} B`
  if (bytes < MiB) return `${(bytes / KiB).toFixed(1)} KiB`
  if (bytes < GiB) return `${(bytes / MiB).toFixed(1)} MiB`
  return `${(bytes / GiB).toFixed(2)} GiB`
}

/** A span for people: `850 ms`, `12 s`, `3 min 20 s`, `2 h 5 min`, `4 d 1 h`. Rounded down, at most two parts. */
export function formatSpan(ms: number): string {
  if (ms < second) return `${Math.max(0, Math.floor(ms))} ms`
  const parts = [
    [Math.floor(ms / day), 'd'],
    [Math.floor((ms % day) / hour), 'h'],
    [Math.floor((ms % hour) / minute), 'min'],
    [Math.floor((ms % minute) / second), 's'],
  ] as const
  const first = parts.findIndex(([amount]) => amount > 0)
  return parts
    .slice(first, first + 2)
    .filter(([amount]) => amount > 0)
    .map(([amount, unit]) => `${amount} ${unit}`)
    .join(' ')
}
