/**
 * The artifacts on this machine's disk: being fetched, finished and served, thrown away in the end. The life of one:
 *
 *   open ─ put, put, … ─ admit ─ (installed from the descriptor that was hashed) ─ served until `seedUntil` ─ swept
 *
 * Rules
 *  - a piece counts only after its SHA-256, a whole only after its own; both again whenever the file is opened anew
 *  - nothing in use is removed; nothing but our own files is counted or removed
 *  - space is promised before the first byte: the quota for the whole length, the disk for what is still missing; and for the install
 *    that comes after it
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { type Artifact, pieceCount } from '../core/artifact.ts'
import type { Clock } from '../core/clock.ts'
import { piecesRoot, type Sha256 } from '../core/digest.ts'
import { ContentError, StoreError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import type { PieceStore } from '../core/piece-store.ts'
import { MiB } from '../core/units.ts'
import { markVerified, type Verified } from '../core/verified.ts'
import { ArtifactSpace } from './artifact-space.ts'
import { onDisk } from './disk-error.ts'
import { makeDirectory, removeLeftovers, writeFileDurably } from './durable.ts'
import type { HeldArtifact } from './held-artifact.ts'
import type { PieceFile } from './piece-file.ts'
import { hashFile } from './rehash.ts'
import { readSmallFile } from './small-file.ts'
import type { Demand } from './space.ts'

/** The pieces of an artifact while somebody uses them. Close it when done; the artifact cannot be removed before that. */
export interface OpenArtifact extends PieceStore, AsyncDisposable {
  /** May be called twice. The last to close also closes the file. */
  close(): Promise<void>
}

/** A whole artifact, as a descriptor of the very file that was hashed: whatever is put under its name later changes nothing. */
export interface StoredArtifact extends AsyncDisposable {
  readonly artifact: Artifact
  /** Read-only, at no particular position: read at places. Closed by `close()`. */
  readonly handle: FileHandle
  close(): Promise<void>
}

export interface ArtifactView {
  readonly sha256: Sha256
  readonly state: 'partial' | 'complete'
  /** Its whole length. */
  readonly bytes: number
  /** Ms since 1970; 0 when nobody said. */
  readonly seedUntil: number
  readonly inUse: boolean
}

/** The hashes of the most pieces there may be, and room for the rest of a torrent. */
const metainfoLimitBytes = 8 * MiB

export interface ArtifactStoreOptions {
  readonly quotaBytes: number
  readonly clock: Pick<Clock, 'now'>
}

/**
 * Open the artifacts in `directory`, which is made when missing. What a crash left half done is cleaned up; unknown files stay.
 * One process a directory: the caller holds its lock.
 *
 * @throws StoreError.
 */
export async function openArtifactStore(directory: string, options: ArtifactStoreOptions): Promise<ArtifactStore> {
  await makeDirectory(directory)
  await removeLeftovers(directory)
  const space = new ArtifactSpace(directory, options.quotaBytes)
  await space.discover()
  return new ArtifactStore(directory, space, options.clock)
}

export class ArtifactStore implements Stoppable {
  readonly #directory: string
  readonly #space: ArtifactSpace
  readonly #clock: Pick<Clock, 'now'>

  /** Use `openArtifactStore`. */
  constructor(directory: string, space: ArtifactSpace, clock: Pick<Clock, 'now'>) {
    this.#directory = directory
    this.#space = space
    this.#clock = clock
  }

  /**
   * The pieces of `artifact`, those of former runs included as far as their hashes are still right. Opened twice, both see the same.
   *
   * @param pieceHashes 32 bytes a piece.
   * @throws ContentError `pieces_mismatch` when they are not the signed ones.
   * @throws StoreError `quota_exceeded` | `disk_full` when it would not fit, whatever of the idle is thrown away; `disk_failed`.
   *   An aborted `signal` rejects with its reason.
   */
  async open(artifact: Artifact, pieceHashes: Uint8Array, signal?: AbortSignal): Promise<OpenArtifact> {
    checkPieceHashes(artifact, pieceHashes)
    return this.#using(artifact.sha256, async held => {
      const file = held.file ?? (await this.#openPieces(held, artifact, pieceHashes, signal))
      if (file.layout.pieceLength !== artifact.pieceLength)
        throw new ContentError('pieces_mismatch', `${artifact.sha256} is in use with pieces of another length`)
      return lend(file, () => this.#space.release(held, this.#clock.now()))
    })
  }

  /**
   * Make sure of the space for all of `artifact`, and for what its install takes beside it, before the first byte of either. Meanwhile the
   * artifact is not removed.
   *
   * @returns Dispose of it when the release is in force, or given up.
   * @throws StoreError `quota_exceeded` | `disk_full` with the numbers, whatever of the idle is thrown away; `disk_failed`.
   */
  async reserve(artifact: Artifact, demand: Demand): Promise<AsyncDisposable> {
    const held = this.#space.take(artifact.sha256)
    const release = () => this.#space.release(held, this.#clock.now())
    try {
      const giveBack = await this.#space.claim(held, artifact, demand, this.#clock.now())
      return {
        async [Symbol.asyncDispose]() {
          giveBack()
          await release()
        },
      }
    } catch (error) {
      await release()
      throw error
    }
  }

  /** Count what `keeper` has installed against the quota, instead of what it said before. */
  countInstalled(keeper: string, bytes: number): void {
    this.#space.countInstalled(keeper, bytes)
  }

