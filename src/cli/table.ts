/** Rows for people: a box on a terminal, as wide as it is; lines with tabs in a pipe, for `cut`, `awk` and `grep`. */

import { stripVTControlCharacters } from 'node:util'
import Table from 'cli-table3'
import { paint, type Style } from './style.ts'

export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
  /** Give way, and wrap, when the terminal is too narrow. One column at most. */
  readonly wraps?: boolean
}

const narrowestColumn = 16

/** @param columns Titles; all empty for a table without a head. @param rows Cells in the order of `columns`. */
export function renderTable(style: Style, columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const titles = columns.map(column => column.title)
  const headed = titles.some(title => title !== '')
  if (!style.interactive) return [...(headed ? [titles] : []), ...rows].map(cells => cells.join('\t')).join('\n')
  const table = new Table({
    head: headed ? titles.map(title => paint(style, 'strong', title)) : [],
    colAligns: columns.map(column => column.align ?? 'left'),
    colWidths: columnWidths(style.columns, columns, rows),
    wordWrap: true,
    style: { head: [], border: [], compact: true },
  })
  for (const cells of rows) table.push([...cells])
  return table.toString()
}

/** null: as wide as its content. Only the column that wraps is ever cut to what the others leave. */
function columnWidths(
  total: number,
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): (number | null)[] {
  const padding = 2
  const natural = columns.map(
    (column, at) =>
      padding + Math.max(column.title.length, ...rows.map(cells => stripVTControlCharacters(cells[at] ?? '').length)),
  )
  const borders = columns.length + 1
  const excess = natural.reduce((sum, width) => sum + width, borders) - total
  return columns.map((column, at) =>
    column.wraps && excess > 0 ? Math.max(narrowestColumn, natural[at]! - excess) : null,
  )
}
