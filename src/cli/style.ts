/** How the output looks: for a person at a terminal, or for a pipe, a file and a log. */
import { styleText } from 'node:util'

export interface Style {
  /** A terminal that can move its cursor: tables and redrawn lines. Else plain lines. */
  readonly interactive: boolean
  readonly colour: boolean
  readonly columns: number
  readonly rows: number
}

export const plainStyle: Style = { interactive: false, colour: false, columns: 80, rows: 24 }

type Terminal = { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number }

/** @param env `NO_COLOR` (no-color.org) takes the colour away, `TERM=dumb` the cursor as well. */
export function styleFor({ isTTY, columns, rows }: Terminal, env: NodeJS.ProcessEnv): Style {
  if (!isTTY || env.TERM === 'dumb') return plainStyle
  // A terminal of no width (some serial consoles say 0) is taken for the usual one.
  return { interactive: true, colour: !env.NO_COLOR, columns: columns || 80, rows: rows || 24 }
}

export type Tone = 'good' | 'warning' | 'bad' | 'strong' | 'faint'
const formats = { good: 'green', warning: 'yellow', bad: 'red', strong: 'bold', faint: 'dim' } as const

export function paint(style: Style, tone: Tone, text: string): string {
  return style.colour ? styleText(formats[tone], text, { validateStream: false }) : text
}
