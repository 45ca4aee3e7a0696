/**
 * Getting a file, and holding it against what its signed parent says of it. Limits come before the request, hashes before the parser.
 */
import { TrustError } from '../core/errors.ts'
import { hexDigest } from './hashes.ts'
import type { FileDescription } from './metadata-shapes.ts'
import type { TrustWalk } from './trust-step.ts'

/** @throws TrustError `metadata_missing` when it is not there, `metadata_too_large` when the driver brings more than the limit. */
export function* fetchRequired(path: string, limitBytes: number): TrustWalk<Uint8Array> {
  const bytes = yield* fetchOptional(path, limitBytes)
  if (bytes) return bytes
  throw new TrustError('metadata_missing', `the origin does not have ${path}`, { path })
}

export function* fetchOptional(path: string, limitBytes: number): TrustWalk<Uint8Array | undefined> {
  const bytes = yield { do: 'fetch', path, limitBytes }
  if (bytes && bytes.length > limitBytes) {
    throw new TrustError('metadata_too_large', `${path} is larger than ${limitBytes} bytes`, { path, limitBytes })
  }
  return bytes
}

/** How much of a file to read: what its signed parent says, within the limit of its kind. @throws TrustError `metadata_too_large`. */
export function describedLimit(name: string, { length }: FileDescription, limitBytes: number): number {
  if (length === undefined || length <= limitBytes) return length ?? limitBytes
  throw new TrustError('metadata_too_large', `${name} has ${length} bytes, and ${limitBytes} are read at most`, {
    name,
    length,
  })
}

/**
 * Spec 5.5.2 and 5.6.2, before anything of the file is parsed: only these bytes belong to the signed parent.
 *
 * @throws TrustError `metadata_mismatch`, also when the parent lists a hash that this program does not know: what is listed is checked.
 */
export function requireDescribed(name: string, bytes: Uint8Array, { length, hashes }: FileDescription): void {
  if (length !== undefined && bytes.length !== length)
    throw mismatch(name, `${bytes.length} bytes instead of ${length}`)
  if (!hashes) return
  for (const [algorithm, expected] of hashes)
    if (hexDigest(algorithm, bytes) !== expected)
      throw mismatch(name, `another ${algorithm} than its signed parent says`)
}

/** Spec 5.5.4 and 5.6.4. @throws TrustError `metadata_mismatch`. */
export function requireVersion(name: string, version: number, description: FileDescription): void {
  if (version !== description.version) throw mismatch(name, `version ${version} instead of ${description.version}`)
}

function mismatch(name: string, detail: string): TrustError {
  return new TrustError('metadata_mismatch', `${name} does not belong to the metadata that names it: ${detail}`, {
    name,
  })
}
