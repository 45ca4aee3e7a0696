/**
 * A signing request: files that wait for the signatures of keys that are elsewhere. It is carried to them on a stick, signed there, and carried
 * back. Nothing in it is secret, and nothing in it is believed: who signs reads what the signed bytes say, and who publishes checks them.
 *
 *   { "format": "sigmesh-signing-request-1",
 *     "published": { "root": { "signatures": […], "signed": {…} }, "targets": {…}, "clamav": {…} },     as the repository is
 *     "next":      { "root": { "signatures": [],  "signed": {…} } } }                                   as it shall be
 *
 * `next` holds a root, a targets role, channels; never a snapshot or a timestamp, whose keys are at hand where it is published.
 */
import { PublishError, TrustError } from '../core/errors.ts'
import { MiB } from '../core/units.ts'
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from './json.ts'
import { type Root, readMetadata, type SignedFile, type Targets } from './metadata.ts'
import type { RoleKeys } from './metadata-shapes.ts'
import type { PrivateKey } from './private-key.ts'
import { votersOf } from './threshold.ts'

export const requestLimitBytes = 32 * MiB
const format = 'sigmesh-signing-request-1'

/** A root, the list of channels, and manifests by the names of their channels. */
export interface RoleFiles {
  readonly root?: SignedFile<Root>
  readonly targets?: SignedFile<Targets>
  readonly channels: ReadonlyMap<string, SignedFile<Targets>>
}

export interface SigningRequest {
  readonly published: RoleFiles
  readonly next: RoleFiles
}

/** One set of keys that has to sign a file: a new root needs the old root's and its own. */
export interface Authority {
  readonly whose: string
  readonly role: RoleKeys
}

export interface WaitingFile {
  readonly role: string
  readonly file: SignedFile<Root> | SignedFile<Targets>
  readonly authorities: readonly Authority[]
}

/** @throws PublishError `request_unusable`. */
export function readRequest(bytes: Uint8Array, name: string): SigningRequest {
  try {
    if (bytes.length > requestLimitBytes) throw unusable(name, 'it is too large')
    const json = parseJson(bytes)
    if (!isJsonObject(json) || json.format !== format) throw unusable(name, `it does not say "format": "${format}"`)
    return { published: readFiles(json.published ?? {}, name), next: readFiles(json.next ?? {}, name) }
  } catch (cause) {
    if (!(cause instanceof TrustError)) throw cause
    throw unusable(name, cause.message, cause)
  }
}

export function writeRequest({ published, next }: SigningRequest): Uint8Array {
  return Buffer.from(
    `${JSON.stringify({ format, published: writeFiles(published), next: writeFiles(next) }, null, 1)}\n`,
  )
}

/** The files that wait, in the order in which they lean on each other, with who has to sign each. */
export function waitingFiles({ published, next }: SigningRequest): WaitingFile[] {
  const root = next.root ?? published.root
  const targets = next.targets ?? published.targets
  const authority = (whose: string, role: RoleKeys | undefined) => (role ? [{ whose, role }] : [])
  return [
    ...(next.root
      ? [
          {
            role: 'root',
            file: next.root,
            authorities: [
              ...authority('the root in force', published.root?.body.roles.root),
              ...authority(published.root ? 'the new root' : 'the root', next.root.body.roles.root),
            ],
          },
        ]
      : []),
    ...(next.targets
      ? [{ role: 'targets', file: next.targets, authorities: authority('targets', root?.body.roles.targets) }]
      : []),
    ...[...next.channels].map(([name, file]) => {
      const delegation = targets?.body.delegations.find(each => each.name === name)
      return { role: name, file, authorities: authority(`channel ${name}`, delegation?.role) }
    }),
  ]
}

/** @returns The request with the signatures of `key`, and the roles that it signed; none when it has no vote on anything. */
export function signRequest(
  request: SigningRequest,
  key: PrivateKey,
): { readonly request: SigningRequest; readonly signed: readonly string[] } {
  const signed = rolesOf(request, key.public.id)
  const signature = (file: SignedFile<unknown>) => ({
    keyid: key.public.id,
    sig: Buffer.from(key.sign(file.payload)).toString('hex'),
  })
  const next = mapFiles(request.next, (role, file) =>
    signed.includes(role) ? [...jsonSignatures(file), signature(file)] : jsonSignatures(file),
  )
  return { request: { ...request, next }, signed }
}

/** The waiting roles on which the key has a vote. */
export function rolesOf(request: SigningRequest, keyid: string): string[] {
  return waitingFiles(request)
    .filter(({ authorities }) => authorities.some(({ role }) => role.keys.has(keyid)))
    .map(({ role }) => role)
}

/**
 * One request that was signed in several copies, with the signatures of all. Where two copies have one of the same key, the one that holds is
 * taken: a copy that was spoiled on its way must not undo what another owner has signed.
 *
 * @throws PublishError `request_unusable` when they do not ask for the same.
 */
