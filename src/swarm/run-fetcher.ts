/**
 * Fetches runs of pieces as long byte ranges, and puts each piece into the store as it comes. A run that breaks off goes on at the
 * very byte, later. It ends early where a piece is no longer wanted; the bytes that came for such a piece are wasted, and counted.
 */
import { type Artifact, pieceSize } from '../core/artifact.ts'
import type { Clock } from '../core/clock.ts'
import { ContentError } from '../core/errors.ts'
import type { PieceIntake } from '../core/piece-store.ts'
import { second } from '../core/units.ts'
import { Limiter, onTheLine } from './limits/limiter.ts'
import type { OriginClient } from './origin-client.ts'
import { type BegunPiece, PieceCutter } from './piece-cutter.ts'
import type { Run, Slice } from './slice.ts'

/** A lease is short: pieces stuck on a dead connection keep the whole site waiting. */
const idleTimeoutMs = 10 * second

export interface FetchParts {
  readonly client: Pick<OriginClient, 'fetchRange'>
  readonly artifact: Artifact
  /** Where the origin serves it, see `artifactUrlPath`. */
  readonly path: string
  readonly store: PieceIntake
  readonly limiter: Limiter
  readonly clock: Pick<Clock, 'monotonic'>
}

/** A run under way. Times are monotonic. */
interface Stream {
  readonly run: Run
  readonly cutter: PieceCutter
  readonly unwanted: AbortController
  readonly end: number
  readonly startedAt: number
  heardAt: number
  received: number
}

/** What is left of a run at its pace: longer than a round trip and the start of a connection that has rested. */
const endingMs = 0.4 * second
/** A run that brings nothing for so long holds up no other. */
const hungMs = 2 * second

export class RunFetcher {
  /** Artifact bytes that came over the WAN. */
  received = 0
  /** Of these, the ones thrown away: bad, double, or of a piece that was no longer wanted. */
  wasted = 0
  /** The part of the site's limit that this seat has. */
  readonly share = new Limiter()
  readonly #parts: FetchParts
  readonly #slice: Slice
  readonly #streams = new Set<Stream>()
  /** What broken runs left of pieces that are still wanted. */
  readonly #begun = new Map<number, BegunPiece>()
  readonly #mismatches = new Map<number, number>()

  constructor(parts: FetchParts, slice: Slice) {
    this.#parts = parts
    this.#slice = slice
  }

  /**
   * Fetch one claimed run.
   *
   * @param onBytes Hears of every chunk.
   * @returns When the run is through, or the rest of it is no longer wanted.
   * @throws DownloadError as `fetchRange`; ContentError `piece_mismatch`, with `facts.times`: how often the origin has now sent this
   *   piece wrong; the StoreError of the disk. An aborted `signal` rejects with its own reason.
   */
  async fetch(run: Run, signal: AbortSignal, onBytes: () => void): Promise<void> {
    const { client, artifact, path, limiter, clock } = this.#parts
    const cutter = new PieceCutter(artifact, run.first, this.#takeBegun(run.first))
    const range = { start: cutter.position, end: run.last * artifact.pieceLength + pieceSize(artifact, run.last) }
    const startedAt = clock.monotonic()
    const about = { run, cutter, end: range.end, startedAt, heardAt: startedAt, received: 0 }
    const stream: Stream = { ...about, unwanted: new AbortController() }
    const ended = AbortSignal.any([signal, stream.unwanted.signal])
    this.#streams.add(stream)
    try {
      await client.fetchRange(path, range, artifact.length, {
        seat: this.#slice.token,
        signal: ended,
        idleTimeoutMs,
        onChunk: async chunk => {
          this.received += chunk.length
          stream.received += chunk.length
          stream.heardAt = clock.monotonic()
          onBytes()
          let bad: ContentError | undefined
          for (const { piece, bytes } of cutter.push(chunk)) bad = (await this.#put(piece, bytes)) ?? bad
          if (bad) throw bad
          this.reconsider()
          // Until then nothing is read: the window closes, and the origin waits.
          for (const each of [limiter, this.share]) await each.pass(onTheLine(chunk.length), ended)
        },
      })
    } catch (error) {
      if (signal.aborted || !stream.unwanted.signal.aborted) throw error
    } finally {
      this.#streams.delete(stream)
      this.#keepBegun(cutter.broken())
    }
  }

  /**
   * Is a run under way that is not about to end? The next one waits for that: pieces begun side by side would all come later, and what is
   * begun and then left to another seat crosses the line twice.
   */
  get busy(): boolean {
    const now = this.#parts.clock.monotonic()
    return [...this.#streams].some(stream => {
      if (now - stream.heardAt >= hungMs) return false
      const left = stream.end - stream.cutter.position
      return left * (now - stream.startedAt) >= stream.received * endingMs
    })
  }

  /** Has a run that broke off left a part of this piece? One that begins with it goes on behind that part. */
  hasBegun(piece: number): boolean {
    return this.#begun.has(piece)
  }

  /** Something was stored, dealt or taken away: end the runs that have come to a piece nobody wants from us. */
  reconsider(): void {
    for (const { run, cutter, unwanted } of this.#streams) {
      // Behind its last piece a run ends by itself, and keeps its connection.
      if (cutter.piece <= run.last && !this.#slice.wants(cutter.piece)) unwanted.abort()
    }
    for (const piece of [...this.#begun.keys()]) if (!this.#slice.wants(piece)) this.#dropBegun(piece)
  }

  /** @returns The blame, when the piece is not the signed one; what comes behind it in the same chunk may still be good. */
  async #put(piece: number, bytes: Uint8Array): Promise<ContentError | undefined> {
    // A chunk can reach into pieces behind the one that ended the run.
    const put = this.#slice.wants(piece) ? this.#parts.store.put(piece, bytes) : 'unwanted'
    try {
      if ((await put) !== 'stored') this.wasted += bytes.length
      return undefined
    } catch (error) {
      if (!(error instanceof ContentError)) throw error
      this.wasted += bytes.length
      return this.#mismatch(piece, error)
    }
  }

  #mismatch(piece: number, cause: ContentError): ContentError {
    const times = (this.#mismatches.get(piece) ?? 0) + 1
    this.#mismatches.set(piece, times)
    const sentence = `piece ${piece} from the origin is not the signed one, for the ${ordinal(times)} time`
    return new ContentError('piece_mismatch', sentence, { cause, piece, times })
  }

  #takeBegun(piece: number): BegunPiece | undefined {
    const begun = this.#begun.get(piece)
    this.#begun.delete(piece)
    return begun
  }

  #keepBegun(begun: BegunPiece | undefined): void {
    if (!begun) return
    this.#dropBegun(begun.piece)
    this.#begun.set(begun.piece, begun)
    // One for each run that can be under way is enough to go on; more would only be memory.
    const [oldest] = this.#begun.keys()
    if (this.#begun.size > 2 && oldest !== undefined) this.#dropBegun(oldest)
    this.reconsider()
  }

  #dropBegun(piece: number): void {
    this.wasted += this.#takeBegun(piece)?.bytes.length ?? 0
  }
}

function ordinal(times: number): string {
  return ['first', 'second', 'third'][times - 1] ?? `${times}th`
}