  /**
   * Check the whole of an open, complete artifact, and give it its final name.
   *
   * @returns The content to install; close it when done.
   * @throws ContentError `artifact_mismatch`: the pieces to blame were thrown away, the artifact is incomplete again. Close it and
   *   open it anew, for the file itself may have been swapped.
   * @throws StoreError `piece_absent` when it was not open or not complete; `disk_full` | `disk_failed`.
   *   An aborted `signal` rejects with its reason.
   */
  async admit(artifact: Artifact, signal?: AbortSignal): Promise<Verified<StoredArtifact>> {
    return this.#using(artifact.sha256, async held => {
      const { file } = held
      if (!file?.have.complete) throw new StoreError('piece_absent', `${artifact.sha256} is not open, or lacks pieces`)
      const handle = await onDisk(held.dataPath, () => open(held.dataPath, constants.O_RDONLY | constants.O_NOFOLLOW))
      try {
        const found = await onDisk(held.dataPath, () => hashFile(handle, artifact.length, signal))
        if (found !== artifact.sha256) throw await mismatch(held, file, artifact, found)
        const content = markVerified(handOut(artifact, handle, () => this.#space.release(held, this.#clock.now())))
        await held.finish(file)
        return content
      } catch (error) {
        await handle.close()
        throw error
      }
    })
  }

  /** Serve the artifact until then (ms since 1970), as long as there is space. Nothing happens when it is not held. @throws StoreError. */
  async keepUntil(sha256: Sha256, seedUntil: number): Promise<void> {
    await this.#space.get(sha256)?.keepUntil(seedUntil)
  }

  /** Keep the artifact's torrent beside it, from before or after `open` until the artifact goes. @throws StoreError. */
  async keepMetainfo(sha256: Sha256, metainfo: Uint8Array): Promise<void> {
    await writeFileDurably(this.#metainfoPath(sha256), metainfo)
  }

  /** The torrent as it was kept, not checked again; undefined when there is none. @throws StoreError. */
  async metainfo(sha256: Sha256): Promise<Uint8Array | undefined> {
    const bytes = await readSmallFile(this.#metainfoPath(sha256), metainfoLimitBytes)
    return bytes === 'too large' ? undefined : bytes
  }

  list(): readonly ArtifactView[] {
    return this.#space.all().flatMap(({ sha256, state, bytes, seedUntil, users }) => {
      return state === 'absent' ? [] : [{ sha256, state, bytes, seedUntil, inUse: users > 0 }]
    })
  }

  /**
   * Remove what is past its time, and the least recently used while the quota is exceeded; nothing that is in use.
   *
   * @param keep Never removed either: what the caller is about to need.
   * @returns What was removed.
   * @throws StoreError.
   */
  async sweep(now: number, keep: ReadonlySet<Sha256>): Promise<readonly Sha256[]> {
    return this.#space.sweep(now, keep)
  }

  /** Close every file of pieces: what is still lent out fails from then on. Contents that were handed out stay open. */
  async stop(): Promise<void> {
    for (const held of this.#space.all()) await held.turns.run(() => held.closePieces())
  }

  async #openPieces(held: HeldArtifact, artifact: Artifact, pieceHashes: Uint8Array, signal?: AbortSignal) {
    try {
      await held.discover() // a rename that failed may have happened all the same
      const now = this.#clock.now()
      await this.#space.promise(held, artifact, now)
      return await held.openPieces(artifact, pieceHashes, now, signal)
    } catch (error) {
      await held.discover() // what was promised and not used is given back
      throw error
    }
  }

  /** Run `work` alone with the artifact. What it returns owns one use of it, and ends that by `release`. */
  async #using<T>(sha256: Sha256, work: (held: HeldArtifact) => Promise<T>): Promise<T> {
    const held = this.#space.take(sha256)
    try {
      return await held.turns.run(() => work(held))
    } catch (error) {
      await this.#space.release(held, this.#clock.now())
      throw error
    }
  }

  #metainfoPath(sha256: Sha256): string {
    return join(this.#directory, `${sha256}.torrent`)
  }
}

function checkPieceHashes(artifact: Artifact, pieceHashes: Uint8Array): void {
  const right = pieceHashes.length === pieceCount(artifact) * 32 && piecesRoot(pieceHashes) === artifact.piecesRoot
  if (!right)
    throw new ContentError('pieces_mismatch', `the piece hashes of ${artifact.sha256} are not the signed ones`)
}

function lend(file: PieceFile, release: () => Promise<void>): OpenArtifact {
  const close = once(release)
  return {
    layout: file.layout,
    pieces: file.pieces,
    have: file.have,
    put: (index, bytes) => file.put(index, bytes),
    read: (index, offset, length, into) => file.read(index, offset, length, into),
    onPiece: listener => file.onPiece(listener),
    close,
    [Symbol.asyncDispose]: close,
  }
}

function handOut(artifact: Artifact, handle: FileHandle, release: () => Promise<void>): StoredArtifact {
  const close = once(async () => {
    await handle.close()
    await release()
  })
  return { artifact, handle, close, [Symbol.asyncDispose]: close }
}

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined
  return () => {
    done ??= work()
    return done
  }
}

async function mismatch(held: HeldArtifact, file: PieceFile, { sha256 }: Artifact, found: Sha256 | undefined) {
  const forgotten = await held.reject(file)
  const what = found === undefined ? 'another length' : `SHA-256 ${found}`
  const message = `artifact ${sha256} has ${what} on the disk; ${forgotten} of ${file.pieces} pieces were thrown away`
  return new ContentError('artifact_mismatch', message, { artifact: sha256, found, forgotten })
}