export function mergeRequests(requests: readonly SigningRequest[]): SigningRequest {
  const [first, ...others] = requests
  if (!first) throw new TypeError('no request')
  const asked = (request: SigningRequest) =>
    waitingFiles(request).map(({ role, file }) => [role, Buffer.from(file.payload).toString()])
  if (others.some(other => JSON.stringify(asked(other)) !== JSON.stringify(asked(first))))
    throw unusable('the copies', 'they do not ask for the same to be signed')
  const next = mapFiles(first.next, role => {
    const copies = requests.map(request => waitingFiles(request).find(each => each.role === role)!)
    const all = copies.flatMap(({ file, authorities }) => {
      const voters = authorities.flatMap(authority => votersOf(file, authority.role))
      return jsonSignatures(file).map(each => ({ ...each, holds: voters.includes(each.keyid) }))
    })
    // The last one of a key id counts.
    return all.sort((a, b) => Number(a.holds) - Number(b.holds)).map(({ keyid, sig }) => ({ keyid, sig }))
  })
  return { ...first, next }
}

/** A line for every set of keys that has not signed enough. */
export function missingSignatures(request: SigningRequest): string[] {
  return waitingFiles(request).flatMap(({ role, file, authorities }) =>
    authorities.flatMap(({ whose, role: keys }) => {
      const voters = votersOf(file, keys)
      if (voters.length >= keys.threshold) return []
      const others = [...keys.keys.keys()].filter(id => !voters.includes(id)).map(id => id.slice(0, 12))
      const from = others.length > 0 ? `of ${others.join(', ')}` : 'but it has no more keys'
      return [
        `${role}: ${voters.length} of ${keys.threshold} signatures by ${whose}; still needed: ${keys.threshold - voters.length} ${from}`,
      ]
    }),
  )
}

export function fileOf(files: RoleFiles, role: string): SignedFile<Root> | SignedFile<Targets> | undefined {
  return role === 'root' ? files.root : role === 'targets' ? files.targets : files.channels.get(role)
}

/** A file that nobody has signed. @throws TrustError `metadata_malformed`. */
export function unsignedFile<K extends 'root' | 'targets'>(kind: K, role: string, signed: JsonObject) {
  return readMetadata(kind, `${role}.json`, encode(signed, []))
}

type JsonSignature = { readonly keyid: string; readonly sig: string }

function mapFiles(
  files: RoleFiles,
  signatures: (role: string, file: SignedFile<unknown>) => readonly JsonSignature[],
): RoleFiles {
  const again = <K extends 'root' | 'targets'>(kind: K, role: string, file: SignedFile<unknown>) => {
    // One signature a key: signing twice changes nothing.
    const byKey = new Map(signatures(role, file).map(each => [each.keyid, each]))
    return readMetadata(kind, `${role}.json`, encode(file.signed, [...byKey.values()]))
  }
  return {
    ...(files.root && { root: again('root', 'root', files.root) }),
    ...(files.targets && { targets: again('targets', 'targets', files.targets) }),
    channels: new Map([...files.channels].map(([name, file]) => [name, again('targets', name, file)])),
  }
}

function jsonSignatures({ signatures }: SignedFile<unknown>): JsonSignature[] {
  return signatures.map(({ keyid, sig }) => ({ keyid, sig: Buffer.from(sig).toString('hex') }))
}

function encode(signed: JsonObject, signatures: readonly JsonSignature[]): Uint8Array {
  return Buffer.from(`${JSON.stringify({ signatures, signed }, null, 1)}\n`)
}

function readFiles(json: JsonValue, name: string): RoleFiles {
  if (!isJsonObject(json)) throw unusable(name, 'its files are no table')
  const { root, targets, ...channels } = json
  const bytes = (value: JsonValue) => Buffer.from(`${JSON.stringify(value, null, 1)}\n`)
  return {
    ...(root !== undefined && { root: readMetadata('root', 'root.json', bytes(root)) }),
    ...(targets !== undefined && { targets: readMetadata('targets', 'targets.json', bytes(targets)) }),
    channels: new Map(
      Object.entries(channels).map(([role, value]) => [role, readMetadata('targets', `${role}.json`, bytes(value))]),
    ),
  }
}

function writeFiles({ root, targets, channels }: RoleFiles): JsonObject {
  const files = [
    ...(root ? [['root', root] as const] : []),
    ...(targets ? [['targets', targets] as const] : []),
    ...channels,
  ]
  return Object.fromEntries(
    files.map(([role, file]) => [role, { signatures: jsonSignatures(file), signed: file.signed }]),
  )
}

function unusable(name: string, detail: string, cause?: unknown): PublishError {
  return new PublishError('request_unusable', `${name} is no signing request: ${detail}`, { name, cause })
}
