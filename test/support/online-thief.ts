/**
 * An attacker who holds the origin: its disk, and the two keys that live there, snapshot and timestamp. He puts a manifest of his own in the
 * place of the channel's, and signs everything around it as it should be.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sha256 } from '../../src/core/digest.ts'
import { decodePrivateKey, PrivateKey } from '../../src/signing/private-key.ts'
import { signMetadata } from '../../src/signing/sign-metadata.ts'

interface Signed {
  signatures: { keyid: string; sig: string }[]
  // biome-ignore lint/suspicious/noExplicitAny: an attacker edits what he likes
  signed: any
}

/**
 * @param metadata The served folder. @param keys The operator's keys.
 * @param forge Gets the manifest in force, returns the file to put in its place.
 */
export async function replaceManifest(
  metadata: string,
  keys: string,
  channel: string,
  forge: (manifest: Signed) => Uint8Array,
): Promise<void> {
  const read = async (name: string): Promise<Signed> => JSON.parse(await readFile(join(metadata, name), 'utf8'))
  const keyring = await Promise.all(
    (await readdir(keys, { recursive: true, withFileTypes: true }))
      .filter(entry => entry.isFile())
      .map(async entry => decodePrivateKey(await readFile(join(entry.parentPath, entry.name)), entry.name)),
  )
  const signerOf = ({ signatures }: Signed) =>
    keyring.filter(key => signatures.some(({ keyid }) => keyid === key.public.id))
  const describe = (version: number, bytes: Uint8Array) => ({
    version,
    length: bytes.length,
    hashes: { sha256: sha256(bytes) },
  })

  const timestamp = await read('timestamp.json')
  const snapshotVersion: number = timestamp.signed.meta['snapshot.json'].version
  const snapshot = await read(`${snapshotVersion}.snapshot.json`)
  const manifestVersion: number = snapshot.signed.meta[`${channel}.json`].version
  const forged = forge(await read(`${manifestVersion}.${channel}.json`))

  const forgedVersion: number = JSON.parse(Buffer.from(forged).toString()).signed.version
  snapshot.signed.version++
  snapshot.signed.meta[`${channel}.json`] = describe(forgedVersion, forged)
  const newSnapshot = signMetadata(snapshot.signed, signerOf(snapshot))
  timestamp.signed.version++
  timestamp.signed.meta['snapshot.json'] = describe(snapshot.signed.version, newSnapshot)
  await writeFile(join(metadata, `${forgedVersion}.${channel}.json`), forged)
  await writeFile(join(metadata, `${snapshot.signed.version}.snapshot.json`), newSnapshot)
  await writeFile(join(metadata, 'timestamp.json'), signMetadata(timestamp.signed, signerOf(timestamp)))
}

/** The next version of a manifest, signed by a key that nobody enrolled. */
export function signedByStranger({ signed }: Signed): Uint8Array {
  const stranger = new PrivateKey(Buffer.alloc(32, 7))
  return signMetadata({ ...signed, version: signed.version + 1 }, [stranger])
}

/** The next version of a manifest with the signatures of the one before, which do not fit it. */
export function signedBefore({ signed, signatures }: Signed): Uint8Array {
  return Buffer.from(JSON.stringify({ signatures, signed: { ...signed, version: signed.version + 1 } }))
}

/** The next version of a manifest with no signature at all. */
export function unsigned({ signed }: Signed): Uint8Array {
  return Buffer.from(JSON.stringify({ signatures: [], signed: { ...signed, version: signed.version + 1 } }))
}
