/**
 * The roots that this node has seen on its way to the newest one, each under its version: for neighbours that start from an older one. They
 * are signed, and proven by whoever reads them; losing them loses nothing but that service.
 *
 *   roots/2.root.json   roots/3.root.json
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { KiB } from '../core/units.ts'
import { onDisk } from './disk-error.ts'
import { makeDirectory, writeFileDurably } from './durable.ts'
import { readSmallFile } from './small-file.ts'

const limitBytes = 512 * KiB
/** Years of rotations. The newest are what a neighbour lacks. */
const mostRoots = 64
const fileName = /^([1-9][0-9]{0,9})\.root\.json$/

export class RootFiles {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  /** @returns By version. @throws StoreError. */
  async load(): Promise<Map<number, Uint8Array>> {
    await makeDirectory(this.#directory)
    const names = await onDisk(this.#directory, () => readdir(this.#directory))
    const versions = names.flatMap(name => fileName.exec(name)?.[1] ?? []).map(Number)
    const newest = versions.sort((a, b) => b - a).slice(0, mostRoots)
    const read = newest.map(async version => [version, await readSmallFile(this.#path(version), limitBytes)] as const)
    const found = await Promise.all(read)
    return new Map(found.flatMap(([version, bytes]) => (bytes instanceof Buffer ? [[version, bytes]] : [])))
  }

  /** @throws StoreError. */
  keep(version: number, bytes: Uint8Array): Promise<void> {
    return writeFileDurably(this.#path(version), bytes)
  }

  #path(version: number): string {
    return join(this.#directory, `${version}.root.json`)
  }
}
