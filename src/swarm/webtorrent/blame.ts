/**
 * Who brought the bad block? webtorrent fills a piece with blocks of many peers, and when its hash is wrong it forgets whose they were,
 * so nobody is ever banned. Pure; peers are known by their address.
 *
 *   piece 7: blocks of A and B, bad       nobody is convicted; the hash of each block is kept with its sender
 *   piece 7 again, from one peer only     whoever asks first has it to himself
 *     bad                                 he is convicted: nobody else touched it
 *     good                                now the right blocks are known: whose differ are convicted, the others acquitted
 */
import { sha256 } from '../../core/digest.ts'

/** One try at putting a piece together. A block that arrives after its try is over belongs to nothing. */
export type Attempt = Map<number, Block>

interface Block {
  readonly bytes: Uint8Array
  readonly host: string
}

interface Suspicion {
  /** The one peer that may bring this piece now. */
  owner: string | undefined
  /** Sender and hash of each block of the failed attempt, by offset. */
  readonly evidence: ReadonlyMap<number, { readonly host: string; readonly sha256: string }>
}

export class Blame {
  readonly #attempts = new Map<number, Attempt>()
  readonly #suspicions = new Map<number, Suspicion>()

  /** May `host` be asked for a block of this piece? */
  mayAsk(index: number, host: string): boolean {
    const owner = this.#suspicions.get(index)?.owner
    return owner === undefined || owner === host
  }

  /** A block of it is asked for. @returns The attempt that the answer belongs to. */
  asked(index: number, host: string): Attempt {
    const suspicion = this.#suspicions.get(index)
    if (suspicion) suspicion.owner ??= host
    const attempt = this.#attempts.get(index) ?? new Map<number, Block>()
    this.#attempts.set(index, attempt)
    return attempt
  }

  /** The block has come. @returns false when it is of no use: it was there already, or its attempt is over. */
  received(attempt: Attempt, index: number, offset: number, bytes: Uint8Array, host: string): boolean {
    if (this.#attempts.get(index) !== attempt || attempt.has(offset)) return false
    attempt.set(offset, { bytes, host })
    return true
  }

  /** The piece is whole and bad. @returns Who is convicted by that. */
  bad(index: number): string[] {
    const blocks = this.#take(index)
    const hosts = new Set([...blocks.values()].map(block => block.host))
    const alone = hosts.size === 1
    const evidence = new Map(
      [...blocks].map(([offset, { host, bytes }]) => [offset, { host, sha256: sha256(bytes) }] as const),
    )
    this.#suspicions.set(index, {
      owner: undefined,
      evidence: alone ? (this.#suspicions.get(index)?.evidence ?? new Map()) : evidence,
    })
    return alone ? [...hosts] : []
  }

  /** The piece is whole and good. @returns Who is convicted by comparison with the failed attempt. */
  good(index: number): string[] {
    const blocks = this.#take(index)
    const evidence = this.#suspicions.get(index)?.evidence ?? new Map<number, never>()
    this.#suspicions.delete(index)
    const liars = [...evidence].filter(([offset, { sha256: claimed }]) => {
      const right = blocks.get(offset)
      return right !== undefined && sha256(right.bytes) !== claimed
    })
    return [...new Set(liars.map(([, { host }]) => host))]
  }

  /** The piece starts anew. @returns Bytes that are thrown away with that. */
  restart(index: number): number {
    let bytes = 0
    for (const block of this.#take(index).values()) bytes += block.bytes.length
    return bytes
  }

  /** Another hand stored the piece: nothing more can be learnt from it. @returns Bytes that are thrown away with that. */
  settle(index: number): number {
    this.#suspicions.delete(index)
    return this.restart(index)
  }

  /** `host` is gone, or serves us no more. @returns The pieces it had to itself, which have to start anew. */
  gone(host: string): number[] {
    const owned = [...this.#suspicions].filter(([, suspicion]) => suspicion.owner === host)
    for (const [, suspicion] of owned) suspicion.owner = undefined
    return owned.map(([index]) => index)
  }

  /** Unfinished pieces that have a block of `host`. */
  touchedBy(host: string): number[] {
    const touched = [...this.#attempts].filter(([, attempt]) =>
      [...attempt.values()].some(block => block.host === host),
    )
    return touched.map(([index]) => index)
  }

  #take(index: number): Attempt {
    const attempt = this.#attempts.get(index) ?? new Map<number, Block>()
    this.#attempts.delete(index)
    return attempt
  }
}
