/** What an operator does to keys on the disk: begin a request, change it, and make a new repository of one. */
import { resolve } from 'node:path'
import { PublishError } from '../core/errors.ts'
import { completeRequest } from '../signing/complete-request.ts'
import { changeKeys, type Dates, requestFor, requestForNew } from '../signing/edit-request.ts'
import type { PublicKey } from '../signing/public-key.ts'
import { mergeRequests, rolesOf, type SigningRequest, signRequest, waitingFiles } from '../signing/signing-request.ts'
import { requireChannelName } from './channel-releases.ts'
import { createOnDisk } from './init.ts'
import { type AskPassphrase, loadKeyring, openKey, readKey, readPublicKey } from './key-files.ts'
import { OperatorDirectory } from './operator-directory.ts'
import { type FinishOptions, finishRequest } from './prepare.ts'
import { loadRequest, requireNoRequest, saveRequest } from './request-files.ts'

/**
 * Begin a request.
 *
 * @param repository Of whose state it starts; undefined for a repository that shall be made.
 * @param roles For a new one, its channels; else the roles that are signed again as they are.
 */
export async function beginRequest(
  requestFile: string,
  repository: string | undefined,
  roles: readonly string[],
  dates: Dates,
): Promise<SigningRequest> {
  await requireNoRequest(requestFile)
  if (repository === undefined) roles.forEach(requireChannelName)
  const request =
    repository === undefined
      ? requestForNew(roles, dates)
      : requestFor(await new OperatorDirectory(resolve(repository)).readRepository(), roles, dates)
  await saveRequest(requestFile, request)
  return request
}

export interface KeyFilesChange {
  /** Files of public keys. */
  readonly add?: readonly string[]
  /** Files of public keys (`.pub`), key ids, or so much of their beginning that only one key of the role has it. */
  readonly remove?: readonly string[]
  readonly threshold?: number | undefined
}

/** @throws PublishError `request_unusable` | `key_unusable`; TrustError `metadata_malformed`. */
export async function changeRequest(
  requestFile: string,
  role: string,
  { add = [], remove = [], threshold }: KeyFilesChange,
  dates: Dates,
): Promise<SigningRequest> {
  const request = await loadRequest(requestFile)
  const keys: PublicKey[] = []
  for (const path of add) keys.push(await readPublicKey(path))
  const ids: string[] = []
  for (const name of remove)
    ids.push(name.endsWith('.pub') ? (await readPublicKey(name)).id : wholeId(request, role, name))
  const changed = changeKeys(request, role, { add: keys, remove: ids, threshold }, dates)
  await saveRequest(requestFile, changed)
  return changed
}

function wholeId({ published, next }: SigningRequest, role: string, beginning: string): string {
  const root = next.root ?? published.root
  const targets = next.targets ?? published.targets
  const keys =
    (root?.body.roles as Record<string, { keys: ReadonlyMap<string, unknown> }> | undefined)?.[role]?.keys ??
    targets?.body.delegations.find(({ name }) => name === role)?.role.keys
  const fitting = [...(keys?.keys() ?? [])].filter(id => id.startsWith(beginning))
  if (fitting.length === 1) return fitting[0]!
  throw new PublishError('request_unusable', `${role} has ${fitting.length || 'no'} keys that begin with ${beginning}`)
}

/**
 * Sign what the key has a vote on.
 *
 * @param confirm Shows the request, and whether the person in front agrees; before the passphrase is asked for.
 * @returns The roles that were signed; undefined when the person does not agree.
 * @throws PublishError `key_unusable` when the key has no vote on anything | `key_locked`, `request_unusable`.
 */
export async function signOnDisk(
  requestFile: string,
  keyFile: string,
  { confirm, ask }: { confirm(request: SigningRequest): Promise<boolean>; ask: AskPassphrase },
): Promise<{ readonly roles: readonly string[]; readonly request: SigningRequest } | undefined> {
  const request = await loadRequest(requestFile)
  const key = await readKey(keyFile)
  if (rolesOf(request, key.public.id).length === 0) {
    const waiting = waitingFiles(request).map(({ role }) => role)
    throw new PublishError('key_unusable', `${keyFile} has no vote on ${waiting.join(' or ') || 'anything'}`, {
      keyFile,
    })
  }
  if (!(await confirm(request))) return undefined
  const { request: done, signed } = signRequest(request, await openKey(key, ask))
  await saveRequest(requestFile, done)
  return { roles: signed, request: done }
}

/**
 * Publish a signed request into its repository, or make the repository that it describes.
 *
 * @throws As `finishRequest`; PublishError `repository_exists` when a new one shall be made where something is.
 */
export async function publishTrust(directory: string, requestFiles: readonly string[], options: FinishOptions) {
  const request = mergeRequests(await Promise.all(requestFiles.map(loadRequest)))
  if (request.published.root) return finishRequest(directory, requestFiles, options)
  const { now, keys, lifetimes } = options
  const place = new OperatorDirectory(resolve(directory))
  const keyring = await loadKeyring(keys ?? place.keys)
  await createOnDisk(place, () =>
    completeRequest(undefined, request, { keyring, now, ...(lifetimes && { lifetimes }) }),
  )
  return { roles: waitingFiles(request).map(({ role }) => role), releases: [] }
}
