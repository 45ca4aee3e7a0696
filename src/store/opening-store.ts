/**
 * A store that is still being opened, for whoever can begin without it. Until it is open it has no piece, and who brings one waits; from
 * then on it is that store. What was on the disk already is told as if it had been stored at that moment.
 */
import { type PieceLayout, pieceCount } from '../core/artifact.ts'
import { Bitfield } from '../core/bitfield.ts'
import type { PieceIntake } from '../core/piece-store.ts'

export class OpeningStore implements PieceIntake {
  readonly #nothing: Bitfield
  /** And how they stop listening to the store. */
  readonly #listeners = new Map<(index: number) => void, (() => void) | undefined>()
  readonly #opening = Promise.withResolvers<PieceIntake>()
  #store: PieceIntake | undefined

  constructor(layout: PieceLayout) {
    this.#nothing = new Bitfield(pieceCount(layout))
    this.#opening.promise.catch(() => {}) // nobody has to bring a piece
  }

  /** To be asked for anew: the store's own takes its place. */
  get have(): PieceIntake['have'] {
    return this.#store?.have ?? this.#nothing
  }

  /** @throws As the store's own; Error, with what `failed` was told as its cause, when it will not open. */
  async put(index: number, bytes: Uint8Array): Promise<'stored' | 'known'> {
    const store = this.#store ?? (await this.#opening.promise)
    return store.put(index, bytes)
  }

  onPiece(listener: (index: number) => void): () => void {
    this.#listeners.set(listener, this.#store?.onPiece(listener))
    return () => {
      this.#listeners.get(listener)?.()
      this.#listeners.delete(listener)
    }
  }

  opened(store: PieceIntake): void {
    this.#store = store
    this.#opening.resolve(store)
    const there = [...store.have.pieces()]
    for (const listener of [...this.#listeners.keys()]) {
      this.#listeners.set(listener, store.onPiece(listener))
      for (const piece of there) listener(piece)
    }
  }

  /** It will not open: who has brought pieces waits no longer. The reason is not the fault of any piece, whatever its class says. */
  failed(reason: unknown): void {
    this.#opening.reject(new Error('the store will not open', { cause: reason }))
  }
}
