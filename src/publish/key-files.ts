/** Private keys on the operator's disk: one file a role, for its owner only. */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { PublishError } from '../core/errors.ts'
import { decodePrivateKey, PrivateKey, privateKeyLimitBytes } from '../signing/private-key.ts'
import { isSystemError, onDisk } from '../store/disk-error.ts'
import { writeFileDurably } from '../store/durable.ts'
import { namesIn } from './operator-directory.ts'

export const keyFileMode = 0o600

/**
 * Every key in the directory.
 *
 * @throws PublishError `key_unusable` for a file that is no key, or that others may read: a key that has been open to others is not
 *   worth a signature, and the operator should hear of it.
 */
export async function loadKeyring(directory: string): Promise<PrivateKey[]> {
  const keys: PrivateKey[] = []
  for (const name of await namesIn(directory))
    if (name.endsWith('.json')) keys.push(await loadKey(join(directory, name)))
  return keys
}

/** The key of a role, made and kept when there is none. Never overwrites: a key that is gone is gone. */
export async function ensureKey(directory: string, role: string): Promise<PrivateKey> {
  const path = join(directory, `${role}.json`)
  if ((await namesIn(directory)).includes(`${role}.json`)) return loadKey(path)
  const key = new PrivateKey(randomBytes(32))
  await writeFileDurably(path, key.encode(), keyFileMode)
  return key
}

async function loadKey(path: string): Promise<PrivateKey> {
  const bytes = await onDisk(path, async () => {
    try {
      await using handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
      const { mode, size } = await handle.stat()
      if ((mode & 0o077) !== 0)
        throw unusable(path, `others may read or write it (mode ${(mode & 0o7777).toString(8)}, expected 600)`)
      if (size > privateKeyLimitBytes) throw unusable(path, 'it is too large')
      return await handle.readFile()
    } catch (error) {
      if (isSystemError(error, 'EACCES', 'ELOOP', 'EISDIR')) throw unusable(path, error.code, error)
      throw error
    }
  })
  return decodePrivateKey(bytes, path)
}

function unusable(path: string, detail: string, cause?: unknown): PublishError {
  return new PublishError('key_unusable', `the private key ${path} cannot be used: ${detail}`, { path, cause })
}
