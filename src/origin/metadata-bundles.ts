/**
 * Answers to `GET /metadata/after/…` (swarm/metadata-bundle.ts), each made once, however many nodes wake up. What strangers ask for decides
 * only which of our files are in it, so there are as many different ones as the repository has channels and roots.
 */
import { hash } from 'node:crypto'
import { join } from 'node:path'
import { TrustError } from '../core/errors.ts'
import { type BodyOf, type Kind, readMetadata } from '../signing/metadata.ts'
import { writeBundle } from '../swarm/metadata-bundle.ts'
import { SmallFile, type SmallFiles } from './small-files.ts'

interface NamedFile {
  readonly name: string
  readonly file: SmallFile
}
type Maybe = NamedFile | undefined

/** Of a company with more channels than that, some are made anew. */
const mostHeld = 200

export class MetadataBundles {
  readonly #files: SmallFiles
  readonly #folder: string
  /** By the tags of the files in it, the longest unused first. All with the timestamp that has this tag: with an older one nobody needs them any more. */
  readonly #held = new Map<string, SmallFile>()
  #timestampTag = ''
  readonly #timestamps = remembering(file => read('timestamp', file)?.snapshot.version)
  readonly #snapshots = remembering(file => read('snapshot', file)?.meta)

  /** @param folder The metadata of the repository. */
  constructor(files: SmallFiles, folder: string) {
    this.#files = files
    this.#folder = folder
  }

  /**
   * @param root The version that the node trusts. @param snapshot That it has seen. @param channel A role name, of a channel that need not exist.
   * @returns undefined when there is no repository, or its next root is too long for a bundle.
   */
  async after(root: number, snapshot: number, channel: string): Promise<SmallFile | undefined> {
    const timestamp = await this.#file('timestamp.json')
    if (!timestamp) return undefined
    if (timestamp.file.etag !== this.#timestampTag) this.#held.clear()
    this.#timestampTag = timestamp.file.etag
    const needed = [timestamp, await this.#file(`${root + 1}.root.json`)]
    const newest = this.#timestamps(timestamp.file)
    if (newest === undefined || newest === snapshot) return this.#bundle(needed, [])
    const table = await this.#file(`${newest}.snapshot.json`)
    const role = table && this.#snapshots(table.file)?.get(channel)
    return this.#bundle(needed, [table, role && (await this.#file(`${role.version}.${channel}.json`))])
  }

  async #file(name: string): Promise<NamedFile | undefined> {
    const file = await this.#files.read(join(this.#folder, name))
    return file && { name, file }
  }

  #bundle(needed: readonly Maybe[], others: readonly Maybe[]): SmallFile | undefined {
    const tags = [...needed, ...others].map(each => (each ? `${each.name} ${each.file.etag}\n` : ''))
    const tag = hash('sha256', tags.join(''), 'base64url').slice(0, 22)
    const held = this.#held.get(tag)
    const bytes = held ? undefined : writeBundle(byName(needed), byName(others))
    const bundle = held ?? (bytes && new SmallFile(bytes, `"${tag}"`))
    if (!bundle) return undefined
    this.#held.delete(tag)
    this.#held.set(tag, bundle)
    const [oldest] = this.#held.keys()
    if (this.#held.size > mostHeld && oldest !== undefined) this.#held.delete(oldest)
    return bundle
  }
}

function byName(files: readonly Maybe[]): ReadonlyMap<string, Uint8Array> {
  return new Map(files.flatMap(each => (each ? [[each.name, each.file.bytes]] : [])))
}

/** Parsing costs a millisecond, and all nodes of a company ask in the same second. */
function remembering<T>(parse: (file: SmallFile) => T): (file: SmallFile) => T {
  const parsed = new WeakMap<SmallFile, { readonly value: T }>()
  return file => {
    const known = parsed.get(file) ?? { value: parse(file) }
    parsed.set(file, known)
    return known.value
  }
}

/** @returns undefined when it is damaged: nodes see what is in the file, and say what is wrong with it. */
function read<K extends Kind>(kind: K, { bytes }: SmallFile): BodyOf<K> | undefined {
  try {
    return readMetadata(kind, `${kind}.json`, bytes).body
  } catch (error) {
    if (error instanceof TrustError) return undefined
    throw error
  }
}
