/** docs/attacks.md is for people who cannot read all tests: what it says must be there. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { errorCatalog } from '../src/core/errors.ts'

const top = join(import.meta.dirname, '..')
const rows = readFileSync(join(top, 'docs/attacks.md'), 'utf8')
  .split('\n')
  .filter(line => /^\| \d+ \|/.test(line))
  .map(line => line.split(' | '))

test('every attack of the list has a row', () => {
  const expected = [...Array.from({ length: 44 }, (_, at) => at + 1), 51]
  expect(rows.map(([number]) => Number(number!.slice(1)))).toEqual(expect.arrayContaining(expected))
})

test('every code that it names is one of ours, or what an origin answers', () => {
  const own = Object.values(errorCatalog).flatMap(codes => Object.keys(codes))
  const answers =
    readFileSync(join(top, 'src/origin/admission.ts'), 'utf8') +
    readFileSync(join(top, 'src/origin/node-routes.ts'), 'utf8')
  const named = rows.flatMap(cells => [...cells[3]!.matchAll(/`([a-z_]+)`/g)].map(([, code]) => code!))
  expect(named.filter(code => !own.includes(code) && !answers.includes(`'${code}'`))).toEqual([])
})

test.each(rows.map(cells => [cells[0]!.slice(1).trim(), cells.at(-1)!]))(
  '%s: the tests it names exist',
  (_, shownBy) => {
    const files = shownBy.split('<br>').map(each => /^`([^`]+)`(.*)$/.exec(each.trim())!)
    for (const [, file = '', names = ''] of files) {
      expect(existsSync(join(top, file)), file).toBe(true)
      const source = readFileSync(join(top, file), 'utf8').replaceAll("\\'", "'")
      const named = [...names.matchAll(/"([^"]+)"/g)].map(([, name]) => name!)
      expect(named.length).toBeGreaterThan(0)
      for (const name of named) expect(source.includes(name), `${file}: ${name}`).toBe(true)
    }
  },
)
