/** The parts that the kinds of metadata are made of: keys, roles, file descriptions, targets, delegations. See metadata.ts. */
import { TrustError } from '../core/errors.ts'
import { utcSecond, wholeNumber, z } from '../core/schema.ts'
import { isJsonObject, type JsonObject, type JsonValue } from './json.ts'
import { type PublicKey, parsePublicKey } from './public-key.ts'
import { mostDelegations, mostKeys, mostSignatures, mostTargets, type Rules } from './rules.ts'

/** Who may sign, and how many of them must. */
export interface RoleKeys {
  /** 1 or more. More than there are keys means: never. */
  readonly threshold: number
  /** By key id; one key may be here under several. */
  readonly keys: ReadonlyMap<string, PublicKey>
}

/** What a parent says of a file. */
export interface FileDescription {
  readonly version: number
  readonly length?: number | undefined
  readonly hashes?: ReadonlyMap<string, string> | undefined
}

/** What a targets role says of a target. */
export interface TargetFile {
  readonly length: number
  /** By algorithm, hexadecimal; not empty. */
  readonly hashes: ReadonlyMap<string, string>
  readonly custom: unknown
}

export interface Delegation {
  readonly name: string
  readonly role: RoleKeys
  readonly terminating: boolean
  /** Exactly one of the two: shell patterns of target paths, or prefixes of the SHA-256 of target paths. */
  readonly paths?: readonly string[] | undefined
  readonly pathHashPrefixes?: readonly string[] | undefined
}

export const versionShape = wholeNumber.min(1)

/** Milliseconds since 1970. `utcSecond` holds the form; the round trip refuses days and hours that are not in the calendar. */
export const timeShape = utcSecond.transform((text, context) => {
  const ms = Date.parse(text)
  if (!Number.isNaN(ms) && new Date(ms).toISOString() === text.replace('Z', '.000Z')) return ms
  context.addIssue('not a time of the calendar')
  return z.NEVER
})

/** Also hex of length 0: some signing tools write a missing signature so. It verifies as no signature. */
const hex = z.string().regex(/^(?:[0-9a-f]{2}){0,1024}$/, 'expected lower-case hexadecimal')
const keyIdShape = z.string().regex(/^[0-9a-f]{64}$/, 'expected a key id: 64 lower-case hex digits')

export const signaturesShape = z
  .custom<unknown[]>(value => Array.isArray(value), 'expected a list of signatures')
  // First the number, then each: ten thousand signatures cost no more than one.
  .refine(list => list.length <= mostSignatures, { error: `more than ${mostSignatures} signatures`, abort: true })
  .pipe(z.array(z.looseObject({ keyid: keyIdShape, sig: hex.transform(text => Buffer.from(text, 'hex')) })))
  .refine(list => isUnique(list.map(({ keyid }) => keyid)), 'a key id signs twice')

/** A JSON object as a Map: every key, `__proto__` and `constructor` too, is data. */
function table<Value>(key: z.ZodType<string>, value: z.ZodType<Value>, most: number) {
  const entries = z.array(z.tuple([key, value])) as unknown as z.ZodType<[string, Value][], [string, JsonValue][]>
  return z
    .custom<JsonObject>(isJsonObject, 'expected an object')
    .transform(object => Object.entries(object))
    .refine(entries => entries.length <= most, `more than ${most} entries`)
    .pipe(entries)
    .transform((entries): ReadonlyMap<string, Value> => new Map(entries))
}

const keyShape = z.custom<JsonObject>(isJsonObject, 'expected a key').transform((json, context): PublicKey => {
  try {
    return parsePublicKey(json)
  } catch (error) {
    if (!(error instanceof TrustError)) throw error
    context.addIssue(error.message)
    return z.NEVER
  }
})

/** Spec 4.3: the key id MUST be that of the key. Otherwise one key id could mean two keys in two files. */
export const keyTable = table(keyIdShape, keyShape, mostKeys).refine(
  keys => [...keys].every(([id, key]) => id === key.id),
  'a key id is not the SHA-256 of its key',
)

export const roleShape = z
  .looseObject({
    keyids: z.array(keyIdShape).max(mostKeys).refine(isUnique, 'a key id is listed twice'),
    threshold: wholeNumber.min(1),
  })
  .transform(({ keyids, threshold }) => ({
    withKeys(table: ReadonlyMap<string, PublicKey>, context: z.RefinementCtx): RoleKeys {
      const known = keyids.flatMap(id => {
        const key = table.get(id)
        if (!key) context.addIssue(`role lists the key ${id}, which is not there`)
        return key ? [[id, key] as const] : []
      })
      return { threshold, keys: new Map(known) }
    },
  }))

const hashesShape = table(z.string().max(32), z.string().regex(/^[0-9a-f]{1,256}$/), 16).refine(
  hashes => hashes.size > 0,
  // tuf-js 6 takes `{}` for "no hash to compare", which un-pins the file.
  'expected at least one hash',
)

export const fileShape = z
  .looseObject({ version: versionShape, length: wholeNumber.optional(), hashes: hashesShape.optional() })
  .transform(({ version, length, hashes }): FileDescription => ({ version, length, hashes }))

/** The `meta` of a snapshot, by role name. */
export function fileTable(rules: Rules) {
  const fileName = z
    .string()
    .endsWith('.json')
    .transform(name => name.slice(0, -'.json'.length))
    .pipe(z.string().regex(rules.roleName, 'not a name of a role'))
  return table(fileName, fileShape, mostDelegations).refine(meta => meta.has('targets'), 'targets.json is not listed')
}

export function targetTable(rules: Rules) {
  const target = z
    .looseObject({
      length: wholeNumber,
      hashes: hashesShape.refine(
        hashes => !rules.sha256OnTargets || (hashes.size === 1 && /^[0-9a-f]{64}$/.test(hashes.get('sha256') ?? '')),
        'a target needs a SHA-256, and no other hash, which would go unchecked',
      ),
      custom: z.custom<JsonObject>(isJsonObject).optional(),
    })
    .transform(({ length, hashes, custom }): TargetFile => ({ length, hashes, custom }))
  return table(z.string().regex(rules.targetPath, 'not a path of a target'), target, mostTargets)
}

export function delegationsShape(rules: Rules) {
  const roleName = z
    .string()
    .regex(rules.roleName, 'not a name of a role')
    .refine(name => !['root', 'targets', 'snapshot', 'timestamp', 'mirrors'].includes(name), 'a role of TUF itself')
  const delegation = roleShape.and(
    z
      .looseObject({
        name: roleName,
        terminating: z.boolean().default(false),
        paths: z.array(z.string().regex(rules.pathPattern, 'not a pattern of paths')).max(1024).optional(),
        path_hash_prefixes: z
          .array(z.string().regex(/^[0-9a-f]{1,64}$/))
          .max(65_536)
          .optional(),
      })
      .refine(
        ({ paths, path_hash_prefixes }) => !(paths && path_hash_prefixes),
        'paths and path_hash_prefixes at once',
      ),
  )
  return z
    .looseObject({ keys: keyTable, roles: z.array(delegation).max(mostDelegations) })
    .refine(({ roles }) => isUnique(roles.map(({ name }) => name)), 'a role is delegated twice')
    .transform(({ keys, roles }, context) =>
      roles.map(
        ({ withKeys, name, terminating, paths, path_hash_prefixes: pathHashPrefixes }): Delegation => ({
          name,
          role: withKeys(keys, context),
          terminating,
          paths,
          pathHashPrefixes,
        }),
      ),
    )
}

function isUnique(values: readonly string[]): boolean {
  return new Set(values).size === values.length
}
