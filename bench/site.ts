/**
 * What a company pays for a release, and how long its branches wait, in the laboratory of network namespaces (root, Linux):
 *
 *   npm run bench:site                       every row
 *   npm run bench:site -- together alone     these rows
 *   npm run bench:site -- --list             what there is
 *
 * Prints ratios with their bars, and puts them into bench-site.json (`--json FILE`), where the rows of other runs stay.
 */
import { parseArgs } from 'node:util'
import { keepRow, met, printRow } from './site/figures.ts'
import { mannersRows } from './site/manners.ts'
import { rows as transferRows } from './site/rows.ts'

const rows = { ...transferRows, ...mannersRows }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { list: { type: 'boolean', default: false }, json: { type: 'string', default: 'bench-site.json' } },
})

async function main(): Promise<number> {
  if (values.list) {
    for (const [name, { about }] of Object.entries(rows)) console.log(`${name.padEnd(14)} ${about}`)
    return 0
  }
  const unknown = positionals.filter(name => !Object.hasOwn(rows, name))
  if (unknown.length > 0) {
    console.error(`bench:site: no such row: ${unknown.join(', ')}; --list tells what there is`)
    return 2
  }
  let missed = 0
  for (const name of positionals.length > 0 ? positionals : Object.keys(rows)) {
    const { about, run } = rows[name]!
    const result = { row: name, about, figures: await run(), at: new Date().toISOString() }
    printRow(result)
    await keepRow(values.json, result)
    missed += result.figures.filter(figure => !met(figure)).length
  }
  return missed === 0 ? 0 : 1
}

process.exitCode = await main()
