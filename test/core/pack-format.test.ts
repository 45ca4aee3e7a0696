import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sha256 } from '../../src/core/digest.ts'
import { SigmeshError } from '../../src/core/errors.ts'
import {
  comparePaths,
  contentDigest,
  decodeContent,
  decodeIndex,
  encodeContent,
  encodePackHead,
  indexLimitBytes,
  type PackFile,
  packHeaderBytes,
  ratioFreeBytes,
  ratioLimit,
  readIndexLength,
} from '../../src/core/pack-format.ts'
import { pathChecker, pathFault } from '../../src/core/pack-path.ts'
import { MiB } from '../../src/core/units.ts'

const limits = { files: 1000, bytes: 1e9 }
const entry = (path: string, change: Partial<PackFile> = {}): PackFile => ({
  path,
  mode: 0o644,
  length: 3,
  sha256: sha256(Buffer.from(path)),
  frame: 12,
  ...change,
})

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof SigmeshError) return error.code
    throw error
  }
  return 'accepted'
}

const decode = (index: string | Uint8Array, frameBytes = 12, some = limits) =>
  decodeIndex(typeof index === 'string' ? Buffer.from(index) : index, frameBytes, some)

describe('a path of a pack', () => {
  test.each([
    'daily.ndb',
    '.hidden',
    '...x',
    'rules/apt/2026.yar',
    'Bücher/日本語.ldb',
    '-rf',
    'CONSOLE',
    'com',
    'a b',
    'x'.repeat(255),
    Array(32).fill('d').join('/'),
    `${`${'x'.repeat(127)}/`.repeat(7)}${'x'.repeat(128)}`,
  ])('%j is fine', path => expect(pathFault(path)).toBeUndefined())

  test.each([
    ['', 'empty'],
    ['/etc/passwd', 'absolute'],
    ['//host/share', 'absolute'],
    ['..', '..'],
    ['a/../../b', '..'],
    ['./a', '. or ..'],
    ['a/./b', '. or ..'],
    ['a//b', 'empty segment'],
    ['a/', 'empty segment'],
    ['a\\b', '\\'],
    ['C:/x', ':'],
    ['file:stream', ':'],
    ['what?', '?'],
    ['say"so', '"'],
    ['nul\0', 'control'],
    ['line\nbreak', 'control'],
    ['\u0085', 'control'],
    ['gpj.\u202eexe', 'invisible'],
    ['zero\u200bwidth', 'invisible'],
    ['\ud800', 'Unicode'],
    ['Bu\u0308cher', 'composed'],
    ['\u212bngstrom', 'composed'],
    ['NUL', 'device'],
    ['nul.txt', 'device'],
    ['a/CoM1.x/b', 'device'],
    ['lpt¹', 'device'],
    ['con .ndb', 'device'],
    ['CONOUT$', 'device'],
    ['a./b', 'dot or a space'],
    ['a ', 'dot or a space'],
    ['x'.repeat(256), '255 bytes'],
    ['ü'.repeat(128), '255 bytes'],
    [Array(33).fill('d').join('/'), 'deeper'],
    [`${`${'x'.repeat(127)}/`.repeat(7)}${'x'.repeat(129)}`, '1024 bytes'],
  ])('%j is refused: %s', (path, reason) => expect(pathFault(path)).toContain(reason))

  test.each([
    [['a', 'a'], 'the same twice'],
    [['A', 'a'], 'case twins'],
    [['straße', 'STRASSE'], 'twins by full case folding'],
    [['ﬁle', 'file'], 'a ligature'],
    [['K', '\u212a'], 'the Kelvin sign'],
    [['ς', 'σ'], 'final sigma'],
    [['a/x', 'A/y'], 'directories that are case twins'],
    [['a', 'a/b'], 'a file that is a directory later'],
    [['a/b', 'a'], 'a directory that is a file later'],
    [['A', 'a/b'], 'the same, with another case'],
    [['x/a/b', 'x/A'], 'the same, deeper'],
  ])('%j are refused: %s', (paths, _) => {
    const check = pathChecker()
    expect(codeOf(() => paths.forEach(check))).toBe('pack_path')
  })

  test('a message about a hostile path is short and shows what cannot be seen', () => {
    const check = pathChecker()
    expect(() => check(`\u202e${'x'.repeat(5000)}`)).toThrow(/^the path "\\u\{202e\}x{199}…" is longer/)
  })
})

