/** A new repository: keys, first metadata, and the two files that origin and nodes are set up with. */
import { chmod } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { PublishError } from '../core/errors.ts'
import { createRepository, type RoleSetup } from '../signing/create-repository.ts'
import type { Lifetimes } from '../signing/lifetimes.ts'
import { topLevelRoles } from '../signing/metadata.ts'
import type { PrivateKey } from '../signing/private-key.ts'
import type { MetadataFile } from '../signing/repository.ts'
import { lockDirectory } from '../store/directory-lock.ts'
import { onDisk } from '../store/disk-error.ts'
import { makeDirectory, removeLeftovers, writeFileDurably } from '../store/durable.ts'
import { requireChannelName } from './channel-releases.ts'
import { ensureKey } from './key-files.ts'
import { namesIn, OperatorDirectory, publicFileMode } from './operator-directory.ts'
import { originToml } from './origin-toml.ts'

export interface InitOptions {
  /** More can be added by a publish. */
  readonly channels: readonly string[]
  /** ms since 1970. */
  readonly now: number
  readonly lifetimes?: Lifetimes
}

export interface InitializedRepository {
  /** Absolute. */
  readonly directory: string
  /** For the nodes to pin. */
  readonly rootFile: string
  readonly originFile: string
}

/**
 * Make a repository in `directory`, with one Ed25519 key a role. Killed in the middle, run it again.
 *
 * @param directory Made when missing; else only what an init that was cut off left may be in it.
 * @throws PublishError `repository_exists` when anything else is there: keys are never overwritten. ConfigError `config_invalid` for a
 *   name that no channel can have. StoreError.
 */
export async function initRepository(directory: string, options: InitOptions): Promise<InitializedRepository> {
  const place = new OperatorDirectory(resolve(directory))
  options.channels.forEach(requireChannelName)
  return createOnDisk(place, () => sign(place, options))
}

/**
 * Lay out the directory, and fill it with what `make` signs. All or nothing: as long as it has no timestamp it is no repository.
 *
 * @throws PublishError `repository_exists`; what `make` throws; StoreError.
 */
export async function createOnDisk(
  place: OperatorDirectory,
  make: () => readonly MetadataFile[] | Promise<readonly MetadataFile[]>,
): Promise<InitializedRepository> {
  await requireRoom(place)
  await makeDirectory(place.path, 0o755)
  const lock = await lockDirectory(place.path)
  try {
    await removeLeftovers(place.path)
    await makeLayout(place)
    const files = await make()
    const rootFile = join(place.path, 'root.json')
    const originFile = join(place.path, 'origin.toml')
    await writeFileDurably(rootFile, files.find(({ name }) => name === '1.root.json')!.bytes, publicFileMode)
    await writeFileDurably(originFile, originToml(place.path), publicFileMode)
    await place.writeMetadata(files) // its last file makes the repository one
    return { directory: place.path, rootFile, originFile }
  } finally {
    await lock.stop()
  }
}

/** Keys of an init that was cut off have signed nothing that anybody has seen; they are taken. */
async function requireRoom(place: OperatorDirectory): Promise<void> {
  if ((await namesIn(place.metadata)).includes('timestamp.json'))
    throw new PublishError('repository_exists', `${place.path} holds a repository already`)
  const ours = new Set(['keys', 'repository', 'root.json', 'origin.toml', 'lock'])
  const strange = (await namesIn(place.path)).find(name => !ours.has(name) && !name.startsWith('.'))
  if (strange !== undefined)
    throw new PublishError(
      'repository_exists',
      `${place.path} is not empty: there is ${strange}; give a directory of its own`,
    )
}

async function makeLayout(place: OperatorDirectory): Promise<void> {
  for (const directory of [place.served, place.metadata, place.targets, place.torrents]) {
    await makeDirectory(directory, 0o755)
    await onDisk(directory, () => chmod(directory, 0o755))
  }
  await makeDirectory(place.keys, 0o700)
  await onDisk(place.keys, () => chmod(place.keys, 0o700))
}

async function sign(place: OperatorDirectory, { channels, now, lifetimes }: InitOptions) {
  const keyring = new Map<string, PrivateKey>()
  for (const role of [...topLevelRoles, ...channels]) keyring.set(role, await ensureKey(place.keys, role))
  const setup = (role: string): RoleSetup => ({ keys: [keyring.get(role)!.public], threshold: 1 })
  const roles = {
    root: setup('root'),
    targets: setup('targets'),
    snapshot: setup('snapshot'),
    timestamp: setup('timestamp'),
  }
  const plan = { roles, channels: new Map(channels.map(name => [name, setup(name)])) }
  return createRepository(plan, { keyring: [...keyring.values()], now, ...(lifetimes && { lifetimes }) })
}
