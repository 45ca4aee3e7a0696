/**
 * What this node holds of the repository's metadata, to be shown to its neighbours: the files of its last whole refresh, byte for byte as
 * published, by the names that a repository serves them under. Whoever takes them verifies them as if they came from the origin.
 *
 *   timestamp.json   7.snapshot.json   3.targets.json   7.clamav.json   2.root.json 3.root.json ...
 *
 * All that somebody lacks there is in one answer, too (swarm/metadata-bundle.ts). A request never becomes a path: it is a name that is on the
 * shelf, or nothing.
 */
import { TrustError } from '../core/errors.ts'
import type { TrustState } from '../core/trust-state.ts'
import { type BodyOf, type Kind, readMetadata } from '../signing/metadata.ts'
import type { Versions } from '../swarm/events/protocol.ts'
import { type MetadataBundle, writeBundle } from '../swarm/metadata-bundle.ts'

const nothingHeld: Versions = { timestamp: 0, snapshot: 0 }

export class Shelf {
  static readonly empty = new Shelf({ files: new Map(), floor: { time: 0, versions: new Map() } }, new Map())

  /** Of the newest timestamp and snapshot that belong together; 0 and 0 when there are none. */
  readonly versions: Versions
  readonly #state: TrustState
  readonly #roots: ReadonlyMap<number, Uint8Array>
  /** By the names in them, so not more than there are roots and channels here. */
  readonly #bundles = new Map<string, Uint8Array | undefined>()

  /** @param roots The chain of roots as far as it is known, by version. */
  constructor(state: TrustState, roots: ReadonlyMap<number, Uint8Array>) {
    this.#state = state
    this.#roots = roots
    const timestamp = this.#read('timestamp', 'timestamp.json')
    const snapshot = this.#read('snapshot', 'snapshot.json')
    this.versions =
      timestamp && timestamp.snapshot.version === snapshot?.version
        ? { timestamp: timestamp.version, snapshot: snapshot.version }
        : nothingHeld
  }

  /** Of the root that is trusted; 0 when none has been seen yet but the pinned one. */
  get root(): number {
    return this.#read('root', 'root.json')?.version ?? 0
  }

  /** @param name As in the metadata folder of a repository. @returns undefined when it is not here. */
  find(name: string): Uint8Array | undefined {
    if (this.versions === nothingHeld) return undefined
    if (name === 'timestamp.json') return this.#state.files.get(name)
    const [, version = '', role = ''] = /^([1-9][0-9]{0,9})\.([a-z][a-z0-9-]{0,63})\.json$/.exec(name) ?? []
    if (role === 'root') return this.#roots.get(Number(version))
    const file = `${role}.json`
    const held = this.#read(role === 'snapshot' ? 'snapshot' : 'targets', file)
    return held?.version === Number(version) ? this.#state.files.get(file) : undefined
  }

  /**
   * The files that somebody lacks who trusts this root and has seen this snapshot.
   *
   * @param channel A role's name, of a channel that need not be here.
   * @returns See metadata-bundle.ts. undefined when nothing is held, or the next root is too long for a bundle.
   */
  after(root: number, snapshot: number, channel: string): Uint8Array | undefined {
    const { snapshot: newest } = this.versions
    const needed = this.#named(['timestamp.json', `${root + 1}.root.json`])
    const held = newest === snapshot ? undefined : this.#read('targets', `${channel}.json`)
    const others = this.#named(held ? [`${newest}.snapshot.json`, `${held.version}.${channel}.json`] : [])
    if (!needed.has('timestamp.json')) return undefined
    const key = [...needed.keys(), ...others.keys()].join()
    if (!this.#bundles.has(key)) this.#bundles.set(key, writeBundle(needed, others))
    return this.#bundles.get(key)
  }

  #named(names: readonly string[]): MetadataBundle {
    return new Map(
      names.flatMap(name => {
        const bytes = this.find(name)
        return bytes ? [[name, bytes]] : []
      }),
    )
  }

  /** What was kept is verified; but a cache that an older version of this program wrote, or a damaged one, is only not shown. */
  #read<K extends Kind>(kind: K, name: string): BodyOf<K> | undefined {
    const bytes = this.#state.files.get(name)
    if (!bytes) return undefined
    try {
      return readMetadata(kind, name, bytes).body
    } catch (error) {
      if (error instanceof TrustError) return undefined
      throw error
    }
  }
}
