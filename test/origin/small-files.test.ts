/** What all nodes of a company ask for in the same moment. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { SmallFiles } from '../../src/origin/small-files.ts'
import { scratchDir } from '../support/scratch.ts'

test('many ask at once for a file that nobody has asked for: it is read once, and so compressed once', async () => {
  const path = join(await scratchDir(), '7.clamav.json')
  const files = new SmallFiles(1000, 10_000)
  const askers = 50
  for (const text of ['{"version":7}', '{"version":8,"longer":true}']) {
    await writeFile(path, text)
    const read = await Promise.all(Array.from({ length: askers }, () => files.read(path)))
    expect(new Set(read).size).toBe(1)
    expect(read[0]?.bytes.toString()).toBe(text)
  }
})

test('what is compressed holds no more memory than it has bytes', async () => {
  const path = join(await scratchDir(), '7.clamav.json')
  await writeFile(path, 'clamav '.repeat(100))
  const file = await new SmallFiles(1000, 10_000).read(path)
  const compressed = await file!.brotli()
  expect(brotliDecompressSync(compressed!).toString()).toBe('clamav '.repeat(100))
  expect(compressed!.buffer.byteLength).toBe(compressed!.length)
})

test('the file is not there, and then it is', async () => {
  const path = join(await scratchDir(), '7.clamav.json')
  const files = new SmallFiles(1000, 10_000)
  expect(await files.read(path)).toBeUndefined()
  await writeFile(path, '{}')
  expect((await files.read(path))?.bytes.toString()).toBe('{}')
})
