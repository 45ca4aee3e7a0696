/**
 * One artifact in the store's directory: its files, who uses it, and how long it is kept.
 *
 *   <sha256>.part      pieces at their places, while it is fetched
 *   <sha256>.pieces    which of them were stored (piece-journal.ts); gone when it is finished
 *   <sha256>.pack      the same file, renamed once the whole had its digest
 *   <sha256>.torrent   its metainfo, so that a restart can go on while the origin is away
 *   <sha256>.json      until when it is served, when it was last used
 */
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Artifact, pieceCount } from '../core/artifact.ts'
import { Bitfield } from '../core/bitfield.ts'
import { asSha256, type Sha256 } from '../core/digest.ts'
import { wholeNumber, z } from '../core/schema.ts'
import { isSystemError, onDisk } from './disk-error.ts'
import { renameDurably, syncDirectory } from './durable.ts'
import { JsonFile } from './json-file.ts'
import { Mutex } from './mutex.ts'
import { openDataFile, PieceFile } from './piece-file.ts'
import { PieceJournal, readPieceJournal } from './piece-journal.ts'
import { findGoodPieces } from './rehash.ts'

const retention = z.strictObject({ seedUntil: wholeNumber, usedAt: wholeNumber })
type Suffix = 'part' | 'pieces' | 'pack' | 'torrent' | 'json'
const ours = /^([0-9a-f]{64})\.(?:part|pieces|pack|torrent|json|json\.damaged)$/

/** The artifacts that have a file of ours in `directory`, whatever state it is in. Other names are passed over. */
export async function findArtifacts(directory: string): Promise<Set<Sha256>> {
  const names = await onDisk(directory, () => readdir(directory))
  return new Set(names.flatMap(name => ours.exec(name)?.[1] ?? []).map(asSha256))
}

export class HeldArtifact {
  readonly sha256: Sha256
  /** Opening, checking and removing take turns. */
  readonly turns = new Mutex()
  /** Open stores, handed-out contents, and those who wait for either. Above zero nothing is removed. */
  users = 0
  state: 'absent' | 'partial' | 'complete' = 'absent'
  /** The whole length, which is what counts against the quota from the first piece on. */
  bytes = 0
  seedUntil = 0
  usedAt = 0
  file: PieceFile | undefined
  readonly #directory: string
  readonly #retention: JsonFile<z.infer<typeof retention>>

  constructor(directory: string, sha256: Sha256) {
    this.#directory = directory
    this.sha256 = sha256
    this.#retention = new JsonFile(join(directory, `${sha256}.json`), retention)
  }

  /** Learn from the disk what there is: a former process, or a call that failed half way, may have left anything. @throws StoreError. */
  async discover(): Promise<void> {
    const finished = await sizeOf(this.#path('pack'))
    const partial = await sizeOf(this.#path('part'))
    this.state = finished !== undefined ? 'complete' : partial !== undefined ? 'partial' : 'absent'
    this.bytes = finished?.length ?? partial?.length ?? 0
    if (this.state === 'absent') return
    const kept = await this.#retention.read()
    this.seedUntil = kept?.seedUntil ?? 0
    this.usedAt = kept?.usedAt ?? 0
  }

  /** Where the pieces are now. */
  get dataPath(): string {
    return this.#path(this.state === 'complete' ? 'pack' : 'part')
  }

  /** Bytes on the disk now; a file with holes takes less than its length. */
  async allocated(): Promise<number> {
    return (await sizeOf(this.dataPath))?.allocated ?? 0
  }

  /** @throws StoreError. */
  async keepUntil(seedUntil: number): Promise<void> {
    await this.turns.run(async () => {
      if (this.state === 'absent') return
      this.seedUntil = seedUntil
      await this.#keepRetention()
    })
  }

  /**
   * Open the pieces, and count only those whose hash is right now. A finished artifact with a bad piece is unfinished again: what
   * lay on the disk since the last run is never served unseen.
   *
   * @throws StoreError. An aborted `signal` rejects with its reason.
   */
  async openPieces(artifact: Artifact, pieceHashes: Uint8Array, now: number, signal?: AbortSignal): Promise<PieceFile> {
    const candidates = await this.#candidates(artifact)
    const path = this.dataPath
    const handle = await openDataFile(path, artifact.length)
    try {
      const have = await onDisk(path, () => findGoodPieces(handle, artifact, pieceHashes, candidates, signal))
      if (this.state === 'absent') this.state = 'partial'
      if (!have.complete) await this.#reopen()
      this.usedAt = now
      await this.#keepRetention()
      const journal = this.state === 'complete' ? await this.#removeJournal() : await this.#startJournal(have)
      this.file = new PieceFile({ artifact, path, handle, pieceHashes, have, journal })
      return this.file
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** The whole has its digest: make its pieces last, and give it its final name. */
  async finish(file: PieceFile): Promise<void> {
    if (this.state === 'complete') return
    await file.sync()
    await renameDurably(this.#path('part'), this.#path('pack'))
    this.state = 'complete'
    await file.endJournal()
    await this.#removeJournal()
  }

  /** The whole does not have its digest. @returns How many pieces were thrown away for it, one at least. @throws StoreError. */
  async reject(file: PieceFile): Promise<number> {
    await this.#reopen()
    return file.forgetBadPieces(have => this.#startJournal(have))
  }

  async closePieces(): Promise<void> {
    const file = this.file
    this.file = undefined
    await file?.close()
  }

  /** The data first: what a crash leaves of the rest is an orphan, and goes at the next start. */
  async remove(): Promise<void> {
    await onDisk(this.#path('pack'), async () => {
      for (const suffix of ['pack', 'part', 'pieces', 'torrent', 'json'] as const)
        await rm(this.#path(suffix), { force: true })
      await rm(`${this.#path('json')}.damaged`, { force: true })
      await syncDirectory(this.#directory)
    })
    this.state = 'absent'
    this.bytes = 0
    this.seedUntil = 0
  }

  /** A finished artifact is unfinished again. */
  async #reopen(): Promise<void> {
    if (this.state !== 'complete') return
    await renameDurably(this.#path('pack'), this.#path('part'))
    this.state = 'partial'
  }

  #startJournal(have: Bitfield): Promise<PieceJournal> {
    return PieceJournal.start(this.#path('pieces'), have.pieces())
  }

  /** It may still be there when the artifact is opened: a crash or a failure came between its end and the rename that finished it. */
  async #removeJournal(): Promise<undefined> {
    await onDisk(this.#path('pieces'), () => rm(this.#path('pieces'), { force: true }))
  }

  async #keepRetention(): Promise<void> {
    await this.#retention.write({ seedUntil: this.seedUntil, usedAt: this.usedAt })
  }

  #path(suffix: Suffix): string {
    return join(this.#directory, `${this.sha256}.${suffix}`)
  }

  async #candidates(artifact: Artifact): Promise<Iterable<number>> {
    if (this.state === 'absent') return []
    const all = Bitfield.full(pieceCount(artifact)).pieces()
    return this.state === 'complete' ? all : ((await readPieceJournal(this.#path('pieces'))) ?? all)
  }
}

async function sizeOf(path: string): Promise<{ length: number; allocated: number } | undefined> {
  return onDisk(path, async () => {
    try {
      const { size, blocks } = await stat(path)
      return { length: size, allocated: blocks * 512 }
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return undefined
      throw error
    }
  })
}
