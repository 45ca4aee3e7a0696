/**
 * Who spoilt a piece that several peers had brought? When the piece has come good, each unit that was different has its culprit.
 *
 * Kept: the digest and the bringer of each unit, for the last few spoilt pieces only; a peer that floods us with bad pieces gets
 * struck for the ones it brings alone.
 */
import { hash } from 'node:crypto'
import type { PartialPiece } from './partial-piece.ts'

interface Trace {
  readonly unit: number
  readonly digest: string
  readonly host: string
}

const casesKept = 32

export class Evidence {
  readonly #cases = new Map<number, Trace[]>()

  /** `partial` was bad. */
  record(partial: PartialPiece): void {
    const traces = this.#cases.get(partial.index) ?? []
    for (const { unit, bytes, from } of partial.units()) traces.push({ unit, digest: digest(bytes), host: from.host })
    this.#cases.delete(partial.index)
    this.#cases.set(partial.index, traces)
    for (const oldest of this.#cases.keys()) {
      if (this.#cases.size <= casesKept) return
      this.#cases.delete(oldest)
    }
  }

  /** `partial` is good. @returns The hosts that had brought something else, each once. */
  convict(partial: PartialPiece): ReadonlySet<string> {
    const guilty = new Set<string>()
    const traces = this.#cases.get(partial.index)
    if (!traces) return guilty
    this.#cases.delete(partial.index)
    const good = new Map([...partial.units()].map(({ unit, bytes }) => [unit, digest(bytes)]))
    for (const { unit, digest, host } of traces) if (good.get(unit) !== digest) guilty.add(host)
    return guilty
  }

  /** The piece came from elsewhere. */
  drop(piece: number): void {
    this.#cases.delete(piece)
  }
}

function digest(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'base64')
}
