/** Keys for people: what each is, how it is kept, and what it may sign. No key is opened. */
import { resolve } from 'node:path'
import { PublishError } from '../core/errors.ts'
import { topLevelRoles } from '../signing/metadata.ts'
import type { PublicKey } from '../signing/public-key.ts'
import type { Repository } from '../signing/repository.ts'
import { roleOf } from '../signing/revise-repository.ts'
import { readKey, readKeys, readPublicKey } from './key-files.ts'
import { OperatorDirectory } from './operator-directory.ts'

export interface DescribedKey {
  readonly file: string
  readonly id: string
  /** Hexadecimal. */
  readonly publicKey: string
  /** `bare`, `passphrase`, or `public half only`. */
  readonly protection: string
  /** The roles that list it, with commas; what is known of none says so. */
  readonly roles: string
}

/** @param keys Default: those of the repository. @throws PublishError `key_unusable`; StoreError. */
export async function describeKeys(keys: string | undefined, repository: string): Promise<DescribedKey[]> {
  const known = await repositoryAt(repository)
  const files = await readKeys(keys ?? new OperatorDirectory(resolve(repository)).keys)
  return files.map(({ name, public: key, protection }) =>
    describe(name, key, protection === 'none' ? 'bare' : protection, known),
  )
}

/** @param file A private key or a `.pub`. @throws PublishError `key_unusable`. */
export async function describeKey(file: string, repository: string): Promise<DescribedKey> {
  const known = await repositoryAt(repository)
  if (file.endsWith('.pub')) return describe(file, await readPublicKey(file), 'public half only', known)
  const { public: key, protection } = await readKey(file)
  return describe(file, key, protection === 'none' ? 'bare' : protection, known)
}

function describe(file: string, key: PublicKey, protection: string, repository: Repository | undefined): DescribedKey {
  const publicKey = key.scheme === 'ed25519' ? Buffer.from(key.bytes).toString('hex') : key.scheme
  return {
    file,
    id: key.id,
    publicKey,
    protection,
    roles: repository ? rolesText(key, repository) : 'no repository here to ask',
  }
}

function rolesText(key: PublicKey, repository: Repository): string {
  const names = [...topLevelRoles, ...repository.channels.keys()]
  return names.filter(name => roleOf(repository, name)?.keys.has(key.id)).join(', ') || 'nothing'
}

/** Offline, there is none. */
async function repositoryAt(directory: string): Promise<Repository | undefined> {
  try {
    return await new OperatorDirectory(resolve(directory)).readRepository()
  } catch (error) {
    if (error instanceof PublishError && error.code === 'repository_missing') return undefined
    throw error
  }
}
