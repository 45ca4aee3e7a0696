/** One artifact of a few pieces, and a store to put it in. */
import { open } from 'node:fs/promises'
import type { Artifact } from '../../src/core/artifact.ts'
import { day, MiB } from '../../src/core/units.ts'
import { type ArtifactStore, type OpenArtifact, openArtifactStore } from '../../src/store/artifact-store.ts'
import { type ArtifactFixture, makeArtifact } from '../support/artifact.ts'

export const noon = 1_800_000_000_000

/** 11 pieces of 16 KiB, the last one short. */
export function smallArtifact(seed = 1): ArtifactFixture {
  return makeArtifact({ pieceLength: 16 * 1024, length: 10 * 16 * 1024 + 777, seed })
}

export class TestClock {
  time = noon
  now(): number {
    return this.time
  }
  nextDay(): void {
    this.time += day
  }
}

export function openStore(directory: string, quotaBytes = 100 * MiB, clock = new TestClock()): Promise<ArtifactStore> {
  return openArtifactStore(directory, { quotaBytes, clock })
}

export function piece({ artifact, content }: ArtifactFixture, index: number): Buffer {
  return content.subarray(index * artifact.pieceLength, (index + 1) * artifact.pieceLength)
}

/** Put the pieces the store lacks. @returns Their indexes. */
export async function fill(pieces: OpenArtifact, fixture: ArtifactFixture): Promise<number[]> {
  const missing = [...Array(pieces.pieces).keys()].filter(index => !pieces.have.has(index))
  await Promise.all(missing.map(index => pieces.put(index, piece(fixture, index))))
  return missing
}

/** Fetched, checked and closed, as a former release is. */
export async function holdFinished(store: ArtifactStore, fixture: ArtifactFixture, seedUntil = 0): Promise<void> {
  await using pieces = await store.open(fixture.artifact, fixture.pieceHashes)
  await fill(pieces, fixture)
  await using content = await store.admit(fixture.artifact)
  if (seedUntil > 0) await store.keepUntil(content.artifact.sha256, seedUntil)
}

/** Flip one bit of a file, as a bad disk or a bad person does. */
export async function flipBit(path: string, offset: number): Promise<void> {
  await using handle = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await handle.read(byte, 0, 1, offset)
  byte[0]! ^= 1
  await handle.write(byte, 0, 1, offset)
}

export function dataName({ sha256 }: Artifact, suffix: 'part' | 'pack' | 'pieces' | 'json' | 'torrent'): string {
  return `${sha256}.${suffix}`
}
