/**
 * What this node trusts, on the disk. Tearing, losing and rotting of files, and a full disk, may cost the cached metadata (it can be
 * fetched again), but must never lower the floor: an attacker who can make a file disappear would replay yesterday's release.
 *
 *   metadata/a, metadata/b    the trusted files and the floor of their time; the older generation stays until the next save
 *   floor/a, floor/b          the floor alone, the same in both
 *
 * Rules
 *  - one serial for all: each save takes the next, and of all floors that are still good, the newest serial decides. Not the highest
 *    number: a rotation of the timestamp key lowers a version for good reason, and an old file must not undo that
 *  - time is never lowered by anything, so there the highest number decides
 *  - when `save` has resolved, the floor is on the disk three times, and versions that it has raised four times, since the older generation gets
 *    the new floor, too: all files but one may go, and they still stand
 */
import { join } from 'node:path'
import { StoreError, TrustError } from '../core/errors.ts'
import { wholeNumber, z } from '../core/schema.ts'
import type { TrustFloor, TrustState } from '../core/trust-state.ts'
import { type Generation, Generations, type Slot, slots } from './generations.ts'
import { Mutex } from './mutex.ts'

// Pairs, not objects: a role may have any name, `__proto__` too.
const floorRecord = z.strictObject({ time: wholeNumber, versions: z.array(z.tuple([z.string(), wholeNumber])) })
const metadataRecord = z.strictObject({ floor: floorRecord, files: z.array(z.tuple([z.string(), z.base64()])) })
type FloorRecord = z.infer<typeof floorRecord>

interface Known {
  readonly state: TrustState | undefined
  /** The older generation has the versions of this floor, too. Not so when a save, or the power, has failed on the way there. */
  readonly even: boolean
  /** Where the next save goes: above every serial that is on the disk, and not over the newest files. */
  readonly next: { readonly serial: number; readonly slot: Slot }
}

export class TrustStore {
  readonly #directory: string
  readonly #metadata: Generations
  readonly #floor: Generations
  readonly #turns = new Mutex()
  /** The disk is this process's alone, so it need not be read again. Undefined until it was, and while nobody knows what a save has left. */
  #known: Known | undefined

  /** Use `openTrustStore`. */
  constructor(directory: string) {
    this.#directory = directory
    this.#metadata = new Generations(join(directory, 'metadata'))
    this.#floor = new Generations(join(directory, 'floor'))
  }

  /** Take away what a crash left. @throws StoreError. */
  async clean(): Promise<void> {
    await this.#metadata.clean()
    await this.#floor.clean()
  }

  /**
   * @returns What was saved last, or what is left of it: older files, or none (an empty map), under the floor of the last save.
   *   undefined when nothing was ever saved here.
   * @throws TrustError `trust_damaged` when something was, and neither metadata nor floor is good any more: to start afresh then
   *   would accept a rollback. StoreError `disk_failed` when that is because a file cannot be read.
   */
  load(): Promise<TrustState | undefined> {
    return this.#turns.run(async () => {
      this.#known ??= await this.#read()
      return this.#known.state
    })
  }

  /**
   * Keep `state`. When it rejects, `load` gives the former state or this one, or the former files under this floor.
   *
   * @throws StoreError `disk_full` | `disk_failed`.
   */
  save(state: TrustState): Promise<void> {
    return this.#turns.run(async () => {
      const before = this.#known ?? (await this.#read())
      this.#known = undefined
      const { serial, slot } = before.next
      const other = slot === 'a' ? 'b' : 'a'
      const floor = toRecord(state.floor)
      // The floor first: metadata under too high a floor is fetched again, a floor that comes late lets a rollback in.
      await this.#floor.write(slots.map(each => ({ slot: each, serial, bytes: toJson(floor) })))
      const newer = { slot, serial, bytes: toJson({ floor, files: toText(state.files) }) }
      const told = before.state === undefined || (before.even && hasVersionsOf(before.state.floor, state.floor))
      const older = told
        ? []
        : [{ slot: other, serial: serial - 1, bytes: toJson({ floor, files: toText(before.state.files) }) } as const]
      await this.#metadata.write([newer, ...older])
      const even = before.state !== undefined
      this.#known = { state: atLatest(state, before.state), even, next: { serial: serial + 1, slot: other } }
    })
  }

  async #read(): Promise<Known> {
    const [metadata, floor] = await Promise.all([this.#metadata.read(), this.#floor.read()])
    const damage = [...metadata.damage, ...floor.damage]
    const generations = parseAll(metadata.good, metadataRecord, damage)
    const floors = [
      ...parseAll(floor.good, floorRecord, damage),
      ...generations.map(({ serial, value }) => ({ serial, value: value.floor })),
    ]
    const newest = Math.max(0, ...floors.map(({ serial }) => serial))
    const next = { serial: newest + 1, slot: generations[0]?.slot === 'a' ? 'b' : 'a' } as const
    const standing = highestFloor(floors)
    if (!standing && damage.length > 0) throw unreadable(this.#directory, damage)
    const files = (generations[0]?.value.files ?? []).map(
      ([name, text]) => [name, Buffer.from(text, 'base64')] as const,
    )
    const state = standing && { files: new Map(files), floor: standing }
    const told = generations.filter(({ value }) => state && hasVersionsOf(fromRecord(value.floor), state.floor))
    return { state, even: told.length === slots.length, next }
  }
}

/** Open the trusted state in `directory`, which is made when missing. @throws StoreError. */
export async function openTrustStore(directory: string): Promise<TrustStore> {
  const store = new TrustStore(directory)
  await store.clean()
  return store
}

function parseAll<T>(good: readonly Generation[], schema: z.ZodType<T>, damage: Error[]) {
  return good.flatMap(({ slot, serial, bytes }) => {
    try {
      return [{ slot, serial, value: schema.parse(JSON.parse(bytes.toString('utf8'))) }]
    } catch (error) {
      // The checksum was right, so a program wrote this: of a later version, perhaps.
      damage.push(error instanceof Error ? error : new Error(String(error)))
      return []
    }
  })
}

function highestFloor(floors: readonly { serial: number; value: FloorRecord }[]): TrustFloor | undefined {
  const newest = floors.toSorted((x, y) => y.serial - x.serial)[0]
  if (!newest) return undefined
  return { ...fromRecord(newest.value), time: Math.max(...floors.map(({ value }) => value.time)) }
}

function toText(files: TrustState['files']) {
  return [...files].map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')])
}

function hasVersionsOf({ versions: one }: TrustFloor, { versions: other }: TrustFloor): boolean {
  return one.size === other.size && [...other].every(([role, version]) => one.get(role) === version)
}

/** Time is never lowered: the older generation on the disk still has the later one. */
function atLatest({ files, floor }: TrustState, before: TrustState | undefined): TrustState {
  return { files, floor: { ...floor, time: Math.max(floor.time, before?.floor.time ?? 0) } }
}

function toRecord({ time, versions }: TrustFloor): FloorRecord {
  return { time, versions: [...versions] }
}

function fromRecord({ time, versions }: FloorRecord): TrustFloor {
  return { time, versions: new Map(versions) }
}

function toJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value), 'utf8')
}

function unreadable(directory: string, damage: readonly Error[]): TrustError | StoreError {
  const refused = damage.find(error => error instanceof StoreError)
  if (refused) return refused // it may be readable again, once the disk or its permissions are mended
  const found = damage.map(error => error.message).join('; ')
  const message = `nothing in ${directory} can be read as trusted state: ${found}`
  return new TrustError('trust_damaged', message, { path: directory, cause: new AggregateError(damage, found) })
}
