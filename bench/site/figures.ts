/** Figures of the benchmark: each a ratio, or a count, with the bar that it has to meet; printed as a table and written as JSON. */
import { readFile, writeFile } from 'node:fs/promises'

export interface Figure {
  readonly name: string
  readonly value: number
  /** The most it may be; left out: told for comparison. */
  readonly bar?: number
}

/** One line of the table. */
export interface Row {
  readonly about: string
  /** Build what is measured, measure it, and take it down. */
  run(): Promise<readonly Figure[]>
}

export interface RowResult {
  readonly row: string
  readonly about: string
  readonly figures: readonly Figure[]
  /** ISO 8601. */
  readonly at: string
}

export const met = ({ value, bar }: Figure): boolean => bar === undefined || value <= bar

export function printRow({ row, about, figures }: RowResult): void {
  console.log(`\n${row}: ${about}`)
  for (const figure of figures) {
    const { name, value, bar } = figure
    const verdict = bar === undefined ? '' : `   bar ${bar}   ${met(figure) ? 'met' : 'MISSED'}`
    console.log(`  ${name.padEnd(58)} ${value.toFixed(3).padStart(8)}${verdict}`)
  }
}

/** Put a row's newest result into the file; those of other rows stay, so that the table can be filled row by row. */
export async function keepRow(file: string, result: RowResult): Promise<void> {
  const kept: RowResult[] = await readFile(file, 'utf8').then(JSON.parse, error => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const rows = [...kept.filter(({ row }) => row !== result.row), result]
  await writeFile(file, `${JSON.stringify(rows, undefined, 2)}\n`)
}
