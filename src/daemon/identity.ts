/**
 * The key by which this node proves to the origin who it is: `identity.json` in its state directory, mode 0600. It is the node's own,
 * made here and never sent anywhere; it signs requests, and can sign nothing that anybody installs.
 *
 *   { "seed": "<32 bytes, base64url>" }
 *
 * While a machine joins, its new key waits under another name: a join that was cut off goes on with the key that the origin may know already.
 */
import { randomBytes } from 'node:crypto'
import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { ConfigError } from '../core/errors.ts'
import { z } from '../core/schema.ts'
import { KiB } from '../core/units.ts'
import { isSystemError, onDisk } from '../store/disk-error.ts'
import { renameDurably, writeFileDurably } from '../store/durable.ts'
import { giveToOwnerOf } from '../store/owner.ts'
import { readSmallFile } from '../store/small-file.ts'
import { type SigningKey, seedBytes, signingKey } from '../swarm/identity/signing-key.ts'

const content = z.strictObject({ seed: z.string().regex(/^[A-Za-z0-9_-]{43}$/) })

/** @returns undefined when this machine has not joined. @throws ConfigError `identity_unusable`, StoreError. */
export function loadIdentity(stateDir: string): Promise<SigningKey | undefined> {
  return readKey(join(stateDir, 'identity.json'))
}

/** The key to join with: a new one, or the one of a join that was cut off. @throws ConfigError `identity_unusable`, StoreError. */
export async function nextIdentity(stateDir: string): Promise<SigningKey> {
  const path = pending(stateDir)
  const waiting = await readKey(path)
  if (waiting) return waiting
  const seed = randomBytes(seedBytes)
  await writeFileDurably(path, `${JSON.stringify({ seed: seed.toString('base64url') })}\n`)
  await giveToOwnerOf(stateDir, path)
  return signingKey(seed)
}

/** From now on the next identity is the one. @throws StoreError. */
export function adoptIdentity(stateDir: string): Promise<void> {
  return renameDurably(pending(stateDir), join(stateDir, 'identity.json'))
}

function pending(stateDir: string): string {
  return join(stateDir, 'identity.next.json')
}

async function readKey(path: string): Promise<SigningKey | undefined> {
  const mode = await modeOf(path)
  if (mode === undefined) return undefined
  if ((mode & 0o077) !== 0) throw unusable(path, `others may read or write it (mode ${mode.toString(8)}, expected 600)`)
  const bytes = await readSmallFile(path, KiB).catch(cause => {
    throw unusable(path, cause.message, cause)
  })
  const parsed = content.safeParse(parseJson(bytes))
  if (!parsed.success) throw unusable(path, 'it is not what sigmesh wrote')
  return signingKey(Buffer.from(parsed.data.seed, 'base64url'))
}

async function modeOf(path: string): Promise<number | undefined> {
  return onDisk(path, async () => {
    try {
      return (await lstat(path)).mode & 0o7777
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return undefined
      throw error
    }
  })
}

function parseJson(bytes: Buffer | undefined | 'too large'): unknown {
  try {
    return JSON.parse(String(bytes))
  } catch {
    return undefined // the schema says the rest
  }
}

function unusable(path: string, detail: string, cause?: unknown): ConfigError {
  return new ConfigError('identity_unusable', `the identity ${path} cannot be used: ${detail}`, { path, cause })
}
