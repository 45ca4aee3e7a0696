/** kill -9 in the middle of fetching: what `put` acknowledged is there after the restart, and nothing else counts. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { sha256 } from '../../src/core/digest.ts'
import { scratchDir } from '../support/scratch.ts'
import { fill, openStore, smallArtifact } from './artifact-fixture.ts'

const fixture = smallArtifact()
const { artifact, pieceHashes } = fixture

const fetcher = `
  import { fill, openStore, piece, smallArtifact } from ${JSON.stringify(new URL('./artifact-fixture.ts', import.meta.url).href)}
  const fixture = smallArtifact()
  const store = await openStore(process.argv[1])
  const pieces = await store.open(fixture.artifact, fixture.pieceHashes)
  pieces.onPiece(index => process.stdout.write('have ' + index + '\\n'))
  for (let index = 0; index < pieces.pieces; index++)
    if (await pieces.put(index, piece(fixture, index)) === 'stored') process.stdout.write('stored ' + index + '\\n')
  const whole = await store.admit(fixture.artifact)
  process.stdout.write('admitted\\n')
  setInterval(() => {}, 1e6)`

/** Run the fetcher until it has said `lines` lines, then kill it. @returns The pieces it acknowledged. */
async function killAfter(directory: string, lines: number): Promise<number[]> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', fetcher, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const gone = once(child, 'exit')
  const stored: number[] = []
  let seen = 0
  for await (const line of createInterface(child.stdout)) {
    if (line.startsWith('stored ')) stored.push(Number(line.slice(7)))
    if (++seen === lines) child.kill('SIGKILL')
  }
  await gone
  expect(child.signalCode).toBe('SIGKILL')
  return stored
}

test.each([1, 5, 12, 21, 22, 23])(
  'killed after its %d. line: acknowledged pieces are not fetched again',
  async lines => {
    const directory = await scratchDir()
    const stored = await killAfter(directory, lines)
    const store = await openStore(directory)
    await using pieces = await store.open(artifact, pieceHashes)
    expect([...pieces.have.pieces()]).toEqual(expect.arrayContaining(stored))
    const fetched = await fill(pieces, fixture)
    expect(fetched.length).toBeLessThanOrEqual(11 - stored.length)
    await using whole = await store.admit(artifact)
    expect(sha256(await whole.handle.readFile())).toBe(artifact.sha256)
  },
)