describe('an index', () => {
  test('comes back as it was written, whatever the paths', () => {
    const name = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 40 })
      .filter(text => pathFault(text) === undefined)
    const file = fc.record({
      path: name,
      mode: fc.constantFrom(0o644 as const, 0o755 as const),
      length: fc.nat(),
      frame: fc.integer({ min: 2 ** 22, max: 2 ** 31 }), // no bomb, whatever the length
      sha256: fc.constant(sha256(Buffer.from('x'))),
    })
    const files = fc.uniqueArray(file, { selector: ({ path }) => path.normalize('NFD').toLowerCase(), minLength: 1 })
    fc.assert(
      fc.property(files, some => {
        const sorted = some.sort((a, b) => comparePaths(a.path, b.path))
        if (codeOf(() => encodePackHead(sorted)) === 'pack_path') return
        const head = encodePackHead(sorted)
        expect(readIndexLength(head.subarray(0, packHeaderBytes))).toBe(head.length - packHeaderBytes)
        const frames = sorted.reduce((sum, { frame }) => sum + frame, 0)
        expect(decodeIndex(head.subarray(packHeaderBytes), frames, { files: 1e6, bytes: 1e12 })).toEqual(sorted)
        expect(decodeContent(encodeContent(sorted))).toEqual(sorted.map(({ frame, ...file }) => file))
      }),
      { seed: 11, numRuns: 300 },
    )
  })

  test.each([
    [ratioFreeBytes, 1, 'accepted'],
    [ratioFreeBytes + 1, 1, 'pack_limit'],
    [ratioLimit * MiB, MiB, 'accepted'],
    [ratioLimit * MiB + 1, MiB, 'pack_limit'],
  ])('that promises %i bytes out of %i: %s, for whoever writes it and whoever reads it', (length, frame, code) => {
    const file = entry('a', { length, frame })
    const index = Buffer.from(`{"files":[${JSON.stringify(file, ['path', 'mode', 'length', 'sha256', 'frame'])}]}`)
    expect(codeOf(() => encodePackHead([file]))).toBe(code)
    expect(codeOf(() => decodeIndex(index, frame, { files: 1, bytes: 1e12 }))).toBe(code)
  })

  test('any byte that differs from the canonical form is refused, or is another canonical index', () => {
    const head = encodePackHead([entry('a.ndb'), entry('b/c.yar', { mode: 0o755 })])
    const index = head.subarray(packHeaderBytes)
    fc.assert(
      fc.property(fc.nat(index.length - 1), fc.nat(255), (at, byte) => {
        const changed = Buffer.from(index)
        changed[at] = byte
        let files: PackFile[]
        try {
          files = decodeIndex(changed, 24, { files: 10, bytes: Number.MAX_SAFE_INTEGER })
        } catch (error) {
          expect((error as SigmeshError).code).toMatch(/^pack_/)
          return
        }
        expect(encodePackHead(files).subarray(packHeaderBytes)).toEqual(changed)
      }),
      { seed: 12, numRuns: 3000 },
    )
  })

  const hex = sha256(Buffer.from('x'))
  const good = `{"path":"a","mode":420,"length":3,"sha256":"${hex}","frame":12}`
  test('the example of this test is a good index', () => expect(decode(`{"files":[${good}]}`)).toHaveLength(1))

  test.each([
    ['nothing', ''],
    ['no JSON', 'hello'],
    ['no file', '{"files":[]}'],
    ['white space', `{"files": [${good}]}`],
    ['something behind it', `{"files":[${good}]} `],
    ['cut off', `{"files":[${good}]`],
    ['a comma too many', `{"files":[${good},]}`],
    ['an escaped path', `{"files":[${good.replace('"a"', '"\\u0061"')}]}`],
    ['a setuid mode', `{"files":[${good.replace('420', '2541')}]}`],
    ['a symlink mode', `{"files":[${good.replace('420', '40960')}]}`],
    ['a negative length', `{"files":[${good.replace(':3', ':-3')}]}`],
    ['a fractional length', `{"files":[${good.replace(':3', ':3.0')}]}`],
    ['a length with an exponent', `{"files":[${good.replace(':3', ':3e0')}]}`],
    ['a length above 2^53', `{"files":[${good.replace(':3', ':9007199254740993')}]}`],
    ['an octal-looking length', `{"files":[${good.replace(':3', ':03')}]}`],
    ['a frame of nothing', `{"files":[${good.replace(':12', ':0')}]}`],
    ['an upper-case hash', `{"files":[${good.replace(hex, hex.toUpperCase())}]}`],
    ['a duplicate key', `{"files":[${good.replace('{', '{"path":"a",')}]}`],
    ['an unknown key', `{"files":[${good.replace('}', ',"uid":0}')}]}`],
    ['a list deeper than any stack', '['.repeat(1e6)],
    ['a byte order mark', `\ufeff{"files":[${good}]}`],
    ['not sorted', `{"files":[${good.replace('"a"', '"b"')},${good}]}`],
  ])('%s: pack_malformed', (_, index) => expect(codeOf(() => decode(index, 24))).toBe('pack_malformed'))

  test('not UTF-8: pack_malformed', () => {
    const index = Buffer.from(`{"files":[${good}]}`)
    index[index.indexOf('"a"') + 1] = 0xff
    expect(codeOf(() => decode(index))).toBe('pack_malformed')
  })

  test.each([11, 13, 0])('frames of 12 bytes in %i: pack_malformed', frameBytes =>
    expect(codeOf(() => decode(`{"files":[${good}]}`, frameBytes))).toBe('pack_malformed'),
  )

  test.each([
    ['files at the limit', { files: 2, bytes: 100 }, 'accepted'],
    ['one file above the limit', { files: 1, bytes: 100 }, 'pack_limit'],
    ['bytes at the limit', { files: 9, bytes: 6 }, 'accepted'],
    ['one byte above the limit', { files: 9, bytes: 5 }, 'pack_limit'],
  ])('%s: %s', (_, some, outcome) =>
    expect(codeOf(() => decode(`{"files":[${good},${good.replace('"a"', '"b"')}]}`, 24, some))).toBe(outcome),
  )

  test('a million entries are refused at the limit, not at the end', () => {
    const index = `{"files":[${Array(250_000).fill(good).join(',')}]}`
    expect(codeOf(() => decode(index, 12, { files: 1e9, bytes: 1e15 }))).toBe('pack_limit')
  })
})

