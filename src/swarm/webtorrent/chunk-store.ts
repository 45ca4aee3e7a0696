/**
 * A PieceStore as webtorrent wants one (abstract-chunk-store). webtorrent puts what has passed SHA-1; the PieceStore takes what has
 * passed SHA-256. When it refuses, webtorrent is not told: it has no answer but to give up the whole torrent. `refused` puts the piece
 * back among the missing ones instead.
 */
import type { ChunkStore, StoreCallback } from 'webtorrent'
import { pieceSize } from '../../core/artifact.ts'
import { ContentError } from '../../core/errors.ts'
import type { PieceStore } from '../../core/piece-store.ts'

export interface PutOutcome {
  /** Before `put` is tried. */
  trying(index: number): void
  /** In the store, by us (`stored`) or by another hand before us (`known`). webtorrent hears of it after this. */
  done(index: number, outcome: 'stored' | 'known'): void
  /** SHA-1 right, SHA-256 wrong. */
  refused(index: number): void
  /** The disk. */
  failed(error: unknown): void
}

export function chunkStore(store: PieceStore, outcome: PutOutcome): ChunkStore {
  return {
    chunkLength: store.layout.pieceLength,
    put(index, bytes, callback = () => {}) {
      outcome.trying(index)
      store.put(index, bytes).then(
        result => {
          outcome.done(index, result)
          callback(null)
        },
        error => {
          if (error instanceof ContentError && error.code === 'piece_mismatch') outcome.refused(index)
          else outcome.failed(error)
        },
      )
    },
    get(index, options, callback) {
      const [range, answer] = typeof options === 'function' ? [{}, options] : [options ?? {}, callback ?? (() => {})]
      const offset = range.offset ?? 0
      const length = range.length ?? pieceSize(store.layout, index) - offset
      store.read(index, offset, length).then(bytes => answer(null, bytes), answer)
    },
    close: settle,
    destroy: settle,
  }
}

/** The store belongs to who made it: webtorrent closes nothing. */
function settle(callback?: StoreCallback): void {
  if (callback) queueMicrotask(() => callback(null))
}
