/**
 * How this machine becomes a node:
 *
 *   1 root       fetch the root that the token names, and check its SHA-256: before that nothing else is asked or written
 *   2 key        make a key of its own, in the state directory
 *   3 register   the origin binds name, site and key; the site is the token's, not ours to choose
 *   4 write      root.json, the identity, the key of the site's beacons if it can be had, and node.toml last: where that is, the machine has
 *                joined
 *
 * Cut off anywhere, it can be run again with the same token.
 */
import { dirname } from 'node:path'
import { sha256 } from '../core/digest.ts'
import { JoinError, TrustError } from '../core/errors.ts'
import { KiB } from '../core/units.ts'
import { pinRoot } from '../signing/root-chain.ts'
import { lstatIfThere } from '../store/disk-error.ts'
import { makeDirectory, writeFileDurably } from '../store/durable.ts'
import type { JoinAnswer } from '../swarm/identity/join-protocol.ts'
import { type JoinToken, parseJoinToken } from '../swarm/identity/join-token.ts'
import { registerNode } from '../swarm/identity/register.ts'
import { OriginClient } from '../swarm/origin-client.ts'
import { adoptIdentity, nextIdentity } from './identity.ts'
import { type NewChannel, nodeToml } from './node-toml.ts'
import { keepFirstSiteKey } from './site-key.ts'

export interface JoinOptions {
  /** As `sigmesh enroll` printed it. */
  readonly token: string
  readonly node: string
  /** Absolute, as all paths. */
  readonly configFile: string
  readonly rootFile: string
  readonly stateDir: string
  readonly channels: Readonly<Record<string, NewChannel>>
  /** Overwrite what an earlier join wrote. */
  readonly force?: boolean
}

const rootLimitBytes = 512 * KiB
/** Read by all, written by root: nothing in them is secret. */
const publicMode = 0o644

/**
 * @returns As the origin knows this machine now.
 * @throws ConfigError `token_invalid` | `identity_unusable`; JoinError; TrustError `root_mismatch`; DownloadError; StoreError. An
 *   aborted `signal` rejects with its reason.
 */
export async function joinOrigin(options: JoinOptions, signal?: AbortSignal): Promise<JoinAnswer> {
  const token = parseJoinToken(options.token)
  if (!options.force && (await lstatIfThere(options.configFile)))
    throw new JoinError('already_joined', `${options.configFile} is there already`)
  const root = await fetchRoot(token, signal)
  await makeDirectory(options.stateDir)
  await makeDirectory(dirname(options.configFile), 0o755)
  const key = await nextIdentity(options.stateDir)
  const answer = await registerNode(token, { node: options.node, key }, signal)
  await writeFileDurably(options.rootFile, root, publicMode)
  await adoptIdentity(options.stateDir)
  const client = new OriginClient(token.origin, {}, { pin: token.pin, key })
  await keepFirstSiteKey(options.stateDir, client, answer, signal)
    .catch(() => {}) // the daemon asks again
    .finally(() => client.stop())
  const { origin, pin } = token
  await writeFileDurably(options.configFile, nodeToml({ ...options, ...answer, origin, pin }), publicMode)
  return answer
}

/** @throws TrustError `root_mismatch`, or what is wrong with a root of this hash. */
async function fetchRoot({ origin, pin, root, version }: JoinToken, signal?: AbortSignal): Promise<Uint8Array> {
  const client = new OriginClient(origin, {}, { pin })
  try {
    const bytes = await client.metadata(`/metadata/${version}.root.json`, rootLimitBytes, signal)
    if (!bytes || sha256(bytes) !== root) throw otherRoot(origin, bytes ? `SHA-256 ${sha256(bytes)}` : 'none')
    pinRoot(bytes)
    return bytes
  } finally {
    await client.stop()
  }
}

function otherRoot(origin: string, found: string): TrustError {
  return new TrustError('root_mismatch', `the root at ${origin} is not the one of the token: found ${found}`)
}
