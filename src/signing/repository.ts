/**
 * The operator's repository as values: read, and checked as a client checks it. Signing anew is in revise-repository.ts.
 *
 *   1.root.json 2.root.json …    every root since the first: a node that slept walks through all of them
 *   timestamp.json               the only file that is ever replaced
 *   9.snapshot.json              consistent snapshots: every other file carries its version and never changes
 *   1.targets.json               delegates <channel>/* to the role <channel>
 *   7.clamav.json                the manifest of a channel
 */
import { PublishError, TrustError } from '../core/errors.ts'
import { type Root, readMetadata, type SignedFile, type Snapshot, type Targets, type Timestamp } from './metadata.ts'
import { pinRoot } from './root-chain.ts'
import type { TrustWalk } from './trust-step.ts'
import { refreshRepository, type TrustedRepository } from './trusted-repository.ts'

/** What is below the metadata URL, by file name. */
export type MetadataFiles = Pick<ReadonlyMap<string, Uint8Array>, 'get'>

export interface MetadataFile {
  readonly name: string
  readonly bytes: Uint8Array
}

export interface Repository {
  readonly root: SignedFile<Root>
  readonly timestamp: SignedFile<Timestamp>
  readonly snapshot: SignedFile<Snapshot>
  readonly targets: SignedFile<Targets>
  /** By name, in the order of the delegations. */
  readonly channels: ReadonlyMap<string, SignedFile<Targets>>
}

/**
 * Read the newest state of a repository. Expired roles are no error: they are what is signed anew.
 *
 * @throws PublishError `repository_missing` without a first root; `repository_damaged` when a client, whatever the time, would refuse it.
 */
export function readRepository(files: MetadataFiles): Repository {
  const firstRoot = files.get('1.root.json')
  if (!firstRoot) throw new PublishError('repository_missing', 'there is no 1.root.json')
  try {
    // The dawn of time: nothing has expired yet.
    const repository = runAgainst(files, refreshRepository(pinRoot(firstRoot), { now: 0 }))
    const channels = runAgainst(files, loadChannels(repository))
    const file = (role: string) => repository.state.files.get(`${role}.json`)!
    return {
      root: readMetadata('root', 'root.json', file('root')),
      timestamp: readMetadata('timestamp', 'timestamp.json', file('timestamp')),
      snapshot: readMetadata('snapshot', 'snapshot.json', file('snapshot')),
      targets: readMetadata('targets', 'targets.json', file('targets')),
      channels: new Map(channels.map(name => [name, readMetadata('targets', `${name}.json`, file(name))])),
    }
  } catch (cause) {
    if (!(cause instanceof TrustError)) throw cause
    throw new PublishError('repository_damaged', `the repository is damaged: ${cause.message}`, { cause })
  }
}

/** @returns The channels' names. */
function* loadChannels(repository: TrustedRepository): TrustWalk<string[]> {
  const { delegations } = yield* repository.targets('targets', repository.root.roles.targets)
  for (const { name, role } of delegations) yield* repository.targets(name, role)
  return delegations.map(({ name }) => name)
}

/** Play the client's driver, with `files` for a network and no disk. */
export function runAgainst<Result>(files: MetadataFiles, walk: TrustWalk<Result>): Result {
  let step = walk.next()
  while (!step.done) step = walk.next(step.value.do === 'fetch' ? files.get(step.value.path) : undefined)
  return step.value
}
