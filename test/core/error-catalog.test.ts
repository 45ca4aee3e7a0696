/** The error codes: the list in the code, the page for people, the places that throw, the tests that provoke. None without the others. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import * as errors from '../../src/core/errors.ts'
import { adviceFor, describeError, errorCatalog } from '../../src/core/errors.ts'

const top = join(import.meta.dirname, '../..')
const entries = Object.entries(errorCatalog).flatMap(([blame, codes]) =>
  Object.entries<{ meaning: string; advice: string }>(codes).map(([code, entry]) => ({ blame, code, ...entry })),
)

describe('docs/errors.md', () => {
  const page = readFileSync(join(top, 'docs/errors.md'), 'utf8')
  const documented = page
    .split('\n## ')
    .slice(1)
    .flatMap(section => {
      const blame = section.split('\n')[0]
      return [...section.matchAll(/^\| `(\w+)` \| (.+) \| (.+) \|$/gm)].map(([, code, meaning, advice]) => ({
        blame,
        code,
        meaning,
        advice,
      }))
    })

  test('says of each code what the program says, under its class, and nothing of codes that do not exist', () => {
    expect(documented).toEqual(entries)
  })

  test('has a word on each class', () => {
    for (const blame of Object.keys(errorCatalog))
      expect(page).toMatch(new RegExp(`\n## ${blame}\n[A-Z].+\n\n\\| code `))
  })
})

test('no code stands under two classes', () => {
  expect(new Set(entries.map(({ code }) => code)).size).toBe(entries.length)
})

test('every class of the catalogue exists under its name', () => {
  const exported = new Map(Object.entries(errors))
  for (const blame of Object.keys(errorCatalog)) {
    const Class = exported.get(blame) as new (code: string, message: string) => Error
    expect(new Class('code', 'message')).toMatchObject({ name: blame, code: 'code' })
  }
})

describe('every code', () => {
  const codes = entries.map(({ code }) => code)
  const unquoted = (folder: string, except: RegExp) => {
    const text = textOf(folder, except)
    return codes.filter(code => !text.includes(`'${code}'`))
  }

  test('is thrown somewhere', () => {
    expect(unquoted('src', /core\/errors\.ts$/)).toEqual([])
  })

  test('is expected by a test', () => {
    expect(unquoted('test', /error-catalog\.test\.ts$|sample-status\.ts$/)).toEqual([])
  })
})

/** All sources below `folder` as one text. */
function textOf(folder: string, except: RegExp): string {
  return readdirSync(join(top, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts') && !except.test(name))
    .map(name => readFileSync(join(top, folder, name), 'utf8'))
    .join('\n')
}

describe('what others see of an error', () => {
  test('code and sentence, bounded, without stack or cause', () => {
    const error = new errors.StoreError('disk_full', 'x'.repeat(5000), { cause: new Error('secret'), wanted: 5 })
    expect(describeError(error)).toEqual({ code: 'disk_full', message: 'x'.repeat(1000) })
    expect(error.facts).toEqual({ wanted: 5 })
  })

  test.each([
    [new RangeError('no piece 7'), 'no piece 7'],
    ['just text', 'just text'],
    [undefined, 'undefined'],
  ])('a fault of the program (%s) is internal', (thrown, message) => {
    expect(describeError(thrown)).toEqual({ code: 'internal', message })
  })

  test('a code of a later version has a general advice, and so has the name of an object property', () => {
    expect(adviceFor('disk_full')).toBe(errorCatalog.StoreError.disk_full.advice)
    expect(adviceFor('not_yet_invented')).toBe(adviceFor('constructor'))
  })
})
