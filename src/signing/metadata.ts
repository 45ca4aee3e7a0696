/**
 * The four kinds of TUF metadata (spec 1.0.34, section 4) as values, read from hostile bytes. A file is
 *
 *   { "signatures": [{ "keyid": "5a…", "sig": "e5…" }],
 *     "signed": { "_type": "timestamp", "spec_version": "1.0.34", "version": 7, "expires": "2026-11-23T12:00:00Z", … } }
 *
 * Reading proves nothing: see threshold.ts. Unknown fields are allowed by the specification; they are covered by the signatures (the
 * payload is made of everything that was read) and otherwise ignored. All tables are Maps, so that no name can hit a prototype.
 */
import { sha256 } from '../core/digest.ts'
import { TrustError } from '../core/errors.ts'
import { z } from '../core/schema.ts'
import { KiB } from '../core/units.ts'
import { canonicalJson } from './canonical-json.ts'
import { isJsonObject, type JsonObject, parseJson } from './json.ts'
import {
  delegationsShape,
  fileShape,
  fileTable,
  keyTable,
  type RoleKeys,
  roleShape,
  signaturesShape,
  targetTable,
  timeShape,
  versionShape,
} from './metadata-shapes.ts'
import { ourRules, type Rules, tufRules } from './rules.ts'

export const topLevelRoles = ['root', 'targets', 'snapshot', 'timestamp'] as const
export type TopLevelRole = (typeof topLevelRoles)[number]

/** A file as read: its bytes as published, its values, and what the signatures must be over. */
export interface SignedFile<Body> {
  readonly bytes: Uint8Array
  readonly body: Body
  /** The `signed` part as read, for who has to re-sign it without losing a field. */
  readonly signed: JsonObject
  /** Canonical JSON of the `signed` part. */
  readonly payload: Uint8Array
  /** At most `mostSignatures`, no key id twice. */
  readonly signatures: readonly { readonly keyid: string; readonly sig: Uint8Array }[]
}

const header = <Type extends string>(type: Type) => ({
  _type: z.literal(type),
  spec_version: z.string().regex(/^1\.0(\.\d{1,4})?$/, 'a version of the specification this program does not know'),
  version: versionShape,
  expires: timeShape,
})

function shapes(rules: Rules) {
  // The others must at least be roles. zod passes over the name `__proto__` without looking, so that one is no name of a role.
  const known = z
    .object({ root: roleShape, targets: roleShape, snapshot: roleShape, timestamp: roleShape })
    .catchall(roleShape)
  const roles = z
    .custom<z.input<typeof known>>(
      value => isJsonObject(value) && !Object.hasOwn(value, '__proto__'),
      'expected roles, none of them named __proto__',
    )
    .pipe(known)
  return {
    root: z
      .looseObject({
        ...header('root'),
        consistent_snapshot: rules.consistentSnapshots ? z.literal(true) : z.boolean().default(false),
        keys: keyTable,
        roles,
      })
      .transform(({ version, expires, consistent_snapshot, keys, roles }, context) => ({
        version,
        expires,
        consistentSnapshot: consistent_snapshot,
        roles: Object.fromEntries(
          topLevelRoles.map(name => [name, roles[name].withKeys(keys, context)]),
        ) as unknown as Readonly<Record<TopLevelRole, RoleKeys>>,
      })),
    timestamp: z
      .looseObject({ ...header('timestamp'), meta: z.strictObject({ 'snapshot.json': fileShape }) })
      .transform(({ version, expires, meta }) => ({ version, expires, snapshot: meta['snapshot.json'] })),
    snapshot: z
      .looseObject({ ...header('snapshot'), meta: fileTable(rules) })
      .transform(({ version, expires, meta }) => ({ version, expires, meta })),
    targets: z
      .looseObject({
        ...header('targets'),
        targets: targetTable(rules),
        delegations: delegationsShape(rules).optional(),
      })
      .transform(({ version, expires, targets, delegations = [] }) => ({ version, expires, targets, delegations })),
  }
}

type Shapes = ReturnType<typeof shapes>
const shapesByRules: ReadonlyMap<Rules, Shapes> = new Map([ourRules, tufRules].map(rules => [rules, shapes(rules)]))

export type Root = z.output<Shapes['root']>
export type Timestamp = z.output<Shapes['timestamp']>
export type Snapshot = z.output<Shapes['snapshot']>
export type Targets = z.output<Shapes['targets']>
export type Kind = keyof Shapes
export type BodyOf<K extends Kind> = z.output<Shapes[K]>

const envelope = z.looseObject({
  signatures: signaturesShape,
  signed: z.custom<JsonObject>(value => typeof value === 'object' && value !== null && !Array.isArray(value)),
})

/**
 * What a node keeps is read in every walk, and for each neighbour that it is shown to. So the last reading of such bytes is remembered, as
 * long as somebody has the bytes; by their digest, so that nobody has to promise that they were not changed since. Not of large ones: their
 * values are many times as large in memory.
 */
const remembered = new WeakMap<Uint8Array, { about: string; file: SignedFile<unknown> }>()
const rememberedLimitBytes = 64 * KiB

/**
 * @param name The file's name, for the sentence of the error.
 * @throws TrustError `metadata_malformed`, and nothing else, whatever the bytes are.
 */
export function readMetadata<K extends Kind>(
  kind: K,
  name: string,
  bytes: Uint8Array,
  rules: Rules = ourRules,
): SignedFile<BodyOf<K>> {
  const about = bytes.length <= rememberedLimitBytes ? `${kind} ${rules === ourRules} ${sha256(bytes)}` : undefined
  const known = about && remembered.get(bytes)
  if (known && known.about === about) return known.file as SignedFile<BodyOf<K>>
  const { signatures, signed } = check(envelope, parseJson(bytes), name)
  const body = check(shapesByRules.get(rules)![kind] as unknown as z.ZodType<BodyOf<K>>, signed, name)
  const file = { bytes, body, signed, payload: canonicalJson(signed), signatures }
  if (about) remembered.set(bytes, { about, file })
  return file
}

function check<T>(shape: z.ZodType<T>, value: unknown, name: string): T {
  const parsed = shape.safeParse(value)
  if (parsed.success) return parsed.data
  // The first problem is enough, and keeps the sentence short whatever a stranger sends.
  const { path, message } = parsed.error.issues[0]!
  const place = path.map(String).join('.').slice(0, 120)
  throw new TrustError(
    'metadata_malformed',
    `${name} is not the metadata it must be: ${place}: ${message.slice(0, 200)}`,
    {
      name,
    },
  )
}
