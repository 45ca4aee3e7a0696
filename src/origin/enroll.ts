/** A new join token: the origin's address, the hash of its root, and a secret of which only the public key is kept here. */
import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sha256 } from '../core/digest.ts'
import { ConfigError, PublishError } from '../core/errors.ts'
import { isSystemError, onDisk } from '../store/disk-error.ts'
import { makeDirectory } from '../store/durable.ts'
import { formatJoinToken } from '../swarm/identity/join-token.ts'
import { seedBytes, signingKey } from '../swarm/identity/signing-key.ts'
import { pinOf } from '../swarm/origin-connector.ts'
import type { OriginConfig } from './config.ts'
import { NodeRegistry, type TokenRules } from './node-registry.ts'
import { certificateOf, isSelfSigned } from './tls-files.ts'

export interface EnrollOptions extends TokenRules {
  /** How the nodes reach the origin, other than the configuration says. */
  readonly url?: string | undefined
  /**
   * Whether nodes shall take the origin's present certificate only. Left out: when it is signed by itself, since nobody else vouches for
   * it. A pinned certificate may be renewed, but with the same key.
   */
  readonly pin?: boolean | undefined
}

/**
 * Make a token; a running origin takes it at once.
 *
 * @param now Ms since 1970.
 * @returns One line.
 * @throws ConfigError `config_invalid` when nothing says how the nodes reach the origin; PublishError `repository_missing`; StoreError.
 */
export async function enroll(config: OriginConfig, options: EnrollOptions, now: number): Promise<string> {
  const origin = options.url ?? config.url
  if (origin === undefined)
    throw new ConfigError(
      'config_invalid',
      'how do the nodes reach this origin? Set `url` in origin.toml, or give --url',
    )
  const root = await newestRoot(config.repository)
  const pin = await pinFor(config, options.pin)
  const seed = randomBytes(seedBytes)
  await makeDirectory(config.state_dir)
  const registry = new NodeRegistry(config.state_dir)
  try {
    registry.addToken(signingKey(seed).publicKey, options, now)
  } finally {
    await registry.stop()
  }
  return formatJoinToken({ origin, ...root, ...(pin === undefined ? {} : { pin }) }, seed)
}

/** The newest, and not the first: who has stolen the keys of an old root could sign a chain of his own from there. */
async function newestRoot(repository: string): Promise<{ version: number; root: string }> {
  const directory = join(repository, 'metadata')
  const names = await onDisk(directory, () => readdir(directory)).catch(error => {
    if (isSystemError(error.cause, 'ENOENT', 'ENOTDIR')) return []
    throw error
  })
  const version = Math.max(0, ...names.map(name => Number(/^([1-9]\d{0,8})\.root\.json$/.exec(name)?.[1] ?? 0)))
  if (version === 0) throw new PublishError('repository_missing', `${repository} holds no signed repository`)
  const path = join(directory, `${version}.root.json`)
  return { version, root: sha256(await onDisk(path, () => readFile(path))) }
}

async function pinFor({ tls }: OriginConfig, wanted: boolean | undefined): Promise<string | undefined> {
  if (!tls || wanted === false) return undefined
  const certificate = await certificateOf(tls)
  return wanted || isSelfSigned(certificate) ? pinOf(certificate) : undefined
}