test('a header that announces more than the limit is refused before the index is read', () => {
  const header = encodePackHead([entry('a')]).subarray(0, packHeaderBytes)
  const announce = (length: number) => {
    header.writeUInt32BE(length, 8)
    return codeOf(() => readIndexLength(header))
  }
  expect(announce(indexLimitBytes)).toBe('accepted')
  expect(announce(indexLimitBytes + 1)).toBe('pack_limit')
  header[0] = 0x50
  expect(announce(10)).toBe('pack_malformed')
  expect(codeOf(() => readIndexLength(header.subarray(0, 11)))).toBe('pack_malformed')
})

test('the content of a release does not depend on how it was compressed, but on everything else', () => {
  const content = contentDigest([entry('a')])
  expect(content).toBe(sha256(encodeContent([entry('a')])))
  expect(codeOf(() => decodeContent(encodePackHead([entry('a')]).subarray(packHeaderBytes)))).toBe('pack_malformed')
  expect(contentDigest([entry('a', { frame: 99 })])).toBe(content)
  expect(contentDigest([entry('b')])).not.toBe(content)
  expect(contentDigest([entry('a', { mode: 0o755 })])).not.toBe(content)
  expect(contentDigest([entry('a', { length: 4 })])).not.toBe(content)
  expect(contentDigest([entry('a', { sha256: sha256(Buffer.from('other')) })])).not.toBe(content)
})
