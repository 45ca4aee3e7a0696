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
import { main } from './main.ts'
import { keepRow, met, printRow } from './site/figures.ts'
import { mannersRows } from './site/manners.ts'
import { rows as transferRows } from './site/rows.ts'

const rows = { ...transferRows, ...mannersRows }

const usage = `Usage: npm run bench:site [-- options] [ROW...]

Options:
  --list         what rows there are, and end
  --json FILE    where the results are kept (default bench-site.json)
  --help         print this and end

Exit codes: 0 every bar was met; 1 one was not, or something failed; 2 wrong words.
`

/** @throws TypeError also for a row that there is not. */
function readWords(args: string[]) {
  const options = {
    list: { type: 'boolean', default: false },
    json: { type: 'string', default: 'bench-site.json' },
    help: { type: 'boolean', default: false },
  } as const
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options })
  const unknown = positionals.filter(name => !Object.hasOwn(rows, name))
  if (unknown.length > 0) throw new TypeError(`no such row: ${unknown.join(', ')}; --list tells what there is`)
  const { help, ...rest } = values
  return help ? undefined : { ...rest, wanted: positionals.length > 0 ? positionals : Object.keys(rows) }
}

async function run({ list, json, wanted }: NonNullable<ReturnType<typeof readWords>>, signal: AbortSignal) {
  if (list) {
    for (const [name, { about }] of Object.entries(rows)) console.log(`${name.padEnd(14)} ${about}`)
    return 0
  }
  // A row takes minutes. What it has built dies with this process, and the next laboratory sweeps up.
  signal.addEventListener('abort', () => process.exit(1))
  let missed = 0
  for (const name of wanted) {
    const { about, run } = rows[name]!
    try {
      const result = { row: name, about, figures: await run(), at: new Date().toISOString() }
      printRow(result)
      await keepRow(json, result)
      missed += result.figures.filter(figure => !met(figure)).length
    } catch (error) {
      // A contender that is not installed, say: the other rows can be measured all the same.
      console.error(`\n${name}: ${about}\n  failed:`, error)
      missed++
    }
  }
  return missed === 0 ? 0 : 1
}

process.exitCode = await main({ name: 'bench:site', usage, read: readWords, run })
