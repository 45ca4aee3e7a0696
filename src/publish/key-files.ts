/**
 * Private keys on the operator's disk, each a file for its owner only (signing/private-key.ts), and beside it, in `<file>.pub`, the public half
 * as TUF writes it: what others need to list the key.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { ConfigError, PublishError } from '../core/errors.ts'
import { isJsonObject, parseJson } from '../signing/json.ts'
import { type KeyFile, PrivateKey, privateKeyLimitBytes, readKeyFile } from '../signing/private-key.ts'
import { admitKey, type PublicKey, parsePublicKey } from '../signing/public-key.ts'
import { isSystemError, lstatIfThere, onDisk } from '../store/disk-error.ts'
import { makeDirectory, writeFileDurably } from '../store/durable.ts'
import { readSmallFile } from '../store/small-file.ts'
import { namesIn } from './operator-directory.ts'

export const keyFileMode = 0o600

/** Below the keys: what the origin may have, to sign again what would expire. */
export const onlineFolder = 'online'
const onlineRoles: readonly string[] = ['snapshot', 'timestamp']

/** Asks for the passphrase of one key file. */
export type AskPassphrase = (file: string) => Promise<string>

/**
 * Every key file in the directory and in `online/` below it, unopened.
 *
 * @throws PublishError `key_unusable` for a file that is no key, or that others may read: a key that has been open to others is not
 *   worth a signature, and the operator should hear of it.
 */
export async function readKeys(directory: string): Promise<KeyFile[]> {
  const keys: KeyFile[] = []
  for (const folder of [directory, join(directory, onlineFolder)])
    for (const name of await namesIn(folder)) if (name.endsWith('.json')) keys.push(await readKey(join(folder, name)))
  return keys
}

/**
 * The keys of a directory, opened: those that are bare, and of those under a passphrase the ones that have a vote on what is to be signed.
 *
 * @param needed Whether the key with this id has one.
 * @param ask Not given: what is under a passphrase stays closed.
 */
export async function loadKeyring(
  directory: string,
  needed: (keyid: string) => boolean = () => false,
  ask?: AskPassphrase,
): Promise<PrivateKey[]> {
  const keyring: PrivateKey[] = []
  for (const key of await readKeys(directory))
    if (key.protection === 'none' || (ask && needed(key.public.id))) keyring.push(await openKey(key, ask))
  return keyring
}

/** @throws PublishError `key_locked` when it is under a passphrase, and there is nobody to ask or the answer is wrong. */
export function openKey(key: KeyFile, ask?: AskPassphrase): Promise<PrivateKey> {
  return key.open(async () => {
    if (ask) return ask(key.name)
    throw new PublishError('key_locked', `${key.name} is under a passphrase, and none was given`, { name: key.name })
  })
}

/** The key of a role, made and kept when there is none. Never overwrites: a key that is gone is gone. */
export async function ensureKey(directory: string, role: string): Promise<PrivateKey> {
  const folder = onlineRoles.includes(role) ? join(directory, onlineFolder) : directory
  const name = `${role}.json`
  if ((await namesIn(folder)).includes(name)) return openKey(await readKey(join(folder, name)))
  const key = new PrivateKey(randomBytes(32))
  await makeDirectory(folder)
  await writeFileDurably(join(folder, name), key.encode(), keyFileMode)
  return key
}

/**
 * Make a key, and write `path` and `path.pub`.
 *
 * @param passphrase Not given: the file is bare, and its mode is all that keeps it.
 * @throws ConfigError `config_invalid` when there is a file already: keys are never overwritten. StoreError.
 */
export async function generateKey(path: string, passphrase?: string): Promise<PublicKey> {
  for (const each of [path, `${path}.pub`])
    if (await lstatIfThere(each))
      throw new ConfigError('config_invalid', `${each} is there already; keys are never overwritten`, { path: each })
  const key = new PrivateKey(randomBytes(32))
  const bytes = passphrase === undefined ? key.encode() : await key.encodeSealed(passphrase)
  await writeFileDurably(path, bytes, keyFileMode)
  await writeFileDurably(`${path}.pub`, `${JSON.stringify(key.public.json, null, 2)}\n`, 0o644)
  return key.public
}

/** A public key, from a `.pub` file. @throws PublishError `key_unusable`. */
export async function readPublicKey(path: string): Promise<PublicKey> {
  const bytes = await readSmallFile(path, privateKeyLimitBytes)
  if (bytes === undefined || bytes === 'too large') throw unusable(path, bytes ?? 'there is no such file')
  try {
    const json = parseJson(bytes)
    if (!isJsonObject(json)) throw unusable(path, 'it is no public key')
    const key = parsePublicKey(json)
    admitKey(key)
    return key
  } catch (error) {
    if (error instanceof PublishError || !(error instanceof Error)) throw error
    throw unusable(path, error.message, error)
  }
}

/** @throws PublishError `key_unusable`. */
export async function readKey(path: string): Promise<KeyFile> {
  const bytes = await onDisk(path, async () => {
    try {
      await using handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
      const { mode, size } = await handle.stat()
      if ((mode & 0o077) !== 0)
        throw unusable(path, `others may read or write it (mode ${(mode & 0o7777).toString(8)}, expected 600)`)
      if (size > privateKeyLimitBytes) throw unusable(path, 'it is too large')
      return await handle.readFile()
    } catch (error) {
      if (isSystemError(error, 'EACCES', 'ELOOP', 'EISDIR', 'ENOENT')) throw unusable(path, error.code, error)
      throw error
    }
  })
  return readKeyFile(bytes, path)
}

function unusable(path: string, detail: string, cause?: unknown): PublishError {
  return new PublishError('key_unusable', `the key ${path} cannot be used: ${detail}`, { path, cause })
}
