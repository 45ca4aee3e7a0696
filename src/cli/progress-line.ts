/** Progress of long work on stderr: one line, drawn again and again, on a terminal; lines at a bearable rate elsewhere. */
import { second } from '../core/units.ts'
import type { Style } from './style.ts'

export interface ProgressLine {
  /** Redrawn on a terminal. When false, `show` prints lines. */
  readonly live: boolean
  /** @param text One line, printable. @param stage Work of another stage is always shown; within one, the rate is limited. */
  show(text: string, stage?: string): void
  /** Take the line away, so that the result stands alone. */
  end(): void
}

const redrawMs = 0.1 * second
/** A CI log of a publish that takes minutes stays readable. */
const printMs = 10 * second

/** @param now Milliseconds that never go back. */
export function progressLine(
  stream: { write(text: string): unknown },
  style: Style,
  now: () => number = () => performance.now(),
): ProgressLine {
  const live = style.interactive
  let shownAt = Number.NEGATIVE_INFINITY
  let shownStage: string | undefined
  let drawn = false
  return {
    live,
    show(text, stage) {
      if (stage === shownStage && now() - shownAt < (live ? redrawMs : printMs)) return
      shownAt = now()
      shownStage = stage
      drawn = true
      // A line that wraps could not be redrawn.
      stream.write(live ? `\r\x1b[K${text.slice(0, style.columns - 1)}` : `${text}\n`)
    },
    end() {
      if (live && drawn) stream.write('\r\x1b[K')
      drawn = false
    },
  }
}
